"""What `muster.yaml` may say: strict, frozen models, one class a section, every default documented.

Shapes and units: ranges in the channel's own unit, intervals and durations in seconds (names end in
``_s``), sizes in bytes or in KiB where the name says so, shares between 0 and 1.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from components.workspace.model_settings import Model
from components.workspace.registry_settings import Registry
from components.workspace.release_settings import Fleet, Release
from components.workspace.section import LocalPath, Name, Section, Share

_MOST_WIDTHS, _LARGEST = 2.0**14, 2.0**30
"""Devices report a regression in 32 bits (`components.runtime.scoring.Gauge`)."""

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
"""In each unit that a time since the last record may have."""


class Storage(Section):
    """Where raw telemetry comes from."""

    source: str = Field(description="folder (relative to muster.yaml or absolute) or s3://bucket/prefix")
    format: Literal["parquet", "csv"] = "parquet"


class Time(Section):
    """How the time column reads. Without ``epoch`` it holds UTC time stamps; with it, a number of ``unit``s since then."""

    column: str = "time"
    epoch: str | None = Field(None, description="ISO 8601 with offset, e.g. 2026-01-01T00:00:00Z")
    unit: Literal["s", "ms", "us", "ns", "step"] = Field("s", description="'step' counts sampling intervals")

    @model_validator(mode="after")
    def _epoch_is_a_time(self) -> Self:
        if self.epoch is not None:
            self.start()
        return self

    def start(self) -> datetime:
        """The epoch as an aware UTC time (1970 when none is declared)."""
        if self.epoch is None:
            return datetime(1970, 1, 1, tzinfo=UTC)
        start = datetime.fromisoformat(self.epoch)
        if start.tzinfo is None:
            raise ValueError(f"epoch '{self.epoch}' has no offset; end it with Z for UTC")
        return start.astimezone(UTC)


class Context(Section):
    """Columns that say which device variant produced a row; null when only the inventory knows."""

    hardware_profile: str | None = None
    firmware_version: str | None = None
    site: str | None = None


class Stream(Section):
    """A channel that is not measured: what records say at each sample. ``value: since`` is in the channel's unit."""

    source: Name = Field(description="a name under records:")
    codes: tuple[str, ...] = Field(
        ("*",), strict=False, min_length=1, description="which records; * stands for any text, ? for one character"
    )
    value: Literal["count", "since"] = Field(
        description="'count': records since the sample before; 'since': time since the last one"
    )


class Channel(Section):
    """One quantity, measured or made of records.

    On devices a sample is an int16 ``raw``; its physical value is ``raw * lsb + offset``.
    """

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
    unit: str
    dtype: Literal["float32", "float64", "int16", "int32", "int64"] = "float32"
    range: tuple[float, float] = Field(strict=False)
    nullable: bool = True
    optional: bool = Field(False, description="some devices lack it, for good: the network learns what to read in its place")
    role: Literal["signal", "condition"] = Field(
        "signal", description="'condition': tells under which operating condition the others were measured (windows.regimes)"
    )
    lsb: float | None = Field(
        None, gt=0, description="physical step of the device's converter; default: the range over 65000 codes"
    )
    aggregate: Literal["last", "mean", "max", "sum"] = Field("last", description="what several samples in one interval become")
    hold_s: float | None = Field(
        None,
        gt=0,
        description="how long a value stands when no other comes, as of a sensor that reports changes; null: not at all",
    )
    records: Stream | None = Field(None, description="made of records, counted up to the range's end, instead of measured")

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range of channel '{self.name}' is empty: {self.range[0]} is not below {self.range[1]}")
        return self

    @model_validator(mode="after")
    def _what_is_lacked_is_null(self) -> Self:
        if self.optional and (not self.nullable or self.records or self.role == "condition"):
            raise ValueError(f"channel '{self.name}' is optional: it must be nullable, measured, and no operating condition")
        return self

    @model_validator(mode="after")
    def _what_stands_is_a_value(self) -> Self:
        if self.hold_s is not None and self.aggregate == "sum":
            raise ValueError(f"channel '{self.name}': a sum over an interval does not stand for the next; leave hold_s out")
        return self

    @model_validator(mode="after")
    def _records_make_a_signal(self) -> Self:
        if self.records is None:
            return self
        if self.aggregate != "last" or self.hold_s is not None:
            raise ValueError(f"channel '{self.name}' is made of records, which are told at every sample: no aggregate, no hold_s")
        if self.range[0] != 0:
            raise ValueError(f"channel '{self.name}' is made of records: its range starts at 0, not at {self.range[0]:g}")
        if self.role == "condition":
            raise ValueError(f"channel '{self.name}' is made of records and cannot tell the operating condition")
        if self.records.value == "since" and self.unit not in SECONDS:
            raise ValueError(f"channel '{self.name}' tells a time: its unit is one of {', '.join(SECONDS)}, not '{self.unit}'")
        return self

    def converter(self) -> tuple[float, float]:
        """(lsb, offset) of the int16 converter; the middle of the range is raw 0."""
        low, high = self.range
        return (self.lsb or (high - low) / 65000.0), (low + high) / 2.0


