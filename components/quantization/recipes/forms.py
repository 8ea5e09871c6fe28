"""The networks that compete for a profile, and what their answers are held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.quantization.recipes.fidelity import Judged, judged
from components.values import ElectraModel


@dataclass(frozen=True)
class Form:
    """``shape``: its name in `model.shapes`, '' of the only network there is. ``wanted``: what it should say."""

    shape: str
    model: ElectraModel
    wanted: Judged


def forms_of(model: ElectraModel, profile: str, codes: NDArray[np.int8]) -> list[Form]:
    """Where one network is there for ``profile``, it is held against itself in floats. Several shapes are all held against the
    trained network, on ``codes`` (windows, steps, channels): what they lose by their size then counts as what they lose in
    integers does.
    """
    shapes = model.shapes_for(profile)
    if len(shapes) < 2:
        alone = model.for_profile(profile)
        return [Form("", alone, judged(alone, codes))]
    wanted = judged(model.trained_for(profile), codes)
    return [Form(shape.name, model.for_profile(profile, shape.name), wanted) for shape in shapes]
