"""Which recipe suits a profile: what it allows is tried in order of cost, and what loses is kept with the reason.

1. In integers, every calibrator and then each rewrite on top of the best one, in simulated arithmetic, which takes no compiler:
   the least noise wins.
2. Every precision is compiled with that and judged in its own runtime, on calibration windows that neither training nor the
   proof uses. It loses where it does not fit the profile's memory, breaks one of its promises (`numeric`), or is slower than
   floats on the same runtime, where these are allowed.
3. Of those left, `quantization.prefer` decides: size, accuracy or latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.models.selection import Mine, enough, own_windows, range_codes, range_windows
from components.models.weights import WEIGHT_LIMIT
from components.quantization.operators import check_operators
from components.quantization.recipes.fidelity import Judged, fidelity, judged
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


def search(profile: Profile, model: TrainedModel, windows: Windows, cache: Path) -> Search:
    """The network of ``model`` for ``profile`` by the recipe that suits it best. ``cache`` keeps what was compiled.

    Raises:
        GateFailed: no recipe keeps the profile's promises, or trees need an operator that it does not allow.
    """
    if isinstance(model, BoostedModel):
        from components.quantization.targets import trees

        network = trees.compile_trees(profile, model)
        check_operators(profile, network.operators)
        return Search(network, WHOLE)
    mine = own_windows(model, windows, profile.name)
    model = model.for_profile(profile.name)
    assert isinstance(model, ElectraModel)  # noqa: S101 - there are two kinds
    codes, wanted, limit = range_windows(windows, mine), _judged(model, windows, mine), _weight_limit(profile)
    best, lost = Recipe(""), list[Tried]()
    if set(profile.precisions) & set(INTEGER):
        best, lost = best_in_integers(profile.quantization, model, codes, wanted, limit)
    recipes = [_recipe(precision, best, profile) for precision in profile.precisions]
    networks = _compiled(profile, [write(model, recipe, codes, limit) for recipe in recipes], cache)
    tried = settled(_tried(profile, model, recipes, networks, wanted), profile)
    for one, network in zip(tried, networks, strict=True):
        if not one.lost:
            return Search(network, one.recipe, (*tried, *lost))
    raise GateFailed(
        f"profile '{profile.name}': no recipe will do ({'; '.join(f'{one.recipe.name}: {one.lost}' for one in tried)})",
        hint="allow more quantization.precisions, loosen numeric, give it memory, or shape a network for it (model.shapes)",
    )


def _judged(model: ElectraModel, windows: Windows, mine: Mine) -> Judged:
    late = calibration_split(windows)[1]
    return judged(model, range_codes(windows.codes, enough(late if len(late) else np.flatnonzero(windows.train), mine)))


def _recipe(precision: str, best: Recipe, profile: Profile) -> Recipe:
    """What was ``best`` in int8, in another precision: 16 bits have resolution to spare, and nothing to clip for; weights of
    fewer bits than 8 move means so far that biases make up for it wherever that is allowed.
    """
    if precision == "int8":
        return best
    if precision in PACKED:
        return replace(best, precision=precision, corrected="correct" in profile.quantization.rewrites)
    return replace(best, precision=precision, calibrator="minmax") if precision in INTEGER else Recipe(precision)


def _weight_limit(profile: Profile) -> int:
    from components.quantization.targets import onnx_runtime

    return onnx_runtime.WEIGHT_LIMIT if profile.runtime.name == "onnxruntime" else WEIGHT_LIMIT


def _compiled(profile: Profile, written: Sequence[Written], cache: Path) -> list[Network]:
    if profile.runtime.name == "onnxruntime":
        from components.quantization.targets import onnx_runtime

        return [onnx_runtime.compile_network(one) for one in written]
    if profile.runtime.name == "litert":
        from components.quantization.targets import litert

        return litert.compile_networks(written, cache)
    from components.quantization.targets import c99

    return [c99.compile_network(profile, one, cache) for one in written]


def _tried(
    profile: Profile, model: ElectraModel, recipes: Sequence[Recipe], networks: Sequence[Network], wanted: Judged
) -> list[Tried]:
    """Sizes and latencies are those of files that a runtime here reads; C is measured when it is proven."""
    found = [Tried(r, fidelity(model, n, wanted), operators=n.operators) for r, n in zip(recipes, networks, strict=True)]
    if profile.runtime.name == "c99":
        return found
    sizes = [sum(map(len, network.members.values())) for network in networks]
    latencies = paces([network.engine for network in networks], wanted.codes)
    return [replace(one, size=size, latency_ms=ms) for one, size, ms in zip(found, sizes, latencies, strict=True)]
