"""Write the numbers of a network by a recipe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.models.ranges import calibrated
from components.quantization.recipes.correct import corrected
from components.quantization.recipes.equalise import equalised
from components.quantization.targets import Written
from components.values import ElectraModel
from components.values.recipe import Recipe


def write(model: ElectraModel, recipe: Recipe, codes: NDArray[np.int8], limit: int) -> Written:
    """``codes``: (windows, steps, channels) that activations are measured on; ``limit``: the largest code of a weight."""
    architecture, weights = model.architecture, dict(model.weights)
    if recipe.equalised:
        weights = equalised(architecture, weights, codes)
    spans = calibrated(architecture, weights, codes, recipe.calibrator or "minmax")  # type: ignore[arg-type]
    # An input code is a network code.
    spans |= {"input": (-128 * architecture.input_scale, 127 * architecture.input_scale)}
    if recipe.corrected:
        weights = corrected(architecture, weights, codes, limit, recipe.precision)
    return Written(architecture, weights, spans, codes, recipe)
