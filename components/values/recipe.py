"""How the numbers of a network are written for a device."""

from __future__ import annotations

from dataclasses import dataclass

PACKED = ("binary", "int4")
"""Precisions with weights of one bit and of four (`components.models.weights`), where size counts above all."""
INTEGER = ("int8", "int16x8", *PACKED)
"""Precisions whose activations are integers, with ranges that a calibrator sets."""


@dataclass(frozen=True)
class Recipe:
    """``precision``: int8, int16x8 (activations of 16 bits, weights of 8), int4 or binary (weights of 4 bits or one), dynamic
    (weights of 8 bits, the rest floats), float16 (weights) or float32. ``calibrator``: of the ranges of activations
    (`models.ranges`), '' where they have none.

    ``equalised``: channels between two layers brought to like ranges. ``corrected``: biases make up for the mean error that
    rounding the weights causes. ``shape``: of `model.shapes`, where several of them compete for a profile.
    """

    precision: str
    calibrator: str = ""
    equalised: bool = False
    corrected: bool = False
    shape: str = ""

    @property
    def name(self) -> str:
        parts = [self.precision, self.calibrator, "equalised" * self.equalised, "corrected" * self.corrected]
        return " ".join(filter(None, [f"{self.shape}:" * bool(self.shape), *parts]))


WHOLE = Recipe("")
"""Of a model that is made of integers from the start, as boosted trees are."""