class Telemetry(Section):
    """The data contract: which columns a row has and what they may hold."""

    device: str = "device_id"
    time: Time = Time()
    interval_s: float = Field(gt=0, description="sampling interval")
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=64, strict=False)
    context: Context = Context()
    ignored: tuple[str, ...] = Field((), strict=False, description="columns that may be there and are not read")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [c.name for c in self.channels]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"channel declared twice: {', '.join(twice)}")
        if not self.measured:
            raise ValueError("all channels are made of records: declare at least one that is measured")
        if all(c.optional for c in self.measured):
            raise ValueError("all channels are optional: declare at least one that every device has")
        if short := [c.name for c in self.channels if c.hold_s is not None and c.hold_s < self.interval_s]:
            raise ValueError(f"hold_s of {', '.join(short)} is below interval_s: the value would not reach the next sample")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.channels)

    @property
    def measured(self) -> tuple[Channel, ...]:
        """The channels that rows of telemetry have."""
        return tuple(c for c in self.channels if c.records is None)


class Validation(Section):
    max_quarantined: Share = Field(0.05, description="the step fails when a larger share of the rows is bad")


class Windows(Section):
    """How telemetry is cut, and how a device learns its own scaling (see components/runtime/scaling.py)."""

    steps: int = Field(32, ge=8, le=512)
    stride: int = Field(32, ge=1)
    calibration_steps: int = Field(
        240, ge=0, description="samples per phase of the on-device calibration (two phases); 0: one scaling for the whole fleet"
    )
    regimes: int = Field(
        1,
        ge=1,
        le=16,
        description="operating conditions; each has its own middle and spread of every channel that tells none",
    )
    clip: float = Field(6.0, gt=0, description="robust standard deviations that the int8 input range spans to each side")
    max_missing: Share = Field(0.5, description="windows with a larger share of missing samples are left out")
    lead: int = Field(0, ge=0, lt=512, description="samples before a device's first one that windows may reach into, as missing")
    align: Literal["start", "end"] = Field("start", description="'end': the last window of a device ends with its last sample")

    @property
    def core(self) -> tuple[int, int]:
        """First step and step past the last that a window's score speaks for: its middle, seen with what lies on both sides.

        At least two strides, so that every sample is judged by two windows, and at least a third of the window.
        """
        width = min(self.steps, max(2 * self.stride, -(-self.steps // 3)))
        first = (self.steps - width) // 2
        return first, first + width


class Task(Section):
    """What the model predicts. ``anomaly`` needs no labels; ``classes`` learns from weak or declared gold labels,
    ``regression``, a number, from declared gold values.
    """

    name: Name
    kind: Literal["anomaly", "classes", "regression"]
    classes: tuple[str, ...] = Field((), strict=False, description="class 0 is the normal one")
    labels: Literal["none", "weak", "gold"] = "none"
    gold: LocalPath | None = Field(
        None, description="CSV with device_id, start, end and value (a class, or a number), for labels: gold"
    )
    class_shares: tuple[Share, ...] = Field(
        (), strict=False, description="how frequent the classes are, in their order, where that is known; else learned"
    )
    unit: str = Field("", description="of a regression's number")
    range: tuple[float, float] | None = Field(
        None, strict=False, description="of a regression's number; values outside are clipped to it"
    )

    @model_validator(mode="after")
    def _number_fits_the_kind(self) -> Self:
        if self.kind != "regression":
            if self.unit or self.range:
                raise ValueError(f"task '{self.name}' predicts no number: it takes no unit and no range")
            return self
        if self.labels != "gold" or self.classes or self.class_shares:
            raise ValueError(f"task '{self.name}' predicts a number: it needs labels: gold, and takes no classes")
        if self.range is None or not self.range[0] < self.range[1]:
            raise ValueError(f"task '{self.name}' predicts a number and needs a range [low, high] that is not empty")
        if max(map(abs, self.range)) > _MOST_WIDTHS * (self.range[1] - self.range[0]) or max(map(abs, self.range)) > _LARGEST:
            raise ValueError(f"task '{self.name}': the range lies too far from 0 for its width; choose another unit or origin")
        return self

    @model_validator(mode="after")
    def _classes_fit_the_kind(self) -> Self:
        if self.kind == "classes" and (len(self.classes) < 2 or len(set(self.classes)) != len(self.classes)):
            raise ValueError(f"task '{self.name}' needs at least two different classes")
        if self.kind == "classes" and self.labels == "none":
            raise ValueError(f"task '{self.name}' predicts classes and needs labels: weak or labels: gold")
        if self.kind == "anomaly" and (self.classes or self.labels == "gold"):
            raise ValueError(f"task '{self.name}' detects anomalies: it takes no classes and no gold labels")
        if self.class_shares and (len(self.class_shares) != len(self.vote_classes) or abs(sum(self.class_shares) - 1) > 0.01):
            raise ValueError(f"task '{self.name}': class_shares are {len(self.vote_classes)} shares that sum to 1")
        if (self.labels == "gold") != (self.gold is not None):
            raise ValueError(f"task '{self.name}': labels: gold and the path in gold: go together")
        return self

    @property
    def votes(self) -> bool:
        """Whether the task has a `LabelSet`: labels that are classes."""
        return self.labels != "none" and self.kind != "regression"

    @property
    def vote_classes(self) -> tuple[str, ...]:
        """The classes labelling functions vote for."""
        return self.classes or ("normal", "anomaly")


class Labeling(Section):
    module: LocalPath = "labeling.py"
    rules: LocalPath | None = Field(None, description="YAML file with labelling functions for those who do not program")
    models: dict[Name, LocalPath] = Field({}, description="ONNX files that labelling functions may call, by name")
    temporal: bool = Field(True, description="windows of a device are a sequence: neighbours lend each other evidence")
    annotations: LocalPath = Field("annotations.csv", description="CSV in which muster labels annotate keeps what people answer")


class Evaluation(Section):
    """What is held out. The truth is read for evaluation only, never by labelling or training."""

    split: Literal["devices", "groups", "period"] = "devices"
    holdout: float = Field(0.25, gt=0, lt=1, description="share of devices or groups held out")
    after: str | None = Field(None, description="with split: period, the ISO 8601 time from which everything is held out")
    groups: LocalPath | None = Field(None, description="with split: groups, CSV with device_id, start, end, group")
    truth: LocalPath | None = Field(
        None, description="CSV with device_id, start, end, task, value; absent: no metric against truth"
    )
    buffer_steps: int = Field(24, ge=0, description="fixed VUS buffer, chosen without looking at labels")
    max_windows: int = Field(20_000, ge=100, description="held-out windows on which each artefact is proven")

    @model_validator(mode="after")
    def _split_has_what_it_needs(self) -> Self:
        if (self.split == "period") != (self.after is not None):
            raise ValueError("split: period and after: go together")
        if (self.split == "groups") != (self.groups is not None):
            raise ValueError("split: groups and the path in groups: go together")
        return self


class Settings(Section):
    """All of `muster.yaml`."""

    name: Name
    seed: int = Field(7, ge=0, lt=2**31)
    storage: Storage
    telemetry: Telemetry
    validation: Validation = Validation()
    windows: Windows = Windows()
    tasks: tuple[Task, ...] = Field(min_length=1, strict=False)
    records: dict[Name, LocalPath] = Field(
        {}, description="CSV or Parquet files with device_id, time, code and perhaps text: events, errors, maintenance, notes"
    )
    labeling: Labeling = Labeling()
    evaluation: Evaluation = Evaluation()
    model: Model = Model()
    profiles: tuple[Name, ...] = Field(min_length=1, strict=False, description="files profiles/<name>.yaml")
    fleets: tuple[Fleet, ...] = Field(min_length=1, strict=False)
    release: Release
    registry: Registry = Registry()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("task", [t.name for t in self.tasks]),
            ("profile", list(self.profiles)),
            ("fleet", [f.name for f in self.fleets]),
            ("shape", [s.name for s in self.model.shapes]),
            *((f"profile of shape '{s.name}'", list(s.profiles)) for s in self.model.shapes),
        ):
            if twice := sorted({n for n in names if names.count(n) > 1}):
                raise ValueError(f"{what} named twice: {', '.join(twice)}")
        if unknown := sorted({p for s in self.model.shapes for p in s.profiles} - set(self.profiles)):
            raise ValueError(f"model.shapes names {', '.join(unknown)}; profiles: has {', '.join(self.profiles)}")
        if (self.windows.regimes > 1) != any(c.role == "condition" for c in self.telemetry.channels):
            raise ValueError("windows.regimes above 1 and channels with role: condition go together")
        for channel in self.telemetry.channels:
            if channel.records and channel.records.source not in self.records:
                known = ", ".join(self.records) or "nothing"
                raise ValueError(f"channel '{channel.name}' is made of '{channel.records.source}'; records: names {known}")
        if self.windows.lead >= self.windows.steps:
            raise ValueError("windows.lead must be below windows.steps: a window holds at least one sample")
        if sum(t.kind == "anomaly" for t in self.tasks) > 1:
            raise ValueError("one anomaly task is enough: the model has one anomaly score")
        return self

    @model_validator(mode="after")
    def _trees_have_labels(self) -> Self:
        if self.model.kind != "gradient_boosting":
            return self
        if all(task.labels == "none" for task in self.tasks):
            raise ValueError("model.kind: gradient_boosting learns from labels and no task has any; use kind: electra")
        anomaly = any(task.kind == "anomaly" for task in self.tasks)
        if anomaly and not any(task.labels == "weak" for task in self.tasks):
            raise ValueError(
                "model.kind: gradient_boosting scores anomalies by a task with labels: weak and there is none; "
                "give one weak labels, leave the anomaly task out, or use kind: electra"
            )
        return self
