"""A release as its event log tells it: `replay` is a pure function of the events and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from components.workspace.errors import Conflict
from registry.contract.manifest import manifest_path
from registry.contract.times import parse_stamp
from registry.rollout.events import Event
from registry.rollout.states import EDGES, TERMINAL, Kind, State, overall


@dataclass(frozen=True)
class Wave:
    """A step within a stage: ``upto`` is the cohort's cut for ``quota`` devices in all (registry/contract/cohort.py)."""

    quota: int
    upto: int


@dataclass(frozen=True)
class StagePlan:
    """``waves``: at least one; the last one is the whole stage. ``decided_by``: 'gates' or 'people'."""

    name: str
    soak_s: int
    waves: tuple[Wave, ...]
    decided_by: str = "gates"

    @property
    def quota(self) -> int:
        return self.waves[-1].quota

    @property
    def upto(self) -> int:
        return self.waves[-1].upto


@dataclass(frozen=True)
class MetricRule:
    """``limit`` None: compared with the control group, which it may exceed by ``margin_bp``."""

    name: str
    limit: int | None
    accepted_bp: int
    margin_bp: int


@dataclass(frozen=True)
class Rules:
    """The gates of a release, in basis points and seconds (`release.gates` of muster.yaml). ``halt``: 'variant' or 'release'."""

    p0_bp: int
    pmax_bp: int
    alpha_halt_bp: int
    alpha_promote_bp: int
    report_deadline_s: int
    max_attempts: int = 3
    extensions: int = 2
    halt: str = "variant"
    metrics: tuple[MetricRule, ...] = ()


@dataclass(frozen=True)
class Way:
    """What a variant was told before, whole: a rollback tells it again. ``firmware_version``: of a firmware, else ''."""

    sequence: int
    model_name: str
    version: int
    sha256: str
    length: int
    release_counter: int
    runtime: str
    runtime_minimal: str
    firmware_version: str = ""


@dataclass(frozen=True)
class Cut:
    """From ``time`` on, devices with a bucket below ``upto`` take the release; ``devices`` of those known at the draft."""

    upto: int
    devices: int
    time: str

    @property
    def seconds(self) -> int:
        return int(parse_stamp(self.time).timestamp())


