"""The network of the telemetry model: its shape, its heads, and its formulas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]
TYPES = "type.embedding"
"""Weights of a network that knows device types: (types, width)."""


@dataclass(frozen=True)
class Head:
    """What a model says of one task: ``classes``, or, where there are none, a number of ``unit`` inside ``range``."""

    task: str
    classes: tuple[str, ...] = ()
    unit: str = ""
    range: tuple[float, float] = (0.0, 1.0)

    @property
    def output(self) -> str:
        """Name of the network's tensor: logits of classes, or a number from -1 to 1 over the range."""
        return f"{'logits' if self.classes else 'number'}.{self.task}"

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Head:
        low, high = value.get("range", (0.0, 1.0))
        return cls(value["task"], tuple(value["classes"]), value.get("unit", ""), (low, high))


@dataclass(frozen=True)
class Architecture:
    """A stack of depthwise separable 1-D convolutions, all 'same' padded, stride 1, over (steps, channels).

    The deploy form has batch norm folded and no dropout::

        x: (steps, inputs), `runtime.presence.entry` of codes * input_scale
        h = relu(conv(x, stem.weight, stem.bias))                       stem.weight (width, inputs, 3)
        for i in range(blocks):
            d = relu(depthwise(h, block{i}.depthwise.weight, .bias))    (width, 1, kernel)
            h = relu(h + conv(d, block{i}.pointwise.weight, .bias))     (width, width, 1)
        correction = conv(h, correct.weight, correct.bias)              (channels, width, 1) -> (steps, channels)
        embedding = mean of h over steps                                (width,)
        logits[task] = embedding @ head.{task}.weight.T + head.{task}.bias      (classes, width)

    A number sums the window up in its own way, because the mean hides what comes last::

        s = relu(summary.{task}.weight * h summed over steps + bias)    (width, 1, steps)
        z = relu(s @ hidden.{task}.weight.T + bias)                     (width, width)
        number[task] = z @ head.{task}.weight.T + head.{task}.bias      (1, width)

    Of a network that knows device types, a window from a device of type t has a stem of its own::

        h = relu(conv(x, stem.weight, stem.bias + type.embedding[t]))   type.embedding (types, width); 0 for a type unknown

    ``input_scale`` is the value of one input code (standard deviations). ``optional``: positions of the channels that devices
    may lack, each with an input of its own behind all channels. ``types``: hardware profiles with a vector of their own.
    """

    steps: int
    channels: int
    width: int
    blocks: int
    kernel: int
    input_scale: float
    heads: tuple[Head, ...]
    optional: tuple[int, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        return self.channels + len(self.optional)

    def positions(self, profiles: NDArray[Any]) -> NDArray[np.int64]:
        """(windows,) names of hardware profiles -> (windows,) positions in ``types``, -1 for all others."""
        import pandas as pd

        return np.asarray(pd.Index(self.types, dtype=object).get_indexer(pd.Index(profiles, dtype=object)), np.int64)

    @property
    def multiplications(self) -> int:
        """Of one window."""
        w = self.width
        each_step = 3 * self.inputs * w + self.blocks * (self.kernel * w + w * w) + w * self.channels
        return self.steps * each_step + sum(self._reading(head) for head in self.heads)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        w = self.width
        stem, readers = (3 * self.inputs + 1 + len(self.types)) * w, (w + 1) * self.channels
        body = stem + self.blocks * ((self.kernel + 1) * w + (w + 1) * w) + readers
        biases = sum(len(head.classes) or 2 * w + 1 for head in self.heads)
        return body + biases + sum(self._reading(head) for head in self.heads)

    def _reading(self, head: Head) -> int:
        """Weights of a head, each of which multiplies once."""
        w = self.width
        return w * len(head.classes) if head.classes else self.steps * w + w * w + w


def heads_of(value: list[dict[str, Any]]) -> tuple[Head, ...]:
    """JSON -> heads."""
    return tuple(Head.from_json(h) for h in value)


def architecture_of(value: dict[str, Any]) -> Architecture:
    """JSON -> architecture."""
    tuples = {name: tuple(value.get(name, ())) for name in ("optional", "types")}
    return Architecture(**value | {"heads": heads_of(value["heads"])} | tuples)


def for_type(architecture: Architecture, weights: Weights, profile: str) -> tuple[Architecture, Weights]:
    """The network for devices of one type alone: its vector is part of ``stem.bias``, that of a type unknown is 0."""
    kept = {name: weight for name, weight in weights.items() if name != TYPES}
    if profile in architecture.types:
        kept["stem.bias"] = kept["stem.bias"] + weights[TYPES][architecture.types.index(profile)]
    return replace(architecture, types=()), kept
