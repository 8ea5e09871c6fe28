"""The manifest: what one firmware variant of one fleet is to run, from which stage on, and what came before.

It is a TUF target of its fleet's role, JSON with integers only, at most 4 KiB. A device refuses a schema version
it does not know. ``sequence_number`` is not the model's version: going back to an old version takes a new, higher
sequence number (RFC 9124, REQ.SEC.SEQUENCE). Stages are evaluated by the device (see cohort.py).
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from registry.contract.cohort import ALGORITHM, BUCKETS
from registry.contract.times import parse_stamp

MAX_BYTES = 4096


def _stamp(text: str) -> str:
    parse_stamp(text)
    return text


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(str(error)) from None
    return text


@lru_cache(maxsize=4096)
def pep440(text: str) -> str:
    """A version as it is written. Remembered: a fleet has few, and a registry reads many reports.

    Raises:
        ValueError: it is none.
    """
    try:
        Version(text)
    except InvalidVersion as error:
        raise ValueError(str(error)) from None
    return text


Stamp = Annotated[str, AfterValidator(_stamp), Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,127}$")]
Range = Annotated[str, AfterValidator(_specifier), Field(max_length=128)]
Window = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Pin = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
BasisPoints = Annotated[int, Field(gt=0, lt=10_000)]


class Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Grown(Part):
    """Has fields that came later, or seldom say something: they are written only where they do, so that all else stays short
    and as it was signed.
    """

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _say_no_more_than_needed(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        silent = {name for name in self.later if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in write(self).items() if name not in silent}


class Artifact(Grown):
    """``path`` is the TUF target below `targets/`; ``release_counter`` is what two persons' keys vouch for.

    A device does nothing with a ``kind`` that it does not know. ``firmware_version``: what a device has after it has
    installed this firmware; a model has none.
    """

    later = ("kind", "firmware_version")

    name: Name
    version: int = Field(ge=1)
    model_uri: str = Field(
        pattern=r"^(models:/[^/@]+/\d+|firmware:/[^/@]+/[^/@]+)$", description="never an alias: an alias moves"
    )
    length: int = Field(gt=0)
    sha256: Sha256
    path: str
    release_counter: int = Field(ge=1)
    kind: Literal["model", "firmware"] = "model"
    firmware_version: Annotated[str, AfterValidator(pep440), Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _firmware_says_which(self) -> Self:
        uri = "firmware" if self.model_uri.startswith("firmware:") else "model"
        if uri != self.kind or (self.kind == "firmware") != (self.firmware_version is not None):
            raise ValueError("kind, the address in model_uri and firmware_version go together")
        return self

    @model_validator(mode="after")
    def _path_is_the_digest(self) -> Self:
        if self.path != f"artifacts/{self.sha256}.artefact":
            raise ValueError("path is not artifacts/<sha256>.artefact")
        return self


class Runtime(Part):
    name: Literal["onnxruntime", "openvino", "litert", "c99"]
    minimal: Annotated[str, AfterValidator(pep440), Field(max_length=64)]


class Compatibility(Grown):
    """``hardware_revisions``: of the board; none: all. A firmware's range is that of the devices that may install it."""

    later = ("hardware_revisions",)

    hardware_ids: tuple[Name, ...] = Field(min_length=1, max_length=8, strict=False)
    firmware_version: Range = Field(description="PEP 440 range")
    runtime: Runtime
    hardware_revisions: tuple[Revision, ...] = Field((), max_length=8, strict=False)


class Cohort(Part):
    """``pinned``: devices that keep what they run, whatever their bucket; ``deferred``: those whose bucket counts as at least
    ``deferred_to``. Both are named by `cohort.pin`.
    """

    algorithm: Literal["sha256-mulshift/1"] = ALGORITHM
    salt: str = Field(min_length=1, max_length=128)
    pinned: tuple[Pin, ...] = Field((), max_length=32, strict=False)
    deferred: tuple[Pin, ...] = Field((), max_length=48, strict=False)
    deferred_to: int = Field(0, ge=0, le=BUCKETS)


