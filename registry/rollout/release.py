"""A release as its event log tells it (replaying.py)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from registry.contract.times import parse_stamp
from registry.rollout.states import TERMINAL, State


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
class Displaced:
    """A firmware release that this one takes out of offer when it starts, and how many ``devices`` still need it then."""

    release: str
    version: str
    devices: int


@dataclass(frozen=True)
class Release:
    """``counter`` rises with every draft of the fleet; ``revision`` is that of the last event.

    ``state`` is that of the variant that needs a person most. ``voided``: persons whose signature lost its meaning, and
    who have to approve again. ``pinned``: devices that keep what they run. ``displaces``: as known at the draft.
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
    displaces: tuple[Displaced, ...] = ()
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
