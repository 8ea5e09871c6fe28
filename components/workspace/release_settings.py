"""The sections `fleets:` and `release:` of muster.yaml: who is out there, and how a release reaches them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field, model_validator

from components.workspace.section import Name, Section, Source

_WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"'{text}' is no version range; write one like '>=2.1,<3' (PEP 440)") from None
    return text


VersionRange = Annotated[str, AfterValidator(_specifier)]


class Variant(Section):
    """Firmware versions that share an artefact on one hardware profile."""

    name: Name
    firmware: VersionRange


class Fleet(Section):
    name: Name
    inventory: Source = Field(
        description="CSV or .parquet, or postgresql://user@host/name?table=devices (or ?query=SELECT ...): device_id, fleet,"
        " hardware_profile, firmware_version, site, public_key, via; may have hardware_revision"
    )
    variants: tuple[Variant, ...] = Field(min_length=1, strict=False)
    pinned: tuple[str, ...] = Field((), strict=False, max_length=32, description="devices that keep what they run")


class Stage(Section):
    """``share`` is cumulative. The stage opens in ``waves``, each of which waits for the reports of those before it."""

    name: Name
    share: float = Field(gt=0, le=1, description="cumulative share of the fleet")
    soak_s: int = Field(3600, ge=0)
    waves: int | None = Field(None, ge=1, le=64, description="null: 8 in the first stage, 1 in the others")
    decided_by: Literal["gates", "people"] = Field("gates", description="who opens what follows; gates may always halt")


class Metric(Section):
    """A reading that devices report. Bad is above ``limit``, or above the control group's by more than ``margin``."""

    name: Literal["latency_us", "drift_milli", "anomaly_milli", "errors"]
    limit: int | None = Field(None, ge=0, description="in the metric's own unit; null: compared with the control group")
    accepted_bp: int = Field(500, gt=0, lt=10_000, description="accepted share of devices above the limit")
    margin: float = Field(0.1, ge=0, description="by which share a reading may exceed that of the control group")


class Gates(Section):
    """Accepted and intolerable failure rates in basis points, and the error probabilities of the two decisions."""

    accepted_failures_bp: int = Field(200, gt=0, lt=10_000)
    intolerable_failures_bp: int = Field(1000, gt=0, lt=10_000)
    alpha_halt_bp: int = Field(100, gt=0, lt=10_000)
    alpha_promote_bp: int = Field(500, gt=0, lt=10_000)
    report_deadline_s: int = Field(86_400, gt=0, description="a device that is silent for longer counts as failed")
    max_attempts: int = Field(3, ge=1, le=16, description="a download that failed is tried again as often")
    extensions: int = Field(2, ge=0, le=8, description="how often a stage that cannot decide doubles before it asks people")
    metrics: tuple[Metric, ...] = Field((), strict=False)

    @model_validator(mode="after")
    def _rates_grow(self) -> Self:
        if self.accepted_failures_bp >= self.intolerable_failures_bp:
            raise ValueError("accepted_failures_bp must be below intolerable_failures_bp")
        return self


ProofLevel = Literal["native", "emulated", "same-runtime", "host-compiled", "none"]


class Release(Section):
    """How a release ramps, and what may be released at all."""

    stages: tuple[Stage, ...] = Field(min_length=1, max_length=16, strict=False)
    gates: Gates = Gates()
    halt: Literal["variant", "release"] = Field("variant", description="what a gate halts")
    control_share: float = Field(0.0, ge=0, lt=0.5, description="share of each variant kept back until the release completes")
    canary_per_site: int | None = Field(
        None, ge=1, description="devices of one site in the first stage; null: twice an even share"
    )
    windows: tuple[str, ...] = Field((), strict=False, max_length=4, description="local times of devices, '22:00-05:30'")
    proof_levels: tuple[ProofLevel, ...] = Field(("native", "emulated", "same-runtime"), strict=False)
    expires_days: int = Field(90, ge=1)

    @model_validator(mode="after")
    def _shares_grow(self) -> Self:
        shares = [s.share for s in self.stages]
        if sorted(set(shares)) != shares or shares[-1] != 1.0:
            raise ValueError("the shares of release.stages must grow and end at 1.0")
        if any(m.limit is None for m in self.gates.metrics) and not self.control_share:
            raise ValueError("a metric without limit is compared with the control group: set release.control_share")
        for window in self.windows:
            if not _WINDOW.fullmatch(window):
                raise ValueError(f"'{window}' is no window such as 22:00-05:30")
        return self
