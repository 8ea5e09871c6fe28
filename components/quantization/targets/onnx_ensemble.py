"""Boosted trees in floats as an ONNX graph: rows of numbers in; margins, classes and probabilities out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.onnx_runtime import IR_VERSION, OPSET
from components.runtime.ensemble import Ensemble

_ML_OPSET = 3


def ensemble_graph(ensemble: Ensemble) -> bytes:
    """A model: 'features' (n, features) float32, NaN for missing -> 'margins' (n, outputs) float32; of a classifier also
    'label' (n,) int64, and 'probabilities' (n, classes) float32 where its objective has them.
    """
    import onnx
    from onnx import TensorProto, helper

    outputs = len(ensemble.bias)
    nodes = [_trees(ensemble), *_decision(ensemble)]
    exits = [helper.make_tensor_value_info("margins", TensorProto.FLOAT, ["n", outputs])]
    named = {name for node in nodes for name in node.output}
    if "label" in named:
        exits.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    if "probabilities" in named:
        exits.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", ensemble.classes]))
    entry = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", ensemble.features])
    constants = [helper.make_tensor(n, kind, (len(v),), v) for n, kind, v in _constants(ensemble)]
    graph = helper.make_graph(nodes, "trees", [entry], exits, constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    proto = helper.make_model(graph, opset_imports=opsets, producer_name="muster")
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _trees(ensemble: Ensemble) -> Any:
    from onnx import helper

    tree, number = _places(ensemble)
    leaf = ~ensemble.inner
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["margins"],
        domain="ai.onnx.ml",
        aggregate_function="SUM",
        n_targets=len(ensemble.bias),
        base_values=ensemble.bias.tolist(),
        nodes_treeids=tree.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_modes=["BRANCH_LT" if asks else "LEAF" for asks in ensemble.inner],
        nodes_featureids=ensemble.feature.tolist(),
        nodes_values=np.where(leaf, 0, ensemble.threshold).tolist(),
        nodes_truenodeids=np.where(leaf, 0, number[ensemble.left]).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, number[ensemble.right]).tolist(),
        nodes_missing_value_tracks_true=(ensemble.missing_left & ~leaf).astype(int).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=number[leaf].tolist(),
        target_ids=ensemble.target[tree[leaf]].tolist(),
        target_weights=ensemble.leaf[leaf].tolist(),
    )


def _decision(ensemble: Ensemble) -> list[Any]:
    from onnx import TensorProto, helper

    make = helper.make_node
    if ensemble.kind == "multiclass":
        return [
            make("ArgMax", ["margins"], ["label"], axis=1, keepdims=0),
            make("Softmax", ["margins"], ["probabilities"], axis=1),
        ]
    if ensemble.kind == "regression":
        return []
    label = [
        make("Squeeze", ["margins", "axis"], ["margin"]),
        make("Greater", ["margin", "zero"], ["above"]),
        make("Cast", ["above"], ["label"], to=TensorProto.INT64),
    ]
    if ensemble.objective != "binary:logistic":
        return label
    return [
        *label,
        make("Sigmoid", ["margins"], ["second"]),
        make("Sub", ["one", "second"], ["first"]),
        make("Concat", ["first", "second"], ["probabilities"], axis=1),
    ]


def _constants(ensemble: Ensemble) -> list[tuple[str, int, list[Any]]]:
    from onnx import TensorProto

    if ensemble.kind != "binary":
        return []
    found: list[tuple[str, int, list[Any]]] = [("axis", int(TensorProto.INT64), [1]), ("zero", int(TensorProto.FLOAT), [0.0])]
    return [*found, ("one", int(TensorProto.FLOAT), [1.0])] if ensemble.objective == "binary:logistic" else found


def _places(ensemble: Ensemble) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(tree, number in it) of every node."""
    place = np.arange(len(ensemble.left))
    tree = np.searchsorted(ensemble.roots, place, side="right") - 1
    return tree, place - ensemble.roots[tree]