@dataclass(frozen=True)
class Offer:
    """One firmware variant's part of a release. ``sequence`` is the planned one until the release starts.

    ``created``: when devices were last told something new, by the event ``told_by``; ``length`` in bytes; ``control_from``:
    buckets kept back until it completes; ``deferred``: devices that count as if their bucket were the end of the first stage;
    ``live``: not displaced by a later release; ``cuts``: how it was opened so far; ``extended``: times the stage grew beyond
    its plan; ``why``: the reason of its last pause, hold or halt; ``persons``: those who want it to go on after a halt;
    ``judged_from``: when they let it go on, from where on halting gates count anew. ``firmware_version``: what devices have
    after it, where it offers firmware, else ''; ``hardware_revisions``: of the boards that it is for, none: all.
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
    control_from: int
    deferred: tuple[str, ...]
    state: State = State.DRAFT
    stage: int = 0
    wave: int = 0
    extended: int = 0
    cuts: tuple[Cut, ...] = ()
    created: str = ""
    told_by: str = ""
    previous: Way | None = None
    live: bool = False
    why: str = ""
    persons: tuple[str, ...] = ()
    judged_from: str = ""
    firmware_version: str = ""
    hardware_revisions: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "firmware" if self.firmware_version else "model"

    @property
    def plan(self) -> StagePlan:
        return self.stages[self.stage]

    @property
    def last_stage(self) -> bool:
        return self.stage == len(self.stages) - 1

    @property
    def open(self) -> bool:
        return self.state not in TERMINAL


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
    """Devices that the release does not reach. ``requires``: the release whose firmware would bring them in, or ''."""

    profile: str
    firmware: str
    devices: int
    reason: str
    requires: str = ""


@dataclass(frozen=True)
class Release:
    """``counter`` rises with every draft of the fleet; ``revision`` is that of the last event.

    ``state`` is that of the variant that needs a person most. ``voided``: persons whose signature lost its meaning, and
    who have to approve again. ``pinned``: devices that keep what they run.
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
    expires_days: int
    not_before: str
    windows: tuple[str, ...]
    pinned: tuple[str, ...]
    rules: Rules
    manifests: tuple[Offer, ...]
    skipped: tuple[Skipped, ...]
    approvals: tuple[Approval, ...] = ()
    proposal: Proposal | None = None
    voided: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.state not in TERMINAL

    @property
    def kind(self) -> str:
        """'model' or 'firmware'."""
        return self.manifests[0].kind

    @property
    def line(self) -> tuple[str, str]:
        """Of two releases of one line the newer takes the place of the older: the models of a fleet, a profile's firmware."""
        return self.kind, self.model_name if self.kind == "firmware" else ""

    @property
    def title(self) -> str:
        """What it offers, in words."""
        if self.kind == "firmware":
            return f"firmware {self.manifests[0].firmware_version} of {self.manifests[0].profile}"
        return f"{self.model_name} version {self.model_version}"

    @property
    def started(self) -> bool:
        """Whether devices were ever told."""
        return any(o.created for o in self.manifests)

    @property
    def stage(self) -> int:
        """That of the variant that is furthest behind."""
        return min((o.stage for o in self.manifests if o.live), default=self.manifests[0].stage)

    def offer(self, variant: str) -> Offer:
        return next(o for o in self.manifests if o.variant == variant)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"stage": self.stage}


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
    """The release after ``event``, which touches the variants it names, or all."""
    if release is None:
        if event.kind != Kind.DRAFTED:
            raise Conflict(f"release '{event.release_id}' begins with '{event.kind}'", hint="the first event is its draft")
        return _drafted(event)
    touched = touched_by(release, event.kind, event.payload)
    state_of = {v: next_state(release, release.offer(v), event.kind) for v in touched}
    fold = _OFFERS.get(event.kind, _same)

    def moved(offer: Offer) -> Offer:
        told = touched.get(offer.variant)
        if told is None:
            return offer
        folded, state = _told(fold(offer, told, event), told, event), state_of[offer.variant]
        return folded if folded.state == state else replace(folded, state=state)

    offers = tuple(moved(o) for o in release.manifests)
    folded = _RELEASES[event.kind](release, event) if event.kind in _RELEASES else release
    return replace(folded, manifests=offers, state=overall({o.state for o in offers}), revision=event.revision)


