"""The wide part of a task: a linear discriminant of window features, in integers, added to the network's logits.

A network learns from many labels; a linear rule on means of parts of the window is there after few. Both together are the
wide and deep model of Cheng et al. (DLRS 2016): the network's int8 logits are brought to the fixed point of the wide part,
and the class with the largest sum is decided. The wide part stays outside of the int8 network, whose range it would take up.

Its features are those of `components.runtime.window_features` with finer parts. A channel without any sample says nothing.
However far from everything known a window lies, no class is held to be less likely than the likeliest one by more than
`CAP`, so that a network which knows better is heard.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.runtime.window_features import feature_names, window_features

PARTS = 16
"""Most parts; a shorter window has one a step."""
BITS = 16
"""Logits are in 2^-16 nats: natural logarithms of odds."""
CAP = 8 << BITS
"""Odds of three thousand to one."""
NEVER = -(1 << 30)
"""What a class begins with that has no example."""
UNITS = {"min": 6, "max": 6, "range": 6, "missing": 5, "still": 5}
"""Bits between the unit of a feature and the 2^-6 codes of means; counts stay below 2^15."""

_CHUNK = 4096


@dataclass(frozen=True)
class Wide:
    """Of one task. ``weight``: (classes, channels, features) int16, what one unit of a feature adds, in 2^-(16 + ``shift``) nats.

    ``base``: (channels, classes) int32 in 2^-16 nats, what a channel adds that has a sample. ``bias``: (classes,) int32 likewise,
    what every class begins with.
    """

    weight: NDArray[np.int16]
    base: NDArray[np.int32]
    bias: NDArray[np.int32]
    shift: int

    @property
    def classes(self) -> int:
        return len(self.bias)

    def logits(self, codes: NDArray[np.int8]) -> NDArray[np.int32]:
        """(windows, steps, channels) int8 codes -> (windows, classes) int32 in 2^-16 nats; the likeliest class has 0."""
        chunks = [self._logits(codes[i : i + _CHUNK]) for i in range(0, max(len(codes), 1), _CHUNK)]
        return np.concatenate(chunks)

    def nats(self, codes: NDArray[np.int8]) -> NDArray[np.float64]:
        """The same as natural logarithms of odds."""
        return np.asarray(self.logits(codes) / float(1 << BITS))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"weight": self.weight, "base": self.base, "bias": self.bias, "shift": np.asarray([self.shift], np.int32)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Wide:
        weight, base, bias, shift = (arrays[prefix + name] for name in ("weight", "base", "bias", "shift"))
        return cls(weight, base, bias, int(shift[0]))

    def to_json(self) -> dict[str, Any]:
        """``weight`` in base 64 of little-endian int16, class by class and channel by channel: there are many."""
        weight = base64.b64encode(self.weight.astype("<i2").tobytes()).decode()
        return {"weight": weight, "base": self.base.tolist(), "bias": self.bias.tolist(), "shift": self.shift}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Wide:
        base, bias = np.asarray(value["base"], np.int32), np.asarray(value["bias"], np.int32)
        weight = np.frombuffer(base64.b64decode(value["weight"]), "<i2").astype(np.int16)
        return cls(weight.reshape(len(bias), len(base), -1), base, bias, int(value["shift"]))

    def _logits(self, codes: NDArray[np.int8]) -> NDArray[np.int32]:
        heard = (codes != MISSING_CODE).any(axis=1)
        features = np.where(heard[:, :, None], wide_features(codes), 0).reshape(len(codes), -1)
        # In double precision, which is exact below 2^53 and takes the fast matrix product.
        sums = (features.astype(np.float64) @ self.weight.reshape(self.classes, -1).T.astype(np.float64)).astype(np.int64)
        logits = (sums >> self.shift) + heard.astype(np.int64) @ self.base.astype(np.int64) + self.bias
        return np.maximum(logits - logits.max(axis=1, keepdims=True), -CAP).astype(np.int32)


@dataclass(frozen=True)
class Joined:
    """A wide part and the network's int8 logits beside it, of which ``(code - zero) * gain`` is in 2^-16 nats."""

    wide: Wide
    gain: int
    zero: int

    def logits(self, codes: NDArray[np.int8], deep: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """(windows, steps, channels) int8 codes and (windows, classes) int8 logits -> their sum, int32 in 2^-16 nats."""
        return np.asarray(self.wide.logits(codes) + (deep.astype(np.int32) - self.zero) * self.gain, np.int32)

    def to_json(self) -> dict[str, Any]:
        return self.wide.to_json() | {"gain": self.gain, "zero": self.zero}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Joined:
        return cls(Wide.from_json(value), int(value["gain"]), int(value["zero"]))


def wide_features(codes: NDArray[np.int8]) -> NDArray[np.int16]:
    """(windows, steps, channels) int8 codes -> (windows, channels, features) int16, in units of like size."""
    flat = window_features(codes, parts_of(codes.shape[1])).reshape(len(codes), codes.shape[2], -1)
    return flat << units_of(codes.shape[1])


def units_of(steps: int) -> NDArray[np.int16]:
    """(features,) by how many bits each feature is shifted left, so that int16 weights serve all of them."""
    return np.asarray([UNITS.get(name, 0) for name in feature_names(steps, parts_of(steps))], np.int16)


def parts_of(steps: int) -> int:
    return min(PARTS, steps)
