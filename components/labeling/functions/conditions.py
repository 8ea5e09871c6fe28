"""The conditions of rules in YAML: what each kind may say, what it sees, and where it holds.

threshold   a statistic of a channel is above, below, or between
slope       a channel rises or falls, a unit per hour
stuck       a channel repeats one sample over a share of the window
channels    difference or ratio of two channels
duration    a condition on a channel's samples, or on windows, holds for so long
event       records (errors, maintenance, notes) in the window, or within a time before its end
followed    one condition or event after another within a time

Scales: ``physical`` units; ``deviations``, standard deviations of the device's own calibration; ``calibration``, the ratio
to the device's median over its calibration; ``peers``, robust standard deviations of other devices at the same time.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from components.features.records import Records, check_pattern
from components.features.statistics import SCALED
from components.labeling.functions.spells import Times, follows, longest_run
from components.labeling.functions.view import Sees, WindowView, widest
from components.workspace.errors import InputError
from components.workspace.section import Section
from components.workspace.settings import Settings

Scale = Literal["physical", "deviations", "calibration", "peers"]
Group = Literal["site", "hardware_profile", "fleet"]
Statistic = Literal["mean", "std", "min", "max", "range", "slope", "diff_std", "energy", "missing", "stuck"]

Bools = NDArray[np.bool_]
Numbers = NDArray[Any]

_SEES: dict[str, Sees] = {"physical": "window", "deviations": "window", "calibration": "device", "peers": "fleet"}


class _Base(Section):
    @property
    def sees(self) -> Sees:
        return "window"

    @property
    def channels(self) -> tuple[str, ...]:
        return ()

    def check(self, settings: Settings) -> None:
        """Compare the condition with what the workspace declares.

        Raises:
            InputError: the condition names what the workspace does not declare.
        """


class _Bounds(_Base):
    above: float | None = None
    below: float | None = None

    def require_bounds(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("say above:, below:, or both")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"nothing is above {self.above:g} and below {self.below:g}")

    def within(self, values: Numbers) -> Bools:
        """Where ``values`` lie strictly inside the bounds; NaN lies nowhere."""
        result = np.ones(values.shape, bool) if self.above is None else values > self.above
        return result if self.below is None else result & (values < self.below)


class _Bounded(_Bounds):
    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        self.require_bounds()
        return self


class _OfStatistic(_Bounded):
    statistic: Statistic = "mean"
    scale: Scale = "physical"
    peers: Group = Field("site", description="with scale: peers, what the devices have in common")

    @model_validator(mode="after")
    def _has_this_scale(self) -> Self:
        if self.scale == "deviations" and self.statistic not in SCALED:
            raise ValueError(f"{self.statistic} has no standard deviations; those that have: {', '.join(SCALED)}")
        return self

    @property
    def sees(self) -> Sees:
        return _SEES[self.scale]

    def scaled(self, w: WindowView, column: Numbers) -> Numbers:
        if self.scale == "calibration":
            return w.against_calibration(column)
        return w.against_peers(column, self.peers) if self.scale == "peers" else column

    def read(self, w: WindowView, channel: str) -> Numbers:
        return w.column(f"{channel}_z_{self.statistic}" if self.scale == "deviations" else f"{channel}_{self.statistic}")


class Threshold(_OfStatistic):
    kind: Literal["threshold"]
    channel: str

    @property
    def channels(self) -> tuple[str, ...]:
        return (self.channel,)

    def holds(self, w: WindowView) -> Bools:
        return self.within(self.scaled(w, self.read(w, self.channel)))


class Slope(_Bounded):
    kind: Literal["slope"]
    channel: str
    scale: Literal["physical", "deviations"] = "physical"

    @property
    def channels(self) -> tuple[str, ...]:
        return (self.channel,)

    def holds(self, w: WindowView) -> Bools:
        return self.within(w.slope(self.channel) if self.scale == "physical" else w.z_slope(self.channel))


class Stuck(_Base):
    kind: Literal["stuck"]
    channel: str
    share: float = Field(gt=0, le=1, description="of the window, in one run of equal samples; or more")

    @property
    def channels(self) -> tuple[str, ...]:
        return (self.channel,)

    def holds(self, w: WindowView) -> Bools:
        return w.stuck(self.channel) >= np.float32(self.share)


class Channels(_OfStatistic):
    """``take`` of the first channel's statistic and the second's; for scale deviations of both, else scaled afterwards."""

    kind: Literal["channels"]
    first: str
    second: str
    take: Literal["difference", "ratio"] = "difference"

    @property
    def channels(self) -> tuple[str, ...]:
        return (self.first, self.second)

    def holds(self, w: WindowView) -> Bools:
        first, second = self.read(w, self.first), self.read(w, self.second)
        return self.within(self.scaled(w, first - second if self.take == "difference" else first / second))


class Event(_Base):
    """Records of ``code`` and whose text holds ``pattern`` (RE2), where these are given."""

    kind: Literal["event"]
    records: str
    code: str | None = None
    pattern: str | None = None
    at_least: int = Field(1, ge=1)
    within_s: float | None = Field(None, gt=0, allow_inf_nan=False, description="before the window's end; absent: in the window")

    def check(self, settings: Settings) -> None:
        if self.records not in settings.records:
            known = ", ".join(settings.records) or "none"
            raise InputError(f"no '{self.records}' under records: in muster.yaml", hint=f"it has {known}")
        if self.pattern is not None:
            check_pattern(self.pattern)

    def chosen(self, w: WindowView) -> Records:
        records = w.outside.records(self.records).only(self.code)
        return records if self.pattern is None else records.saying(self.pattern)

    def holds(self, w: WindowView) -> Bools:
        return self.chosen(w).count(w.spans, *w.reach(self.within_s)) >= self.at_least


Simple = Annotated[Threshold | Slope | Stuck | Channels | Event, Field(discriminator="kind")]


class Duration(_Bounds):
    """With ``channel``: a run of its samples inside the bounds spans ``for_s`` or more in the window. With ``of``: that
    condition holds in consecutive windows that span ``for_s`` or more; all of these windows hold.
    """

    kind: Literal["duration"]
    for_s: float = Field(gt=0, allow_inf_nan=False)
    channel: str | None = None
    of: Simple | None = None

    @model_validator(mode="after")
    def _samples_or_windows(self) -> Self:
        if (self.channel is None) == (self.of is None):
            raise ValueError("name a channel, for runs of samples, or a condition in of:, for runs of windows")
        if self.of is None:
            self.require_bounds()
        elif self.above is not None or self.below is not None:
            raise ValueError("with of:, the bounds belong to the condition in it")
        return self

    @property
    def sees(self) -> Sees:
        return "window" if self.of is None else widest("device", self.of.sees)

    @property
    def channels(self) -> tuple[str, ...]:
        return (str(self.channel),) if self.of is None else self.of.channels

    def check(self, settings: Settings) -> None:
        if self.of is not None:
            self.of.check(settings)

    def holds(self, w: WindowView) -> Bools:
        if self.of is not None:
            return w.lasting(self.of.holds(w), self.for_s)
        return longest_run(self.within(w.values(str(self.channel)))) * w.interval_s >= self.for_s


class Followed(_Base):
    """``then`` happens within ``within_s`` after ``first``: an event at its time, a condition when its window ends."""

    kind: Literal["followed"]
    first: Simple
    then: Simple
    within_s: float = Field(gt=0, allow_inf_nan=False)

    @property
    def sees(self) -> Sees:
        return widest("device", self.first.sees, self.then.sees)

    @property
    def channels(self) -> tuple[str, ...]:
        return (*self.first.channels, *self.then.channels)

    def check(self, settings: Settings) -> None:
        self.first.check(settings)
        self.then.check(settings)

    def holds(self, w: WindowView) -> Bools:
        then = _times(self.then, w) if isinstance(self.then, Event) else self.then.holds(w)
        return follows(_times(self.first, w), then, w.spans, w.starts, w.ends, round(self.within_s * 1e6))


def _times(condition: Simple, w: WindowView) -> Times:
    if isinstance(condition, Event):
        chosen = condition.chosen(w)
        return lambda device, a, b: chosen.of(device)
    held = condition.holds(w)
    return lambda device, a, b: w.ends[a:b][held[a:b]]


Condition = Annotated[Simple | Duration | Followed, Field(discriminator="kind")]