def touched_by(release: Release, kind: Kind, payload: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Variant -> what the event says of it. An event that names none is about all of them."""
    named = payload.get("variants")
    if named is None:
        return {o.variant: {} for o in release.manifests}
    if unknown := sorted(set(named) - {o.variant for o in release.manifests}):
        raise Conflict(f"release '{release.id}' has no variant '{unknown[0]}'", hint=f"'{kind}' names one that it does not offer")
    return dict(named)


def next_state(release: Release, offer: Offer, kind: Kind) -> State:
    """Raises Conflict when ``kind`` cannot happen to the variant now."""
    state = EDGES.get((offer.state, kind))
    if state is None or (kind == Kind.PROMOTED and offer.last_stage):
        legal = sorted(k.value.replace("_", " ") for s, k in EDGES if s == offer.state and k in _BY_PERSONS)
        who = f"release '{release.id}'" if not release.started else f"'{offer.variant}' in release '{release.id}'"
        raise Conflict(
            f"{who} is {offer.state.replace('_', ' ')}: it cannot be {kind.replace('_', ' ')}",
            hint=f"it can be {', '.join(legal)}" if legal else "it has ended; draft a new one",
        )
    return state


def require(release: Release, kind: Kind, variants: Iterable[str] | None = None) -> None:
    """Raises Conflict when ``kind`` cannot happen now to each of ``variants``, or to all of them."""
    for offer in release.manifests if variants is None else [release.offer(v) for v in variants]:
        next_state(release, offer, kind)


_BY_PERSONS = frozenset(
    {
        Kind.APPROVED,
        Kind.DENIED,
        Kind.PROMOTED,
        Kind.PAUSED,
        Kind.RESUMED,
        Kind.HELD,
        Kind.HALTED,
        Kind.ROLLBACK_STARTED,
        Kind.ABORTED,
        Kind.CANCELLED,
    }
)


def _drafted(event: Event) -> Release:
    payload = dict(event.payload)
    fleet = payload["fleet"]
    rules = payload["rules"]
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
        expires_days=payload["expires_days"],
        not_before=payload["not_before"],
        windows=tuple(payload["windows"]),
        pinned=tuple(payload["pinned"]),
        rules=Rules(**rules | {"metrics": tuple(MetricRule(**m) for m in rules["metrics"])}),
        manifests=tuple(_planned(fleet, o) for o in payload["offers"]),
        skipped=tuple(Skipped(**s) for s in payload["skipped"]),
    )


def _planned(fleet: str, offer: Mapping[str, Any]) -> Offer:
    stages = tuple(StagePlan(**{**s, "waves": tuple(Wave(**w) for w in s["waves"])}) for s in offer["stages"])
    lists = {name: tuple(offer[name]) for name in ("deferred", "hardware_revisions") if name in offer}
    return Offer(**{**offer, **lists, "stages": stages, "path": manifest_path(fleet, offer["variant"])})


def _approved(release: Release, event: Event) -> Release:
    """A signature over another proposal than before voids the earlier ones: their file can no longer be published."""
    proposal = Proposal(event.payload["version"], event.payload["digest"])
    kept, dropped = (release.approvals, ()) if release.proposal == proposal else ((), release.approvals)
    new = Approval(event.actor, event.payload["keyid"], event.payload["signature"], event.payload["reason"], event.time)
    lost = [n for n in (*release.voided, *(a.person for a in dropped)) if n != new.person]
    return replace(release, proposal=proposal, approvals=(*kept, new), voided=tuple(lost))


def _told(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    """Devices are told something new under a new sequence number."""
    if "sequence" not in told:
        return offer
    return replace(offer, sequence=told["sequence"], created=event.time, told_by=event.hash)


def _same(offer: Offer, _told: Mapping[str, Any], _event: Event) -> Offer:
    return offer


def _started(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    way = Way(**told["previous"]) if told["previous"] else None
    return _opened(replace(offer, previous=way, live=True), told, event)


def _opened(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    cut = Cut(told["upto"], told["devices"], event.time)
    if offer.cuts and cut.upto < offer.cuts[-1].upto:
        raise Conflict(f"'{offer.variant}' cannot shrink to {cut.upto}", hint="a device that was told to install was told")
    return replace(offer, cuts=(*offer.cuts, cut))


def _widened(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    extension = bool(told["extension"])
    return replace(_opened(offer, told, event), wave=offer.wave + (not extension), extended=offer.extended + extension)


def _promoted(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    return replace(_opened(offer, told, event), stage=offer.stage + 1, wave=0, extended=0, why="", persons=())


def _stopped(offer: Offer, _told: Mapping[str, Any], event: Event) -> Offer:
    return replace(offer, why=event.payload.get("reason", ""), persons=())


def _resumed(offer: Offer, _told: Mapping[str, Any], event: Event) -> Offer:
    """Two persons who let it go on after a halt know what had been reported by then."""
    from_now = event.time if offer.state == State.HALTED else offer.judged_from
    return replace(offer, why="", persons=(), judged_from=from_now)


def _vouched(offer: Offer, _told: Mapping[str, Any], event: Event) -> Offer:
    return replace(offer, persons=(*offer.persons, event.actor))


def _displaced(offer: Offer, _told: Mapping[str, Any], _event: Event) -> Offer:
    """A later release tells the variant something else."""
    return replace(offer, live=False)


_RELEASES: dict[Kind, Callable[[Release, Event], Release]] = {Kind.APPROVED: _approved}
_OFFERS: dict[Kind, Callable[[Offer, Mapping[str, Any], Event], Offer]] = {
    Kind.STARTED: _started,
    Kind.WIDENED: _widened,
    Kind.PROMOTED: _promoted,
    Kind.COMPLETED: _opened,
    Kind.PAUSED: _stopped,
    Kind.HELD: _stopped,
    Kind.HALTED: _stopped,
    Kind.RESUMED: _resumed,
    Kind.RESUMPTION_APPROVED: _vouched,
    Kind.ROLLBACK_STARTED: _stopped,
    Kind.DISPLACED: _displaced,
}
