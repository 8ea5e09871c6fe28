"""Integer samples that stand for the numbers of a row: ``number = raw * lsb + offset``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import Converter

Raw = NDArray[np.int16] | NDArray[np.int32]
SampleBits = Literal[16, 32]


@dataclass(frozen=True)
class Sampling:
    """One entry of ``converter`` a feature; samples have ``bits``, and the least of them says that a number is missing.

    ``exact``: they are those of the device's own converter, so each stands for one number. Else numbers were rounded to them.
    """

    converter: Converter
    bits: SampleBits
    exact: bool

    @property
    def missing(self) -> int:
        return missing_sample(self.bits)

    @property
    def highest(self) -> int:
        return -self.missing - 1

    def raw(self, numbers: NDArray[Any]) -> Raw:
        """(rows, features), NaN for missing -> the same shape, saturated at the ends."""
        lsb, offset = np.asarray(self.converter.lsb), np.asarray(self.converter.offset)
        steps = np.rint((numbers.astype(np.float64) - offset) / lsb)
        whole = np.clip(np.nan_to_num(steps), -self.highest, self.highest)
        found = np.where(np.isnan(numbers), self.missing, whole)
        return found.astype(np.int16) if self.bits == 16 else found.astype(np.int32)

    def numbers(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """What a trained model reads of such samples, in its single precision; NaN for missing ones."""
        values = (raw * np.asarray(self.converter.lsb) + np.asarray(self.converter.offset)).astype(np.float32)
        return np.where(raw == self.missing, np.float32(np.nan), values)

    def of(self, feature: int) -> Sampling:
        """That of one feature alone."""
        one = Converter((self.converter.lsb[feature],), (self.converter.offset[feature],))
        return Sampling(one, self.bits, self.exact)

    def to_json(self) -> dict[str, Any]:
        return {name: list(values) for name, values in asdict(self.converter).items()} | {"bits": self.bits, "exact": self.exact}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Sampling:
        converter = Converter(tuple(map(float, value["lsb"])), tuple(map(float, value["offset"])))
        return cls(converter, 32 if int(value["bits"]) == 32 else 16, bool(value["exact"]))


def missing_sample(bits: SampleBits) -> int:
    return -(1 << (bits - 1))
