"""What came of a rehearsal, as a person or a program reads it. Times are seconds since its start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from registry.health.intake import ACCEPTED, DUPLICATE
from registry.rollout import View
from registry.rollout.states import overall
from registry.simulator.acting import BROKEN, End
from registry.simulator.crowd import Crowd
from registry.simulator.post import Post
from registry.simulator.scratch import Stage


@dataclass(frozen=True)
class Happened:
    at_s: int
    event: str
    reason: str


@dataclass(frozen=True)
class VariantOutcome:
    """``told``: devices that read that it is their turn; ``runs`` and ``broken``: in truth, whatever they said.

    ``broken``: how it went wrong -> devices that tried the model. ``never_told``: of those that were let in. ``heard``: what
    the registry makes of their reports.
    """

    variant: str
    state: str
    stage: str
    why: str
    devices: int
    let_in: int
    told: int
    runs: int
    broken: dict[str, int]
    lied: int
    refused: int
    never_told: tuple[str, ...]
    heard: dict[str, int]
    happened: tuple[Happened, ...]


@dataclass(frozen=True)
class Outcome:
    """``ended``: why the rehearsal stopped; ``not_reached``: devices that the release offers nothing; ``verified``: manifests
    that the real client fetched and verified; ``rejected``: reason -> deliveries.
    """

    release: str
    state: str
    ended: str
    simulated_s: int
    devices: int
    not_reached: int
    variants: tuple[VariantOutcome, ...]
    reports: int
    deliveries: int
    accepted: int
    duplicates: int
    rejected: dict[str, int]
    verified: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def sum_up(
    stage: Stage,
    crowd: Crowd,
    views: Sequence[View],
    happened: Mapping[str, Sequence[Happened]],
    post: Post,
    ended: str,
    passed: timedelta,
    verified: int,
) -> Outcome:
    """``views``: every variant as the registry sees it at the end."""
    states = {v.offer.state for v in views}
    return Outcome(
        release=stage.release.id,
        state=overall(states).value,
        ended=ended,
        simulated_s=round(passed.total_seconds()),
        devices=len(stage.devices),
        not_reached=len(stage.devices) - len(crowd),
        variants=tuple(_variant(crowd, n, v, tuple(happened[v.offer.variant])) for n, v in enumerate(views)),
        reports=post.reports,
        deliveries=post.answers.total(),
        accepted=post.answers[ACCEPTED],
        duplicates=post.answers[DUPLICATE],
        rejected=post.rejected,
        verified=verified,
    )


def _variant(crowd: Crowd, place: int, view: View, happened: tuple[Happened, ...]) -> VariantOutcome:
    offer, evidence = view.offer, view.evidence
    mine = crowd.variant == place
    inside = mine & (crowd.bucket < offer.cuts[-1].upto)
    never = np.flatnonzero(inside & ~crowd.told & ~crowd.refused)
    ends = {end: int(np.count_nonzero(mine & (crowd.end == end))) for end in End}
    return VariantOutcome(
        variant=offer.variant,
        state=offer.state.value,
        stage=offer.plan.name,
        why=offer.why,
        devices=int(mine.sum()),
        let_in=int(inside.sum()),
        told=int(np.count_nonzero(mine & crowd.told)),
        runs=ends[End.RUNS],
        broken={end.name.lower(): ends[end] for end in BROKEN},
        lied=ends[End.LIED],
        refused=int(np.count_nonzero(mine & crowd.refused)),
        never_told=tuple(crowd.ids[i] for i in never),
        heard={
            "expected": evidence.expected,
            "ok": evidence.ok,
            "failed": evidence.failed,
            "silent": evidence.timed_out,
            "pending": evidence.pending,
        },
        happened=happened,
    )
