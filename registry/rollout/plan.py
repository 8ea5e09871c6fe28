"""How a release opens to one firmware variant: exact quotas, stage by stage and wave by wave, as cuts of its cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from components.workspace.errors import GateFailed
from components.workspace.release_settings import Release as Policy
from components.workspace.release_settings import Stage
from registry.contract.cohort import BUCKETS, Buckets, buckets, cut, quota
from registry.rollout.eprocess import needed
from registry.rollout.release import StagePlan, Wave

SitesOf = Callable[[Sequence[str]], list[str]]
_FIRST_WAVES = 8
_LEAST_WAVE = 5
"""Devices in a wave: waiting for the reports of fewer costs time and tells nothing."""
MOST_DEFERRED = 48
"""A manifest has 4 KiB, and names every deferred device."""


@dataclass(frozen=True)
class Plan:
    """``control_from``: buckets from here on are kept back until the release completes.

    ``deferred``: devices that come after the first stage, whatever their bucket, as their site has others in it already.
    """

    stages: tuple[StagePlan, ...]
    control_from: int
    deferred: tuple[str, ...]


def plan(policy: Policy, ids: Sequence[str], salt: str, *, sites: int, sites_of: SitesOf) -> Plan:
    """Exact stages for the devices ``ids``, in any order, at ``sites`` sites.

    Devices at one site share their fate, which no gate knows of. The first stage has at most `canary_per_site` of a site;
    without that, twice an even share, or the next multiple that defers few enough.

    Raises:
        GateFailed: `canary_per_site` cannot be kept.
    """
    values = buckets(salt, ids)
    first = quota(len(ids), policy.stages[0].share)
    if policy.canary_per_site is not None:
        over = _over(values, ids, first, policy.canary_per_site, sites_of)
        if over is None:
            raise GateFailed(
                f"stage '{policy.stages[0].name}' of {first} devices cannot have at most {policy.canary_per_site} of a site:"
                f" there are {sites} sites, and at most {MOST_DEFERRED} devices can be deferred",
                hint="raise release.canary_per_site, or lower the share of the first stage",
            )
        return _cuts(policy, ids, values, over)
    cap = max(1, -(-2 * first // max(sites, 1)))
    while (over := _over(values, ids, first, cap, sites_of)) is None:
        cap *= 2
    return _cuts(policy, ids, values, over)


def underpowered(policy: Policy, plan: Plan) -> str:
    """Why a stage that gates decide never could, or ''."""
    gates = policy.gates
    least = needed(gates.intolerable_failures_bp / 10_000, gates.alpha_promote_bp / 10_000)
    for stage in plan.stages:
        if stage.decided_by == "gates" and stage.quota < least:
            return f"stage '{stage.name}' has {stage.quota} devices, and its gate needs {least} to decide"
    return ""


def _over(values: Buckets, ids: Sequence[str], first: int, cap: int, sites_of: SitesOf) -> list[int] | None:
    """Devices to defer so that the ``first`` smallest buckets left have at most ``cap`` of a site; None if it cannot be."""
    if first >= len(ids):
        return []
    count = min(first + MOST_DEFERRED + 1, len(ids))
    nearest = np.flatnonzero(values < cut(values, count)).tolist()
    order = sorted(nearest, key=lambda i: (values[i], ids[i]))[:count]
    taken: Counter[str] = Counter()
    chosen = 0
    over: list[int] = []
    for index, site in zip(order, sites_of([ids[i] for i in order]), strict=True):
        if chosen == first:
            return over
        if taken[site] < cap:
            taken[site] += 1
            chosen += 1
        else:
            over.append(index)
    return over if chosen == first and len(over) <= MOST_DEFERRED else None


def _cuts(policy: Policy, ids: Sequence[str], values: Buckets, deferred: list[int]) -> Plan:
    kept = int(len(values) * policy.control_share)
    total = len(values) - kept
    ends = [min(quota(len(values), s.share), total) for s in policy.stages]
    values[deferred] = cut(np.delete(values, deferred), ends[0])
    stages = tuple(
        StagePlan(
            s.name,
            s.soak_s,
            tuple(Wave(k, cut(values, k)) for k in _waves(s, before, end, first=i == 0)),
            s.decided_by,
        )
        for i, (s, (before, end)) in enumerate(zip(policy.stages, pairwise([0, *ends]), strict=True))
    )
    return Plan(stages, cut(values, total) if kept else BUCKETS, tuple(sorted(ids[i] for i in deferred)))


def _waves(stage: Stage, before: int, end: int, *, first: bool) -> list[int]:
    """Devices in all after each wave of a stage that goes from ``before`` to ``end``."""
    wanted = stage.waves or (_FIRST_WAVES if first else 1)
    count = max(1, min(wanted, (end - before) // _LEAST_WAVE))
    return [before + -(-(end - before) * i // count) for i in range(1, count + 1)]
