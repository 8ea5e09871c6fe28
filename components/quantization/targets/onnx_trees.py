"""Boosted trees as one ONNX graph: int8 codes -> integer features -> tree ensembles -> int32 logits.

Features are computed in 64-bit integers as `runtime.window_features` has them. The ensembles add integer leaves in single
precision, which is exact below 2^24.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.onnx_features import GraphWriter, write_features
from components.quantization.targets.onnx_runtime import IR_VERSION, OPSET
from components.runtime.trees import Trees
from components.values import BoostedModel

_ML_OPSET = 3


def tree_graph(model: BoostedModel) -> Any:
    """ONNX model: 'codes' (n, steps, channels) int8 -> 'logits.<task>' (n, classes) and 'number.<task>' (n, 1), int32."""
    import onnx
    from onnx import TensorProto, helper

    channels = len(model.channels)
    writer = GraphWriter()
    features = writer.node("Cast", [write_features(writer, model.steps, channels)], to=TensorProto.FLOAT)
    exits = []
    for task, trees in sorted(model.trees.items()):
        summed = writer.node("TreeEnsembleRegressor", [features], domain="ai.onnx.ml", **_ensemble(trees))
        whole = writer.node("Cast", [summed], to=TensorProto.INT32)
        writer.node("Add", [whole, writer.constant(trees.bias)], name=trees.output(task))
        exits.append(helper.make_tensor_value_info(trees.output(task), TensorProto.INT32, ["n", len(trees.bias)]))
    entry = helper.make_tensor_value_info("codes", TensorProto.INT8, ["n", model.steps, channels])
    graph = helper.make_graph(writer.nodes, "trees", [entry], exits, writer.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    proto = helper.make_model(graph, opset_imports=opsets, producer_name="muster")
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _ensemble(trees: Trees) -> dict[str, Any]:
    """Attributes of the operator: every node of every tree by its place in the heap, leaves after the inner nodes."""
    count, inner = trees.feature.shape
    leaves = trees.leaf.shape[1]
    tree, node = (part.ravel().tolist() for part in np.indices((count, inner + leaves)))
    return {
        "aggregate_function": "SUM",
        "n_targets": len(trees.bias),
        "nodes_treeids": tree,
        "nodes_nodeids": node,
        "nodes_modes": (["BRANCH_GTE"] * inner + ["LEAF"] * leaves) * count,
        "nodes_featureids": _padded(trees.feature, leaves),
        "nodes_values": [float(v) for v in _padded(trees.threshold, leaves)],
        "nodes_truenodeids": _padded(np.tile(2 * np.arange(inner) + 2, (count, 1)), leaves),
        "nodes_falsenodeids": _padded(np.tile(2 * np.arange(inner) + 1, (count, 1)), leaves),
        "nodes_missing_value_tracks_true": [0] * (count * (inner + leaves)),
        "target_treeids": np.repeat(np.arange(count), leaves).tolist(),
        "target_nodeids": np.tile(np.arange(inner, inner + leaves), count).tolist(),
        "target_ids": np.repeat(trees.target, leaves).tolist(),
        "target_weights": [float(v) for v in trees.leaf.ravel()],
    }


def _padded(inner: NDArray[Any], leaves: int) -> list[int]:
    """(trees, inner nodes) -> flat, with zeros for the leaves."""
    return np.pad(inner, ((0, 0), (0, leaves))).ravel().tolist()
