"""A release as its event log tells it: `replay` is a pure function of the events and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from components.workspace.errors import Conflict
from registry.contract.manifest import manifest_path
from registry.rollout.events import Event
from registry.rollout.states import EDGES, TERMINAL, Kind, State


@dataclass(frozen=True)
class StagePlan:
    """``upto``: the cohort's cut for ``quota`` devices (registry/contract/cohort.py)."""

    name: str
    quota: int
    upto: int
    soak_s: int


@dataclass(frozen=True)
class Way:
    """What a variant was told before."""

    sequence: int
    version: int
    sha256: str


@dataclass(frozen=True)
class Offer:
    """One firmware variant's part of a release. ``sequence`` is the planned one until the release starts.

    ``created``: when devices are first told, empty before; ``length`` in bytes; ``live``: not displaced by a later release.
    """

    variant: str
    profile: str
    firmware: str
    devices: int
    artefact_sha256: str
    length: int
    runtime: str
    runtime_minimal: str
    proof_level: str
    stages: tuple[StagePlan, ...]
    sequence: int
    path: str
    created: str = ""
    previous: Way | None = None
    live: bool = False


@dataclass(frozen=True)
class Approval:
    """One person's signature over the proposed `releases` metadata."""

    person: str
    keyid: str
    signature: str
    reason: str
    time: str


@dataclass(frozen=True)
class Proposal:
    """What is being signed: version and digest of the `releases` metadata, which the database keeps."""

    version: int
    digest: str


@dataclass(frozen=True)
class Skipped:
    """Devices that the release does not reach."""

    profile: str
    firmware: str
    devices: int
    reason: str


@dataclass(frozen=True)
class Release:
    """``counter`` rises with every draft of the fleet; ``revision`` is that of the last event.

    ``voided``: persons whose signature lost its meaning, and who have to approve again.
    """

    id: str
    fleet: str
    model_name: str
    model_version: int
    counter: int
    author: str
    created: str
    state: State
    revision: int
    stage: int
    expires_days: int
    gates: dict[str, int]
    manifests: tuple[Offer, ...]
    skipped: tuple[Skipped, ...]
    approvals: tuple[Approval, ...] = ()
    proposal: Proposal | None = None
    voided: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.state not in TERMINAL

    @property
    def started(self) -> bool:
        """Whether devices were ever told."""
        return any(o.created for o in self.manifests)

    def offer(self, variant: str) -> Offer:
        return next(o for o in self.manifests if o.variant == variant)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def replay(events: Iterable[Event]) -> Release:
    """Fold a release's events, oldest first.

    Raises:
        Conflict: an event that the state before it does not allow.
    """
    release: Release | None = None
    for event in events:
        release = apply(release, event)
    if release is None:
        raise ValueError("a release without events")
    return release


def apply(release: Release | None, event: Event) -> Release:
    """The release after ``event``."""
    if release is None:
        if event.kind != Kind.DRAFTED:
            raise Conflict(f"release '{event.release_id}' begins with '{event.kind}'", hint="the first event is its draft")
        return _drafted(event)
    state = next_state(release, event.kind)
    fold = _FOLDS.get(event.kind)
    folded = fold(release, event) if fold else release
    return replace(folded, state=state, revision=event.revision)


def next_state(release: Release, kind: Kind) -> State:
    """Raises Conflict when ``kind`` cannot happen to the release now."""
    state = EDGES.get((release.state, kind))
    if state is None:
        legal = sorted(k.value for s, k in EDGES if s == release.state)
        raise Conflict(
            f"release '{release.id}' is {release.state.replace('_', ' ')}: it cannot be {kind}",
            hint=f"it can be {', '.join(legal)}" if legal else "it has ended; draft a new one",
        )
    return state


def _drafted(event: Event) -> Release:
    payload = dict(event.payload)
    fleet = payload["fleet"]
    offers = tuple(
        Offer(**{**o, "stages": tuple(StagePlan(**s) for s in o["stages"]), "path": manifest_path(fleet, o["variant"])})
        for o in payload["manifests"]
    )
    return Release(
        id=event.release_id,
        fleet=fleet,
        model_name=payload["model_name"],
        model_version=payload["model_version"],
        counter=payload["counter"],
        author=event.actor,
        created=event.time,
        state=State.DRAFT,
        revision=event.revision,
        stage=0,
        expires_days=payload["expires_days"],
        gates=payload["gates"],
        manifests=offers,
        skipped=tuple(Skipped(**s) for s in payload["skipped"]),
    )


def _approved(release: Release, event: Event) -> Release:
    """A signature over another proposal than before voids the earlier ones: their file can no longer be published."""
    proposal = Proposal(event.payload["version"], event.payload["digest"])
    kept, dropped = (release.approvals, ()) if release.proposal == proposal else ((), release.approvals)
    new = Approval(event.actor, event.payload["keyid"], event.payload["signature"], event.payload["reason"], event.time)
    lost = [n for n in (*release.voided, *(a.person for a in dropped)) if n != new.person]
    return replace(release, proposal=proposal, approvals=(*kept, new), voided=tuple(lost))


def _started(release: Release, event: Event) -> Release:
    """From here on devices are told: final sequence numbers, and what each variant was told before."""

    def tell(offer: Offer) -> Offer:
        told = event.payload["variants"][offer.variant]
        way = Way(**told["previous"]) if told["previous"] else None
        return replace(offer, sequence=told["sequence"], previous=way, created=event.time, live=True)

    return replace(release, manifests=tuple(tell(o) for o in release.manifests))


def _promoted(release: Release, event: Event) -> Release:
    """The next stage under new sequence numbers."""
    if release.stage + 1 >= len(release.manifests[0].stages):
        raise Conflict(f"release '{release.id}' is in its last stage", hint="it can be completed")
    numbers = event.payload["sequences"]
    offers = tuple(replace(o, sequence=numbers.get(o.variant, o.sequence), created=event.time) for o in release.manifests)
    return replace(release, stage=release.stage + 1, manifests=offers)


def _displaced(release: Release, event: Event) -> Release:
    """A later release tells some of the variants something else."""
    gone = event.payload["variants"]
    return replace(release, manifests=tuple(replace(o, live=o.live and o.variant not in gone) for o in release.manifests))


_FOLDS: dict[Kind, Callable[[Release, Event], Release]] = {
    Kind.APPROVED: _approved,
    Kind.STARTED: _started,
    Kind.PROMOTED: _promoted,
    Kind.DISPLACED: _displaced,
}
