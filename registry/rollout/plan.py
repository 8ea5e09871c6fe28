"""How a release opens to one firmware variant: exact quotas, stage by stage and wave by wave, as cuts of its cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from components.workspace.release_settings import Release as Policy
from components.workspace.release_settings import Stage
from registry.contract.cohort import BUCKETS, buckets, cut, quota
from registry.rollout.eprocess import needed
from registry.rollout.release import StagePlan, Wave

SitesOf = Callable[[Sequence[str]], list[str]]
_FIRST_WAVES = 8
_LEAST_WAVE = 5
"""Devices in a wave: waiting for the reports of fewer costs time and tells nothing."""
_SALTS = 32


@dataclass(frozen=True)
class Plan:
    """``salt``: that of the cohort; ``control_from``: buckets from here on are kept back until the release completes."""

    salt: str
    stages: tuple[StagePlan, ...]
    control_from: int


def plan(
    policy: Policy, ids: Sequence[str], release_id: str, *, sites: int, sites_of: Callable[[Sequence[str]], list[str]]
) -> Plan:
    """Draw the cohort of the devices ``ids``, at ``sites`` sites.

    Devices at one site share their fate, which no gate knows of: a salt is taken under which the first stage has at most
    ``canary_per_site`` of a site, or, without one, the fewest in 32 draws. Each draw is fair by itself.
    """
    first = quota(len(ids), policy.stages[0].share)
    cap = policy.canary_per_site or max(1, -(-2 * first // max(sites, 1)))
    best: tuple[int, str, NDArray[np.int64]] | None = None
    for draw in range(_SALTS):
        salt = release_id if draw == 0 else f"{release_id}/{draw}"
        values = buckets(salt, ids)
        chosen = np.flatnonzero(values < cut(values, first)).tolist()
        most = max(Counter(sites_of([ids[i] for i in chosen])).values(), default=0) if len(chosen) < len(ids) else 0
        if best is None or most < best[0]:
            best = most, salt, values
        if most <= cap:
            break
    if best is None:
        raise ValueError("no salt was drawn")
    return _cuts(policy, best[1], best[2])


def crowded(policy: Policy, plan: Plan, ids: Sequence[str], sites_of: SitesOf) -> str:
    """Why the first stage breaks `release.canary_per_site`, or ''."""
    if policy.canary_per_site is None:
        return ""
    chosen = np.flatnonzero(buckets(plan.salt, ids) < plan.stages[0].upto).tolist()
    site, most = Counter(sites_of([ids[i] for i in chosen])).most_common(1)[0]
    if most <= policy.canary_per_site:
        return ""
    return f"stage '{plan.stages[0].name}' has {most} devices of site '{site}', canary_per_site is {policy.canary_per_site}"


def underpowered(policy: Policy, plan: Plan) -> str:
    """Why a stage that gates decide never could, or ''."""
    gates = policy.gates
    least = needed(gates.intolerable_failures_bp / 10_000, gates.alpha_promote_bp / 10_000)
    for stage in plan.stages:
        if stage.decided_by == "gates" and stage.quota < least:
            return f"stage '{stage.name}' has {stage.quota} devices, and its gate needs {least} to decide"
    return ""


def _cuts(policy: Policy, salt: str, values: NDArray[np.int64]) -> Plan:
    kept = int(len(values) * policy.control_share)
    total = len(values) - kept
    ends = [min(quota(len(values), s.share), total) for s in policy.stages]
    stages = tuple(
        StagePlan(
            s.name,
            s.soak_s,
            tuple(Wave(k, cut(values, k)) for k in _waves(s, before, end, first=i == 0)),
            s.decided_by,
        )
        for i, (s, (before, end)) in enumerate(zip(policy.stages, pairwise([0, *ends]), strict=True))
    )
    return Plan(salt, stages, cut(values, total) if kept else BUCKETS)


def _waves(stage: Stage, before: int, end: int, *, first: bool) -> list[int]:
    """Devices in all after each wave of a stage that goes from ``before`` to ``end``."""
    wanted = stage.waves or (_FIRST_WAVES if first else 1)
    count = max(1, min(wanted, (end - before) // _LEAST_WAVE))
    return [before + -(-(end - before) * i // count) for i in range(1, count + 1)]
