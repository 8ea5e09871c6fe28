"""The best recipe in integers, found in simulated arithmetic: it takes no compiler, and runtimes are within rounding of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.models.simulation import simulate_within
from components.quantization.recipes.fidelity import fidelity
from components.quantization.recipes.forms import Form
from components.quantization.recipes.tried import Tried
from components.quantization.recipes.write import write
from components.values.recipe import Recipe
from components.workspace.profiles import Quantization


def best_in_integers(allowed: Quantization, form: Form, codes: NDArray[np.int8], limit: int) -> tuple[Recipe, list[Tried]]:
    """The int8 recipe with the least noise, and those that lost to it.

    Every calibrator is tried, then each rewrite on top of the best so far. ``codes``: (windows, steps, channels) that
    activations are measured on; ``limit``: the largest code of a weight.
    """

    def tried(recipe: Recipe) -> Tried:
        written = write(form.model, recipe, codes, limit)
        network = simulate_within(written.architecture, written.weights, written.spans, limit)
        return Tried(recipe, fidelity(form.model, network, form.wanted))

    found = [tried(Recipe("int8", calibrator, shape=form.shape)) for calibrator in allowed.calibrators]
    for rewrite in allowed.rewrites:
        best = _best(found)
        found.append(tried(replace(best, equalised=True) if rewrite == "equalise" else replace(best, corrected=True)))
    best = _best(found)
    return best, [replace(one, lost=f"more noise than {best.name}, both simulated") for one in found if one.recipe != best]


def _best(tried: list[Tried]) -> Recipe:
    return min(tried, key=lambda one: one.noise).recipe