class Stage(Part):
    """``quota`` devices of those known when the release was drafted have a bucket below ``upto``."""

    name: Name
    quota: int = Field(ge=0)
    upto: int = Field(ge=0, le=BUCKETS)
    bake_seconds: int = Field(ge=0)


class Gates(Part):
    """The rules the registry applies to health reports; echoed for audit, in basis points and seconds."""

    p0_bp: BasisPoints
    pmax_bp: BasisPoints
    alpha_halt_bp: BasisPoints
    alpha_promote_bp: BasisPoints
    report_deadline_s: int = Field(gt=0)
    max_attempts: int = Field(ge=1, le=16)


class Previous(Part):
    """What this variant was told before: the way back, which two persons approved together with this release."""

    sequence_number: int = Field(ge=1)
    version: int = Field(ge=1)
    sha256: Sha256


class Manifest(Part):
    schema_version: Literal[1] = 1
    manifest_id: str = Field(max_length=256)
    sequence_number: int = Field(ge=1, le=2**53 - 1, description="no more than every JSON parser reads exactly")
    rollout_id: Name
    fleet_id: Name
    firmware_variant: Name
    created_at: Stamp
    log_head: Sha256 = Field(description="hash of the event in the release's log that told it: what was decided, and all before")
    not_before: Stamp
    expires: Stamp
    state: Literal["running", "paused", "halted", "completed", "rollback"]
    artifact: Artifact
    compatibility: Compatibility
    cohort: Cohort
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=16, strict=False)
    active_stage: int = Field(ge=0)
    gates: Gates
    windows: tuple[Window, ...] = Field((), max_length=4, strict=False, description="local times to install in; none: any")
    rollback: Previous | None
    withdrawn: Sha256 | None = Field(None, description="in a rollback: who runs this artefact goes back, nobody else")

    @model_validator(mode="after")
    def _a_rollback_names_what_it_withdraws(self) -> Self:
        if (self.state == "rollback") != (self.withdrawn is not None) or self.withdrawn == self.artifact.sha256:
            raise ValueError("state rollback and withdrawn go together, and withdrawn is another artefact")
        return self

    @model_validator(mode="after")
    def _stages_only_grow(self) -> Self:
        cuts = [s.upto for s in self.stages]
        if cuts != sorted(cuts) or self.active_stage >= len(cuts):
            raise ValueError("upto must not shrink from stage to stage, and active_stage must be one of them")
        return self

    @property
    def upto(self) -> int:
        """The cut of the active stage."""
        return self.stages[self.active_stage].upto

    @property
    def path(self) -> str:
        return manifest_path(self.fleet_id, self.firmware_variant)

    def to_bytes(self) -> bytes:
        """Compact JSON with sorted keys: equal manifests are equal bytes.

        Raises:
            ValueError: it has more than 4096 bytes.
        """
        data = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
        if len(data) > MAX_BYTES:
            raise ValueError(f"manifest of {len(data)} bytes; devices read {MAX_BYTES}")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse without trusting.

        Raises:
            ValueError: too long, no JSON, a key twice, a float, or against the schema.
        """
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes, more than {MAX_BYTES}")
        try:
            value = json.loads(data, parse_float=_refuse, parse_constant=_refuse, object_pairs_hook=_unique)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return cls.model_validate(value)


def firmware_variant(profile: str) -> str:
    """The variant under whose name a profile's firmware is offered, beside those of its models."""
    return f"{profile}-firmware"


def manifest_path(fleet: str, variant: str) -> str:
    return f"fleets/{fleet}/{variant}/rollout.json"


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the manifest."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Manifest.model_json_schema()


def _refuse(text: str) -> None:
    raise ValueError(f"'{text}' is no integer")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is written twice")
    return value
