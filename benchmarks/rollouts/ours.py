"""One rollout through Muster's own plan, evidence, gates and reducer; only the database is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rollouts.fleet import DAY, NEVER, Fleet
from components.workspace.release_settings import Gates, Stage
from components.workspace.release_settings import Release as Policy
from registry.contract.cohort import Buckets, buckets, cut
from registry.contract.times import parse_stamp, stamp, utc_from_ms
from registry.rollout.events import GENESIS, Event
from registry.rollout.evidence import Fate, Watched, weigh
from registry.rollout.plan import plan
from registry.rollout.policy import decide
from registry.rollout.release import Offer, Release, Rules, Wave
from registry.rollout.replaying import apply as fold
from registry.rollout.replaying import replay
from registry.rollout.states import Kind, State

START = int(parse_stamp("2026-01-01T00:00:00Z").timestamp())
TICK_S = 300
VARIANT = "gateway-all"


@dataclass(frozen=True)
class Ended:
    """``broken``: devices that took the artefact and failed; ``let_in`` and ``reported``: when the rollout stopped or ended."""

    state: str
    stage: int
    broken: int
    let_in: int
    reported: int
    hours: float


def policy(
    shares: tuple[float, ...], *, waves: int = 8, p0_bp: int = 200, pmax_bp: int = 500, alpha_halt_bp: int = 100
) -> Policy:
    stages = tuple(Stage(name=f"s{i}", share=s, soak_s=3600, waves=waves if i == 0 else None) for i, s in enumerate(shares))
    return Policy(
        stages=stages, gates=Gates(accepted_failures_bp=p0_bp, intolerable_failures_bp=pmax_bp, alpha_halt_bp=alpha_halt_bp)
    )


def rollout(fleet: Fleet, rules: Policy, salt: str, *, days: float = 14.0, stop_after_stage: int | None = None) -> Ended:
    """Tick every five minutes until it ends, is held, or ``days`` have passed; a person is never there."""
    count = len(fleet.online)
    bucket = buckets(salt, _Ids(count))
    release = _started(rules, _Ids(count), salt)
    enrolled_at = np.full(count, NEVER)
    now, end = START, START + int(days * DAY)
    while now < end:
        offer = release.manifests[0]
        opened = offer.cuts[-1].seconds
        enrolled_at = np.where((bucket < offer.cuts[-1].upto) & (enrolled_at == NEVER), opened, enrolled_at)
        if not offer.open or offer.state in (State.HELD, State.HALTED) or offer.stage == stop_after_stage:
            break
        heard_at = np.where(enrolled_at < NEVER, fleet.heard_at(np.minimum(enrolled_at, NEVER // 2)), NEVER)
        step = None
        while step is None and now < end:
            now += TICK_S
            watched = _watched(fleet, bucket, heard_at, now)
            evidence = weigh(watched, offer.cuts, offer.control_from, release.rules, now)
            step = decide(release, offer, evidence, now, largest=_largest(offer, bucket)).step
        if step is not None:
            facts = dict(step.facts)
            release = fold(release, _event(release, step.kind, {"variants": {VARIANT: facts}, "reason": step.reason}, now))
    offer = release.manifests[0]
    taken = fleet.taken_by(np.minimum(enrolled_at, NEVER // 2), now)
    heard = fleet.heard_at(np.minimum(enrolled_at, NEVER // 2)) <= now
    return Ended(
        offer.state.value,
        offer.stage,
        int((taken & fleet.fails).sum()),
        int((enrolled_at < NEVER).sum()),
        int(heard.sum()),
        (now - START) / 3600,
    )


def _watched(fleet: Fleet, bucket: Buckets, heard_at: NDArray[np.int64], now: int) -> Watched:
    heard = heard_at <= now
    fate = np.where(fleet.fails, np.int8(Fate.FAILED), np.int8(Fate.OK)) * heard
    at = np.where(heard, heard_at, 0)
    seen = np.where(fleet.online, now, 0)  # whoever is online was heard of shortly before
    return Watched(bucket, fate, at, at, seen, np.ones(len(bucket), bool), {})


def _largest(offer: Offer, bucket: Buckets) -> Wave | None:
    if offer.last_stage:
        return None
    enrolled = int((bucket < offer.cuts[-1].upto).sum())
    after = offer.stages[offer.stage + 1]
    count = min(2 * enrolled, after.quota)
    return Wave(count, min(cut(bucket, count), after.upto)) if count > enrolled else None


class _Ids(Sequence[str]):
    """Names that nobody keeps: a million of them take more memory than all columns of the fleet."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return f"device-{index:07d}"

    def __iter__(self) -> Iterator[str]:
        return map("device-{:07d}".format, range(self._count))


def _started(rules: Policy, ids: Sequence[str], salt: str) -> Release:
    drawn = plan(rules, ids, salt, sites=len(ids), sites_of=lambda some: [str(i) for i in range(len(some))])
    gates = rules.gates
    offer = {
        "variant": VARIANT,
        "profile": "gateway",
        "firmware": ">=1",
        "devices": len(ids),
        "artefact_sha256": "0" * 64,
        "length": 1,
        "runtime": "c99",
        "runtime_minimal": "1.0",
        "proof_level": "native",
        "stages": [asdict(s) for s in drawn.stages],
        "sequence": 1,
        "path": "",
        "control_from": drawn.control_from,
        "deferred": list(drawn.deferred),
    }
    draft = {
        "fleet": "north",
        "model_name": "m",
        "model_version": 1,
        "counter": 1,
        "expires_days": 90,
        "not_before": "",
        "windows": [],
        "pinned": [],
        "rules": asdict(
            Rules(
                gates.accepted_failures_bp,
                gates.intolerable_failures_bp,
                gates.alpha_halt_bp,
                gates.alpha_promote_bp,
                gates.report_deadline_s,
            )
        ),
        "offers": [offer],
        "skipped": [],
    }
    first = drawn.stages[0].waves[0]
    told = {"sequence": 1, "upto": first.upto, "devices": first.quota, "previous": None}
    release = replay([Event(salt, 1, stamp(utc_from_ms(START * 1000)), "bench", Kind.DRAFTED, draft, GENESIS, "0" * 64)])
    for kind, payload in (
        (Kind.SUBMITTED, {}),
        (Kind.RELEASED, {}),
        (Kind.STARTED, {"variants": {VARIANT: told}}),
    ):
        release = fold(release, _event(release, kind, payload, START))
    return release


def _event(release: Release, kind: Kind, payload: dict[str, object], now: int) -> Event:
    return Event(release.id, release.revision + 1, stamp(utc_from_ms(now * 1000)), "bench", kind, payload, "0" * 64, "0" * 64)
