"""From a raw score to calibrated surprise, an alarm and a verdict: what artefacts of every kind of model share.

The raw score, 256 times a base-2 logarithm, goes through a piecewise linear table that holds the quantiles of normal
windows. The result is in 1/256 bits of surprise: 256 * -log2(share of normal windows that score at least as high),
extrapolated past the last quantile. An alarm is raised after ``raise_after`` windows in a row at or above the
threshold and cleared after ``clear_after`` below it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from components.runtime.gauge import Gauge

LOG2_TABLE = tuple(round(256 * float(np.log2(1 + i / 256))) for i in range(256))
"""256 * log2(1 + i/256), the fraction of `log2_q8`."""

Integers = NDArray[np.int8] | NDArray[np.int32]

_MAX_BITS_Q8 = 65535
_ABSENT: NDArray[np.int8] = np.zeros(0, np.int8)


@dataclass(frozen=True)
class Outputs:
    """What a model put out, windows first. ``logits`` has one array a task that has classes: int8 of a network, int32 of
    trees; ``numbers`` one a regression.

    Trees have neither correction nor embedding: both are empty.
    """

    correction: NDArray[np.int8]  # (windows, steps, channels)
    embedding: NDArray[np.int8]  # (windows, width)
    logits: Mapping[str, Integers]  # (windows, classes)
    numbers: Mapping[str, Integers] = field(default_factory=dict)  # (windows,)

    @classmethod
    def of_network(cls, arrays: Mapping[str, NDArray[np.int8]]) -> Outputs:
        """By the names of its tensors: 'correction', 'embedding', 'logits.<task>', 'number.<task>'."""
        return cls(arrays["correction"], arrays["embedding"], _of_kind("logits.", arrays), _numbers(arrays))

    @classmethod
    def of_trees(cls, arrays: Mapping[str, NDArray[np.int32]]) -> Outputs:
        """Likewise, 'logits.<task>' and 'number.<task>'."""
        return cls(_ABSENT, _ABSENT, _of_kind("logits.", arrays), _numbers(arrays))


@dataclass(frozen=True)
class Verdict:
    """What a user sees for each window: surprise in 1/256 bits, the class of each task, and the value of each regression
    in the fixed point of its `Gauge`.
    """

    surprise: NDArray[np.int32]  # (windows,)
    classes: dict[str, NDArray[np.int8]]  # (windows,)
    values: dict[str, NDArray[np.int32]] = field(default_factory=dict)  # (windows,)


@dataclass(frozen=True, kw_only=True)
class Calibrated(ABC):
    """The calibrated end of an artefact's score; subclasses say what the raw score is.

    ``core``: first step and step past the last of a window that its score speaks for.
    ``knots``: pairs (raw score, surprise), rising. ``threshold``: surprise from which a window counts towards an alarm.
    ``gauges``: regression task -> how its value is read.
    """

    kind: ClassVar[str]
    core: tuple[int, int]
    knots: tuple[tuple[int, int], ...]
    threshold: int
    raise_after: int
    clear_after: int
    gauges: Mapping[str, Gauge] = field(default_factory=dict)

    @abstractmethod
    def raw_score(self, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.int64]:
        """(windows, steps, channels) codes and the model's outputs -> (windows,) 256*log2, before the table."""

    def verdict(self, codes: NDArray[np.int8], outputs: Outputs) -> Verdict:
        """(windows, steps, channels) int8 codes and the model's outputs -> surprise, classes and values."""
        surprise = self.surprise(self.raw_score(codes, outputs))
        classes = {task: logits.argmax(axis=1).astype(np.int8) for task, logits in self.logits(codes, outputs).items()}
        return Verdict(surprise, classes, {task: gauge.values(outputs.numbers[task]) for task, gauge in self.gauges.items()})

    def logits(self, codes: NDArray[np.int8], outputs: Outputs) -> Mapping[str, Integers]:
        """Task -> (windows, classes), in whose order classes are decided."""
        return outputs.logits

    def logit_step(self, task: str) -> int:
        """By how much a logit changes when the model's own does by one."""
        return 1

    def surprise(self, raw_score: NDArray[np.int64]) -> NDArray[np.int32]:
        """Piecewise linear through ``knots``; the first and the last slope go on outside."""
        x = np.asarray([k[0] for k in self.knots], np.int64)
        y = np.asarray([k[1] for k in self.knots], np.int64)
        i = np.clip(np.searchsorted(x, raw_score, side="right") - 1, 0, len(x) - 2)
        bits = y[i] + (raw_score - x[i]) * (y[i + 1] - y[i]) // (x[i + 1] - x[i])
        return np.clip(bits, 0, _MAX_BITS_Q8).astype(np.int32)

    def alarms(self, surprise: NDArray[np.int32]) -> NDArray[np.bool_]:
        """One device's windows in time order -> whether the alarm stands after each of them."""
        above = surprise >= self.threshold
        standing, run, state = np.zeros(len(above), bool), 0, False
        for i, hot in enumerate(above):
            run = run + 1 if hot != state else 0
            if run >= (self.clear_after if state else self.raise_after):
                state, run = not state, 0
            standing[i] = state
        return standing

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        gauges = {task: Gauge(**{name: int(v) for name, v in g.items()}) for task, g in value.get("gauges", {}).items()}
        return cls(**{key: _plain(item) for key, item in value.items() if key != "gauges"}, gauges=gauges)


def log2_q8(value: NDArray[np.int64]) -> NDArray[np.int64]:
    """256 * log2(value) to within two units, by the position of the highest bit and a table; 0 for value < 1."""
    value = np.maximum(value, 1)
    top = np.frexp(value.astype(np.float64))[1].astype(np.int64) - 1
    top -= (np.int64(1) << top) > value  # a value past 2^53 may have rounded up
    fraction = np.where(top >= 8, value >> np.maximum(top - 8, 0), value << np.maximum(8 - top, 0)) & 255
    return np.asarray((top << 8) + np.asarray(LOG2_TABLE, np.int64)[fraction])


def isqrt(value: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest integer whose square is at most ``value``, for 0 <= value < 2^62."""
    root = np.sqrt(value.astype(np.float64)).astype(np.int64)
    root -= root * root > value  # past 2^53 the float may have rounded either way
    root += (root + 1) * (root + 1) <= value
    return np.asarray(root)


def _numbers(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {task: array.reshape(len(array)) for task, array in _of_kind("number.", arrays).items()}


def _of_kind(kind: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}


def _plain(value: Any) -> Any:
    """JSON's lists as tuples, its numbers as integers; names stay."""
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    return value if isinstance(value, str) else int(value)
