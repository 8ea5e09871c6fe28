"""Over devices: each metric with a 95 % interval by bootstrap, devices drawn with replacement.

Devices, not windows, are drawn: windows of one device resemble each other. All draws are done at once: a draw is a row
of how often it holds each device, the first row holds every device once and gives the metric itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.training.judging.device import OnDevice

DRAWS = 1000
_LIMIT = 10_000_000
"""Entries of the table of draws; a fleet beyond it gets fewer draws."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """``low``, ``high``: bounds of the 95 % interval, None with fewer than two ``devices`` that say something."""

    value: float
    low: float | None
    high: float | None
    devices: int


@dataclass(frozen=True)
class Drawn:
    """A metric in every draw. ``values``: (draws,), the metric itself first; NaN where nothing can be said.

    ``says``: (devices,) above 0 where a device contributes.
    """

    values: Floats
    says: Floats


@dataclass(frozen=True)
class ClassMeasure:
    """Precision and recall of one class over all judged windows; ``support``: windows that truly have it."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def summarise(devices: Sequence[OnDevice], anomaly: bool, alarms: bool, seed: int) -> dict[str, Measure]:
    """Metrics that these devices allow, by name; a metric that nothing can be said of is not there, never NaN.

    ``anomaly``: the method scores anomalies; ``alarms``: it raises them at a threshold.
    """
    return measures(drawn(devices, anomaly, alarms, seed))


def drawn(devices: Sequence[OnDevice], anomaly: bool, alarms: bool, seed: int) -> dict[str, Drawn]:
    """Every metric by name in the draws of `draws_of`, the same for all methods on these devices."""
    draws = draws_of(len(devices), seed)
    found: dict[str, Drawn] = {}
    if anomaly:
        has = _column(devices, lambda d: d.areas is not None)
        areas = np.asarray([d.areas or (0.0, 0.0) for d in devices])
        for place, name in enumerate(("vus_pr", "auc_pr")):
            found[name] = Drawn(ratio(draws, areas[:, place], has), has)
    if anomaly and alarms:
        found |= _events(devices, draws)
    hits, count = np.asarray([np.sum((*d.hits, (0.0, 0.0)), axis=0) for d in devices]), _column(devices, lambda d: len(d.hits))
    for place, name in enumerate(("hit_rate_100", "hit_rate_150")):
        found[name] = Drawn(ratio(draws, hits[:, place], count), count)
    for task in devices[0].confusion if devices else ():
        tables = np.stack([d.confusion[task] for d in devices])
        found[f"{task}/macro_f1"] = Drawn(_macro_f1(draws, tables), tables.sum(axis=(1, 2)))
    return found


def measures(found: Mapping[str, Drawn]) -> dict[str, Measure]:
    """With intervals, without those that nothing can be said of."""
    named = {name: measure(metric) for name, metric in found.items()}
    return {name: value for name, value in named.items() if value is not None}


def difference(ours: Sequence[OnDevice], theirs: Sequence[OnDevice], seed: int) -> Measure | None:
    """Our VUS-PR less theirs, on the same devices in every draw; None where no device has an anomaly."""
    return measure(lead(ours, theirs, seed))


def lead(ours: Sequence[OnDevice], theirs: Sequence[OnDevice], seed: int) -> Drawn:
    """What `difference` is measured from."""
    has = _column(ours, lambda d: d.areas is not None)
    area = np.asarray([a.areas[0] - b.areas[0] if a.areas and b.areas else 0.0 for a, b in zip(ours, theirs, strict=True)])
    return Drawn(ratio(draws_of(len(ours), seed), area, has), has)


def share(above: NDArray[Any], below: NDArray[Any], seed: int) -> Measure | None:
    """Sum of ``above`` over sum of ``below``, both (devices,); None where the lower sum is 0."""
    return measure(Drawn(ratio(draws_of(len(above), seed), above, below), below))


