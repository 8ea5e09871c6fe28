"""Boosted trees for the runtimes that run them well: ONNX Runtime and C99. Their integers need no calibration."""

from __future__ import annotations

from functools import partial

from components.quantization.operators import of_onnx
from components.quantization.targets import Footprint, Network
from components.runtime.surprise import Calibrated
from components.runtime.trees import tree_outputs
from components.values import Artefact, BoostedModel
from components.workspace.errors import InputError
from components.workspace.profiles import Profile

_CALLED = {"litert": "LiteRT", "openvino": "OpenVINO"}
"""Runtimes without trees."""


def compile_trees(profile: Profile, model: BoostedModel) -> Network:
    """``model`` in the profile's runtime, bit for bit what `runtime.trees` says.

    Raises:
        InputError: the runtime has no trees, or the profile wants a newer C interface than this generator writes.
    """
    if profile.runtime.name in _CALLED:
        raise InputError(
            f"profile '{profile.name}': {_CALLED[profile.runtime.name]} has no trees",
            hint="set its runtime.name to onnxruntime or c99",
        )
    if profile.runtime.name == "onnxruntime":
        from components.quantization.targets.onnx_trees import tree_graph
        from components.runtime.engines import open_engine

        members = {"model.onnx": bytes(tree_graph(model).SerializeToString(deterministic=True))}
        return Network(members, {}, open_engine("onnxruntime", members, {}), operators=of_onnx(members["model.onnx"]))
    from components.quantization.targets import c99
    from components.quantization.targets.c99.emit import sources
    from components.quantization.targets.c99.footprint import footprint
    from components.quantization.targets.c99.forest import forest_body

    c99.check_interface(profile)

    def write(artefact: Artefact) -> dict[str, bytes]:
        return sources(artefact, forest_body(model, artefact.scoring))

    def least(scoring: Calibrated) -> Footprint:
        return footprint(forest_body(model, scoring))

    return Network({}, {}, partial(tree_outputs, model.trees), write, footprint=least)
