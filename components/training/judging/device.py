"""What one method does on one device: areas under its scores, alarms against events, classes against labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.training.evaluation import DAY_S
from components.training.placing import Placed, placed, runs, seconds, step_truth
from components.training.vus import average_precision, vus_pr

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Event:
    """An unbroken anomaly: steps from the device's first judged window on, ``last`` exclusive; positions of channels."""

    first: int
    last: int
    causes: tuple[int, ...]


@dataclass(frozen=True)
class DeviceTruth:
    """The judged windows of one device and what is true there.

    ``covered``: (steps,) whether a judged window has the step; time between them is neither found nor missed.
    ``steps``: (steps,) in {0, 1}, 0 where nothing is covered.
    """

    device: str
    profile: str
    index: pd.DataFrame
    placed: Placed
    covered: NDArray[np.bool_]
    steps: NDArray[np.int8]
    events: tuple[Event, ...]
    interval_s: float

    @property
    def days(self) -> float:
        return float(self.covered.sum()) * self.interval_s / DAY_S


@dataclass(frozen=True)
class OnDevice:
    """``areas``: VUS-PR and AUC-PR, None where the device has no anomaly or nothing else.

    ``right``: alarms that touch an event. ``delays``: seconds from the begin of each found event to its first alarm.
    ``hits``: HitRate@100 % and @150 % of each event with root causes. ``confusion``: task -> (classes, classes), true
    classes down. ``errors``: regression task -> (windows with a truth,) value less truth, in time order.
    """

    device: str
    profile: str
    windows: int
    days: float
    areas: tuple[float, float] | None
    events: int
    found: int
    alarms: int
    right: int
    delays: tuple[float, ...]
    hits: tuple[tuple[float, float], ...]
    confusion: dict[str, NDArray[np.int64]]
    errors: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def device_truth(
    index: pd.DataFrame, segments: pd.DataFrame, channels: tuple[str, ...], interval_s: float, core: tuple[int, int]
) -> DeviceTruth:
    """``index``: the windows of one device in time order. ``segments``: its anomalies. ``core``: as in `Detector`."""
    place = placed(index, interval_s, core)
    covered = place.covered(np.ones(len(index), bool))
    inside = step_truth(place, segments, interval_s)
    first, last = ((seconds(segments[name]) - place.begin) / interval_s for name in ("start", "end"))
    causes = [{channels.index(c.strip()) for c in text.split(";") if c.strip()} for text in segments["root_cause"]]
    events = []
    for a, b in runs(inside.astype(bool)):
        if not covered[a:b].any():
            continue
        of = np.flatnonzero((first < b) & (last > a)).tolist()
        events.append(Event(a, b, tuple(sorted(set().union(*(causes[i] for i in of))))))
    row = index.iloc[0]
    return DeviceTruth(
        str(row["device_id"]), str(row["hardware_profile"]), index, place, covered, inside * covered, tuple(events), interval_s
    )


def on_device(
    truth: DeviceTruth,
    scores: NDArray[Any] | None,
    standing: NDArray[np.bool_] | None,
    buffer_steps: int,
    blame: NDArray[np.float64] | None,
    confusion: dict[str, NDArray[np.int64]],
    errors: dict[str, NDArray[np.float64]],
) -> OnDevice:
    """``scores``, ``standing``: (windows,) score and whether the alarm stands. ``blame``: (steps, channels) residuals."""
    areas = None
    wanted = truth.steps[truth.covered]
    if scores is not None and wanted.any() and not wanted.all():
        got = truth.placed.mean(scores)[truth.covered]
        areas = vus_pr(wanted, got, buffer_steps), average_precision(wanted, got)
    found, alarms, right = 0, 0, 0
    delays: tuple[float, ...] = ()
    if standing is not None:
        alarm = truth.placed.covered(standing)
        raised = runs(alarm)
        alarms, right = len(raised), sum(bool(truth.steps[a:b].any()) for a, b in raised)
        delays = _delays(truth, standing)
        found = len(delays)
    known = [e for e in truth.events if e.causes] if blame is not None else []
    hits = tuple(hit_rates(blame[e.first : e.last].mean(axis=0), e.causes) for e in known) if blame is not None else ()
    return OnDevice(
        truth.device,
        truth.profile,
        len(truth.index),
        truth.days,
        areas,
        len(truth.events),
        found,
        alarms,
        right,
        delays,
        hits,
        confusion,
        errors,
    )


def hit_rates(blame: NDArray[np.float64], causes: tuple[int, ...]) -> tuple[float, float]:
    """HitRate@100 % and @150 %: the share of the root causes among as many, or half as many more, of the channels most to blame.

    ``blame``: (channels,). Su et al. (OmniAnomaly, KDD 2019), for whole events.
    """
    order = np.argsort(-blame, kind="stable")
    one, more = (len(set(causes) & set(order[: int(len(causes) * p)].tolist())) / len(causes) for p in (1.0, 1.5))
    return one, more


def step_blame(place: Placed, residual: NDArray[np.float32]) -> NDArray[np.float64]:
    """(steps, channels) mean residual, over the windows that speak for each step; 0 where none does.

    ``residual``: (windows, steps of a window, channels).
    """
    steps = place.first[:, None] + np.arange(residual.shape[1])
    speaks = (steps >= place.speaks[:, :1]) & (steps < place.speaks[:, 1:])
    places, flat = steps[speaks], residual[speaks]
    count = np.bincount(places, minlength=place.steps)
    total = np.stack([np.bincount(places, flat[:, c], minlength=place.steps) for c in range(flat.shape[1])], axis=1)
    return np.asarray(total / np.maximum(count, 1)[:, None])


def _delays(truth: DeviceTruth, standing: NDArray[np.bool_]) -> tuple[float, ...]:
    """Of each event with an alarm: from its begin to the end of the first window that alarms and speaks for it, in seconds.

    A device knows of an alarm when its window is over.
    """
    speaks, last = truth.placed.speaks[standing], truth.placed.last[standing]
    ends = [last[(speaks[:, 0] < event.last) & (speaks[:, 1] > event.first)] for event in truth.events]
    pairs = zip(ends, truth.events, strict=True)
    return tuple(float(said.min() - event.first) * truth.interval_s for said, event in pairs if said.size)