def class_measures(table: NDArray[np.int64], classes: tuple[str, ...]) -> list[ClassMeasure]:
    """``table``: (classes, classes) windows, true classes down; None where a class never occurs or is never said."""
    right, said, true = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    return [
        ClassMeasure(
            name,
            float(right[c] / said[c]) if said[c] else None,
            float(right[c] / true[c]) if true[c] else None,
            float(2 * right[c] / (said[c] + true[c])) if said[c] + true[c] else None,
            int(true[c]),
        )
        for c, name in enumerate(classes)
    ]


def _events(devices: Sequence[OnDevice], draws: Floats) -> dict[str, Drawn]:
    events, found, alarms, right, days = np.asarray([[d.events, d.found, d.alarms, d.right, d.days] for d in devices]).T
    recall, precision = ratio(draws, found, events), ratio(draws, right, alarms)
    with np.errstate(invalid="ignore"):
        f1 = np.where(precision + recall > 0, 2 * precision * recall / (precision + recall), np.where(recall == 0, 0.0, np.nan))
    delays = np.concatenate([np.asarray(d.delays, float) for d in devices]) if devices else np.zeros(0)
    owner = np.repeat(np.arange(len(devices)), [len(d.delays) for d in devices])
    return {
        "event_precision": Drawn(precision, alarms),
        "event_recall": Drawn(recall, events),
        "event_f1": Drawn(f1, events),
        "alarms_per_device_day": Drawn(ratio(draws, alarms, days), days),
        "detection_delay_s": Drawn(_median(draws, delays, owner), found),
    }


def draws_of(count: int, seed: int) -> Floats:
    """(1 + draws, devices) how often each draw holds each device; every device once in the first."""
    if not count:
        return np.zeros((1, 0))
    many = max(min(DRAWS, _LIMIT // count), 100)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=many)
    return np.concatenate([np.ones((1, count)), drawn])


def ratio(draws: Floats, above: Floats, below: Floats) -> Floats:
    """(draws,) ratio of sums over devices, NaN where the lower sum is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(draws @ below > 0, (draws @ above) / (draws @ below), np.nan))


def _median(draws: Floats, values: Floats, owner: NDArray[np.int64]) -> Floats:
    """(draws,) median of ``values``, each as often as its device was drawn; of two in the middle the mean."""
    if not values.size:
        return np.full(len(draws), np.nan)
    order = np.argsort(values)
    reached = np.cumsum(draws[:, owner[order]], axis=1)
    half = reached[:, -1:] / 2
    low, high = (reached >= half).argmax(axis=1), (reached > half).argmax(axis=1)
    middle = (values[order][low] + values[order][high]) / 2
    return np.asarray(np.where(reached[:, -1] > 0, middle, np.nan))


def _macro_f1(draws: Floats, tables: NDArray[np.int64]) -> Floats:
    """(draws,) mean F1 over the classes that occur or are said in the draw. ``tables``: (devices, classes, classes)."""
    k = tables.shape[1]
    total = (draws @ tables.reshape(len(tables), -1)).reshape(-1, k, k)
    right, either = np.diagonal(total, axis1=1, axis2=2), total.sum(axis=1) + total.sum(axis=2)
    f1 = np.where(either > 0, 2 * right / np.maximum(either, 1), 0.0)
    occurs = (either > 0).sum(axis=1)
    return np.asarray(np.where(occurs > 0, f1.sum(axis=1) / np.maximum(occurs, 1), np.nan))


def measure(metric: Drawn) -> Measure | None:
    """The metric itself with the spread of its draws; None where nothing can be said of it."""
    values = metric.values
    if np.isnan(values[0]):
        return None
    devices = int((metric.says > 0).sum())
    spread = values[1:][~np.isnan(values[1:])]
    if devices < 2 or not spread.size:
        return Measure(float(values[0]), None, None, devices)
    low, high = np.quantile(spread, (0.025, 0.975))
    return Measure(float(values[0]), float(low), float(high), devices)


def _column(devices: Sequence[OnDevice], of: Callable[[OnDevice], float]) -> Floats:
    return np.asarray([float(of(d)) for d in devices])
