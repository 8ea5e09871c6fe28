"""Which recipe suits a profile: what it allows is tried in order of cost, and what loses is kept with the reason.

1. What cannot fit is out before any answer is compared: by its weights alone, and once compiled by its operators, its file, or
   in C by its tables and static memory.
2. In integers, every calibrator and then each rewrite on top of the best one, in simulated arithmetic, which takes no compiler:
   the least noise wins.
3. Every precision is compiled with that and judged in its own runtime, on calibration windows that neither training nor the
   proof uses. It loses where it breaks one of the profile's promises (`numeric`), or is slower than floats on the same runtime,
   where these are allowed.
4. Of those left, `quantization.prefer` decides: size, accuracy or latency.

Where several of `model.shapes` name the profile, each of them goes this way and all compete (`forms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.models.selection import Mine, enough, own_windows, range_codes, range_windows
from components.models.weights import WEIGHT_LIMIT
from components.quantization.operators import check_operators
from components.quantization.recipes.fidelity import fidelity
from components.quantization.recipes.fitting import misfit, takes, too_many_weights
from components.quantization.recipes.forms import Form, forms_of
from components.quantization.recipes.integers import best_in_integers
from components.quantization.recipes.pace import paces
from components.quantization.recipes.tried import Tried, settled
from components.quantization.recipes.write import write
from components.quantization.targets import Network, Written
from components.training.train import calibration_split
from components.values import BoostedModel, ElectraModel, TrainedModel, Windows
from components.values.recipe import INTEGER, PACKED, WHOLE, Recipe
from components.workspace.errors import GateFailed
from components.workspace.files import write_json
from components.workspace.profiles import Profile

_TIMED = ("latency_ms", "front")


@dataclass(frozen=True)
class Search:
    """The network that was chosen, its recipe, and all that was tried: compiled ones first."""

    network: Network
    recipe: Recipe
    tried: tuple[Tried, ...] = ()

    def save(self, folder: Path, profile: str) -> None:
        """Write `<profile>.recipes.json`, which holds nothing that was timed: equal inputs give equal bytes."""
        tried = [{k: v for k, v in one.to_json().items() if k not in _TIMED} for one in self.tried]
        write_json(folder / f"{profile}.recipes.json", {"schema_version": 1, "chosen": self.recipe.name, "tried": tried})

    @property
    def paces(self) -> dict[str, float]:
        """Recipe -> milliseconds of a window on this machine."""
        return {one.recipe.name: one.latency_ms for one in self.tried if one.latency_ms is not None}


@dataclass(frozen=True)
class _Candidate:
    form: Form
    recipe: Recipe
    written: Written


def search(profile: Profile, model: TrainedModel, windows: Windows, cache: Path) -> Search:
    """The network of ``model`` for ``profile`` by the recipe that suits it best. ``cache`` keeps what was compiled.

    Raises:
        GateFailed: no recipe keeps the profile's promises, or trees do not fit it.
    """
    if isinstance(model, BoostedModel):
        return _trees(profile, model)
    assert isinstance(model, ElectraModel)  # noqa: S101 - there are two kinds
    mine = own_windows(model, windows, profile.name)
    codes = range_windows(windows, mine)
    found, lost = list[_Candidate](), list[Tried]()
    for form in forms_of(model, profile.name, _judging(windows, mine)):
        candidates, out = _candidates(profile, form, codes)
        found, lost = found + candidates, lost + out
    networks = _compiled(profile, [one.written for one in found], cache)
    tried = settled(_tried(profile, found, networks), profile)
    for one, network in zip(tried, networks, strict=True):
        if not one.lost:
            return Search(network, one.recipe, (*tried, *lost))
    reasons = "; ".join(f"{one.recipe.name}: {one.lost}" for one in (*tried, *(t for t in lost if t.fidelity is None)))
    raise GateFailed(
        f"profile '{profile.name}': no recipe will do ({reasons})",
        hint="allow more quantization.precisions, loosen numeric, give it memory, or shape a network for it (model.shapes)",
    )


def _trees(profile: Profile, model: BoostedModel) -> Search:
    from components.quantization.targets import trees

    network = trees.compile_trees(profile, model)
    check_operators(profile, network.operators)
    if lost := misfit(profile, network, takes(profile, model, network)):
        raise GateFailed(
            f"profile '{profile.name}': the trees do not fit: {lost}",
            hint="train smaller ones (model.trees.rounds, model.trees.depth), or give it memory",
        )
    return Search(network, WHOLE)


def _judging(windows: Windows, mine: Mine) -> NDArray[np.int8]:
    late = calibration_split(windows)[1]
    return range_codes(windows.codes, enough(late if len(late) else np.flatnonzero(windows.train), mine))


def _candidates(profile: Profile, form: Form, codes: NDArray[np.int8]) -> tuple[list[_Candidate], list[Tried]]:
    """What of a network is worth compiling, and what is not. ``codes``: that activations are measured on."""
    limit, lost, kept = _weight_limit(profile), list[Tried](), list[str]()
    for precision in profile.precisions:
        if reason := too_many_weights(profile, form.model.architecture, precision):
            lost.append(Tried(Recipe(precision, shape=form.shape), None, lost=reason))
        else:
            kept.append(precision)
    best = Recipe("")
    if set(kept) & set(INTEGER):
        best, simulated = best_in_integers(profile.quantization, form, codes, limit)
        lost += simulated
    recipes = [_recipe(precision, best, profile, form.shape) for precision in kept]
    return [_Candidate(form, recipe, write(form.model, recipe, codes, limit)) for recipe in recipes], lost


def _recipe(precision: str, best: Recipe, profile: Profile, shape: str) -> Recipe:
    """What was ``best`` in int8, in another precision: 16 bits have resolution to spare, and nothing to clip for; weights of
    fewer bits than 8 move means so far that biases make up for it wherever that is allowed.
    """
    if precision == "int8":
        return best
    if precision in PACKED:
        return replace(best, precision=precision, corrected="correct" in profile.quantization.rewrites)
    if precision in INTEGER:
        return replace(best, precision=precision, calibrator="minmax")
    return Recipe(precision, shape=shape)


def _weight_limit(profile: Profile) -> int:
    from components.quantization.targets import onnx_runtime

    return onnx_runtime.WEIGHT_LIMIT if profile.runtime.name in ("onnxruntime", "openvino") else WEIGHT_LIMIT


def _compiled(profile: Profile, written: Sequence[Written], cache: Path) -> list[Network]:
    if profile.runtime.name == "onnxruntime":
        from components.quantization.targets import onnx_runtime

        return [onnx_runtime.compile_network(one) for one in written]
    if profile.runtime.name == "openvino":
        from components.quantization.targets import openvino

        return [openvino.compile_network(one) for one in written]
    from components.quantization.targets import litert

    if profile.runtime.name == "litert":
        return litert.compile_networks(written, cache)
    from components.quantization.targets import c99

    eights = [one for one in written if one.recipe.precision == "int8"]
    litert.tflites(eights, cache)  # all in one go, for TensorFlow takes seconds to start
    return [c99.compile_network(profile, one, cache) for one in written]


def _tried(profile: Profile, found: Sequence[_Candidate], networks: Sequence[Network]) -> list[Tried]:
    """What fits is run. Latencies are those of files that a runtime here reads; the cost of C is told by its multiplications."""
    tried = [_weighed(profile, *both) for both in zip(found, networks, strict=True)]
    running = [place for place, one in enumerate(tried) if not one.lost]
    for place in running:
        form, network = found[place].form, networks[place]
        tried[place] = replace(tried[place], fidelity=fidelity(form.model, network, form.wanted))
    if profile.runtime.name != "c99" and running:
        windows = found[0].form.wanted.codes
        for place, ms in zip(running, paces([networks[place].engine for place in running], windows), strict=True):
            tried[place] = replace(tried[place], latency_ms=ms)
    return tried


def _weighed(profile: Profile, candidate: _Candidate, network: Network) -> Tried:
    size = takes(profile, candidate.form.model, network)
    return Tried(
        candidate.recipe,
        None,
        size.flash,
        multiplications=candidate.form.model.architecture.multiplications,
        lost=misfit(profile, network, size),
        operators=network.operators,
    )
