"""What is judged: a model or an artefact as a function of windows, with its threshold and its alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import Calibration, Converter


@dataclass(frozen=True)
class Number:
    """What a regression says: values of ``unit`` inside ``range``."""

    unit: str
    range: tuple[float, float]


@dataclass(frozen=True)
class Scored:
    """What a detector says of windows.

    ``score``: (windows,) base-2 logarithm, higher is more anomalous. ``residual``: (windows, steps, channels) squared
    residual over its normal variance, 0 where a sample is missing. ``logits``: task -> (windows, classes).
    ``values``: regression task -> (windows,) in its unit.
    """

    score: NDArray[np.float64]
    residual: NDArray[np.float32]
    logits: Mapping[str, NDArray[np.float64]]
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """What is kept of `Scored` for many windows. ``shares``: (windows, channels) each channel's share of the residual,
    0 where a window has none.
    """

    score: NDArray[np.float64]
    shares: NDArray[np.float64]
    logits: Mapping[str, NDArray[np.float64]]
    values: Mapping[str, NDArray[np.float64]]

    @property
    def probabilities(self) -> dict[str, NDArray[np.float64]]:
        """Task -> (windows, classes), rows sum to 1: softmax of the logits."""
        raised = {task: np.exp(values - values.max(axis=1, keepdims=True)) for task, values in self.logits.items()}
        return {task: values / values.sum(axis=1, keepdims=True) for task, values in raised.items()}


@dataclass(frozen=True)
class Detector:
    """``kind``: 'trained model' or 'artefact'. ``anomaly``: the anomaly task, '' when there is none.

    ``core``: first step and step past the last of a window that its score speaks for. ``classes``: task -> its classes.
    ``numbers``: regression task -> what it says. ``types``: hardware profiles that a network which knows them tells apart.

    ``threshold``: on `Scored.score`; None when none travels with the model.
    ``false_alarm_share``: share of normal windows at or above the threshold.
    ``score``: (windows, steps, channels) codes and (windows,) names of their devices' hardware profiles -> what it says.
    """

    name: str
    kind: str
    channels: tuple[str, ...]
    steps: int
    core: tuple[int, int]
    converter: Converter
    calibration: Calibration
    anomaly: str
    classes: Mapping[str, tuple[str, ...]]
    threshold: float | None
    false_alarm_share: float
    raise_after: int
    clear_after: int
    score: Callable[[NDArray[np.int8], NDArray[Any]], Scored]
    numbers: Mapping[str, Number] = field(default_factory=dict)
    types: tuple[str, ...] = ()


def untyped(detector: Detector, profiles: NDArray[Any]) -> list[str]:
    """What to say where (windows,) ``profiles`` name types that a detector which knows device types does not know."""
    strange = int((~np.isin(profiles.astype(str), detector.types)).sum()) if detector.types else 0
    return [f"{strange:,} of {len(profiles):,} windows are from no device type that the model knows"] if strange else []


def listen(detector: Detector, codes: NDArray[np.int8], profiles: NDArray[Any], size: int = 2048) -> Said:
    """What the detector says of all windows, ``size`` at a time; residuals, as large as the windows, are not kept."""
    parts = [_said(detector.score(codes[i : i + size], profiles[i : i + size])) for i in range(0, max(len(codes), 1), size)]
    return Said(
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.shares for p in parts]),
        {task: np.concatenate([p.logits[task] for p in parts]) for task in detector.classes},
        {task: np.concatenate([p.values[task] for p in parts]) for task in detector.numbers},
    )


def standing(hot: NDArray[np.bool_], raise_after: int, clear_after: int) -> NDArray[np.bool_]:
    """(windows,) of one device in time order, at or above the threshold -> whether the alarm stands after each.

    The state machine of `runtime.scoring.Scoring.alarms`, vectorised: a run of ``raise_after`` hot windows sets the alarm,
    a run of ``clear_after`` others clears it, and between such moments the last one counts.
    """
    place = np.arange(len(hot))
    turned = np.concatenate([[True], hot[1:] != hot[:-1]]) if len(hot) else np.zeros(0, bool)
    length = place - np.maximum.accumulate(np.where(turned, place, 0)) + 1
    sets, clears = hot & (length == raise_after), ~hot & (length == clear_after)
    last = np.maximum.accumulate(np.where(sets | clears, place, -1))
    return np.asarray((last >= 0) & sets[np.maximum(last, 0)]) if len(hot) else np.zeros(0, bool)


def top_channels(shares: NDArray[Any], count: int) -> NDArray[np.int64]:
    """(windows, channels) -> (windows, count) positions of the largest, largest first; ties in the order of channels."""
    return np.argsort(-shares, axis=1, kind="stable")[:, :count]


def _said(scored: Scored) -> Said:
    weight = scored.residual.sum(axis=1, dtype=np.float64)
    return Said(scored.score, weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12), scored.logits, scored.values)
