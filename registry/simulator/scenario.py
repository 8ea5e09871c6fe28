"""The script of a rehearsal: what share of the devices does what. Whoever is in no group is healthy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from components.workspace.errors import InputError, NotFound
from components.workspace.section import Section
from components.workspace.workspace import read_yaml
from registry.simulator.readings import Readings

HEALTHY = -1


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError(f"'{text}' is no version such as 1.0.2 (PEP 440)") from None
    return text


class _Group(Section):
    """``variant``: only devices of this firmware variant, or of all of them. ``readings``: theirs of the new model, where they
    are not the scenario's.
    """

    share: float = Field(gt=0, le=1)
    variant: str | None = None
    readings: Readings | None = None


class Failing(_Group):
    """The self-test fails: they keep what they ran, and say so."""

    behaviour: Literal["failing"]


class Silent(_Group):
    """They say that they start, and are never heard again: bricked."""

    behaviour: Literal["silent"]


class Lying(_Group):
    """Not let in, they claim success; let in, they claim it too, and run what they ran before."""

    behaviour: Literal["lying"]


class Offline(_Group):
    """They have been off for long, and are for ``days`` more."""

    behaviour: Literal["offline"]
    days: float = Field(3.0, gt=0, le=365)


class WrongClock(_Group):
    """Their clock is ahead by ``days``, or behind where these are negative."""

    behaviour: Literal["wrong_clock"]
    days: float = Field(-365.0, ge=-20_000, le=20_000)


class OldFirmware(_Group):
    """They run ``firmware``, whatever the inventory says."""

    behaviour: Literal["old_firmware"]
    firmware: Annotated[str, AfterValidator(_version)] = "0.0.1"


class SlowDownload(_Group):
    """The download is given up after ``hours``, ``attempts`` times; the next attempt works."""

    behaviour: Literal["slow_download"]
    hours: float = Field(1.0, gt=0, le=720)
    attempts: int = Field(1, ge=1)


class FallingBack(_Group):
    """It runs and they say so; ``hours`` later they fall back to what they ran before."""

    behaviour: Literal["falling_back"]
    hours: float = Field(2.0, gt=0, le=720)


class Degraded(_Group):
    """It runs, but badly: unless they say which, by every reading."""

    behaviour: Literal["degraded"]
    readings: Readings = Readings(latency_us=9000, drift_milli=2000, anomaly_milli=300, errors=3)


Group = Annotated[
    Failing | Silent | Lying | Offline | WrongClock | OldFirmware | SlowDownload | FallingBack | Degraded,
    Field(discriminator="behaviour"),
]
_GROUP: TypeAdapter[Group] = TypeAdapter(Group)
BEHAVIOURS = tuple(
    kind.model_fields["behaviour"].annotation.__args__[0]  # type: ignore[union-attr]
    for kind in (Failing, Silent, Lying, Offline, WrongClock, OldFirmware, SlowDownload, FallingBack, Degraded)
)


class Scenario(Section):
    """Polls and reports are spread evenly over ``poll_s`` and ``report_s``; each report comes up to ``deliveries`` times."""

    poll_s: int = Field(1800, gt=0, description="seconds between two polls of a device")
    report_s: int = Field(1800, ge=0, description="seconds that a report takes at most")
    install_s: int = Field(120, ge=0, description="seconds from taking up an offer to the boot that proves it")
    statement_s: int | None = Field(86_400, gt=0, description="seconds between statements of health; null: none")
    deliveries: int = Field(3, ge=1, le=16)
    heard_before: bool = Field(
        False, description="true: all but the offline were heard of just before, as in a fleet that reports; false: as it is"
    )
    readings: Readings = Readings()
    groups: tuple[Group, ...] = Field((), strict=False)

    @model_validator(mode="after")
    def _there_are_enough_devices(self) -> Self:
        everywhere = sum(g.share for g in self.groups if g.variant is None)
        for variant in {g.variant for g in self.groups}:
            mine = sum(g.share for g in self.groups if variant is not None and g.variant == variant)
            if everywhere + mine > 1 + 1e-9:
                raise ValueError(f"the shares of the groups{f' of {variant}' if variant else ''} are more than 1 together")
        return self

    def refuse_unknown(self, variants: Sequence[str]) -> None:
        """Raises InputError for a group of a variant that the release does not offer."""
        for group in self.groups:
            if group.variant is not None and group.variant not in variants:
                raise InputError(
                    f"the scenario has a group of variant '{group.variant}', which the release does not offer",
                    hint=f"it offers {', '.join(variants)}",
                )

    @property
    def measured(self) -> list[Readings]:
        """(groups + 1,) what each group measures of the new model; the last entry is that of the healthy."""
        return [*(g.readings.over(self.readings) if g.readings else self.readings for g in self.groups), self.readings]

    def draw(self, variant: NDArray[np.int64], names: Sequence[str], rng: np.random.Generator) -> NDArray[np.int64]:
        """(devices,) number of each device's group, HEALTHY where it has none. ``variant``: (devices,) places in ``names``.

        Shares are exact in every variant, rounded; which devices it hits is drawn.
        """
        group = np.full(len(variant), HEALTHY, np.int64)
        for place, name in enumerate(names):
            order = rng.permutation(np.flatnonzero(variant == place))
            used = 0
            for number, one in enumerate(self.groups):
                if one.variant in (None, name):
                    count = min(round(one.share * len(order)), len(order) - used)
                    group[order[used : used + count]] = number
                    used += count
        return group


def read_scenario(file: Path) -> Scenario:
    """Raises NotFound or InputError, the latter with line and key."""
    if not file.is_file():
        raise NotFound(f"no scenario in {file}", hint="docs/operator.md shows what it holds")
    return read_yaml(file, Scenario, "docs/operator.md shows what a scenario holds")


def parse_group(text: str) -> Group:
    """A group as an option gives it: 'failing=0.05'.

    Raises:
        InputError: no such behaviour, or no share.
    """
    behaviour, _, share = text.partition("=")
    try:
        return _GROUP.validate_python({"behaviour": behaviour, "share": float(share)})
    except (ValueError, ValidationError):
        raise InputError(
            f"'{text}' is no behaviour with a share", hint=f"write one such as failing=0.05; there are {', '.join(BEHAVIOURS)}"
        ) from None
