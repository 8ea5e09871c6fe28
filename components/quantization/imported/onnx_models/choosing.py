"""Which way of writing an ONNX model suits a profile; what loses is kept with the reason.

1. int8 under every calibrator that the profile allows, with ranges of every second example, then each rewrite on top of the
   best one: the least noise on the others wins.
2. That and float32 are judged on these others. A recipe loses where it does not fit the profile's memory, breaks one of its
   promises (`numeric`), needs an operator that it does not list, or is slower than float32.
3. Of those left, `quantization.prefer` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.onnx_models.activations import measured
from components.quantization.imported.onnx_models.candidates import in_integers
from components.quantization.imported.onnx_models.correcting import corrected
from components.quantization.imported.onnx_models.equalising import equalised
from components.quantization.imported.onnx_models.folding import folded
from components.quantization.imported.onnx_models.likeness import likeness
from components.quantization.imported.onnx_models.session import Floats, answers, open_session, run
from components.quantization.operators import of_onnx
from components.quantization.recipes.fidelity import Fidelity
from components.quantization.recipes.pace import paces
from components.quantization.recipes.tried import Tried, settled, with_front
from components.values.imported_onnx import ImportedOnnx, Signal
from components.values.recipe import Recipe
from components.workspace.errors import GateFailed, InputError
from components.workspace.profiles import Profile

_MOST_ROWS = 256


@dataclass(frozen=True)
class Choice:
    """``rows``: (n, size) inputs that ``recipe`` was judged on; ``wanted``: what the imported model says of them."""

    data: bytes
    recipe: Recipe
    tried: tuple[Tried, ...]
    rows: Floats
    wanted: Floats


@dataclass(frozen=True)
class _Candidate:
    recipe: Recipe
    data: bytes
    fidelity: Fidelity


def choose(model: ImportedOnnx, profile: Profile) -> Choice:
    """Raises:
    GateFailed: no recipe keeps the profile's promises.
    """
    ranged, rows = _spread(model.examples[::2]), _spread(model.examples[1::2])
    wanted = answers(model.data, model.input, rows)

    def judged(recipe: Recipe, data: bytes) -> _Candidate:
        return _Candidate(recipe, data, likeness(model, answers(data, model.input, rows), wanted))

    found, lost = list[_Candidate](), list[Tried]()
    if "int8" in profile.precisions:
        found, lost = _in_integers(model, profile, ranged, judged)
    if "float32" in profile.precisions:
        found.append(judged(Recipe("float32"), model.data))
    tried = with_front(settled(_tried(model.input, found, rows), profile))
    for one, candidate in zip(tried, found, strict=True):
        if not one.lost:
            return Choice(candidate.data, one.recipe, (*tried, *lost), rows, wanted)
    raise GateFailed(
        f"profile '{profile.name}': no recipe will do ({'; '.join(f'{t.recipe.name}: {t.lost}' for t in (*tried, *lost))})",
        hint="allow more quantization.precisions, loosen numeric, or give it memory",
    )


def _in_integers(
    model: ImportedOnnx, profile: Profile, ranged: Floats, judged: Callable[[Recipe, bytes], _Candidate]
) -> tuple[list[_Candidate], list[Tried]]:
    """The int8 candidate with the least noise, and those that lost to it; none where the quantiser takes nothing."""
    proto, allowed = folded(model.data, model.input), profile.quantization
    reach = measured(proto, model.input, ranged)
    try:
        found = [judged(Recipe("int8", c), in_integers(proto, reach.under(c))) for c in allowed.calibrators]
        for rewrite in allowed.rewrites:
            before = _best(found).recipe
            recipe = replace(before, equalised=True) if rewrite == "equalise" else replace(before, corrected=True)
            if (other := _rewritten(proto, model.input, ranged, recipe)) is not None:
                spans = measured(other, model.input, ranged).under(recipe.calibrator)  # type: ignore[arg-type]
                found.append(judged(recipe, in_integers(other, spans)))
    except InputError as error:
        return [], [Tried(Recipe("int8"), None, lost=error.message)]
    best = _best(found)
    lost = [Tried(c.recipe, c.fidelity, lost=f"more noise than {best.recipe.name}") for c in found if c is not best]
    return [best], lost


def _rewritten(proto: Any, entry: Signal, rows: Floats, recipe: Recipe) -> Any | None:
    """The folded ``proto`` as ``recipe`` has it; None where it finds nothing to rewrite."""
    made = equalised(proto, entry, rows) if recipe.equalised else proto
    return corrected(made, entry, rows) if recipe.corrected and made is not None else made


def _best(found: list[_Candidate]) -> _Candidate:
    return min(found, key=lambda one: one.fidelity.noise)


def _tried(entry: Signal, found: list[_Candidate], rows: Floats) -> list[Tried]:
    latencies = paces([_engine(candidate.data, entry) for candidate in found], rows) if found else []
    made = [Tried(c.recipe, c.fidelity, size=len(c.data), operators=of_onnx(c.data)) for c in found]
    return [replace(one, latency_ms=ms) for one, ms in zip(made, latencies, strict=True)]


def _engine(data: bytes, entry: Signal) -> Callable[[NDArray[Any]], object]:
    session = open_session(data)
    return lambda rows: run(session, entry, rows)


def _spread(rows: Floats) -> Floats:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(int)]
