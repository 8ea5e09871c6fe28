"""Small ONNX models, written node by node."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("idle", "walk", "run")
SHAPE = (2, 8, 6)


def proto(nodes, weights, entry=("n", *SHAPE), exits=("logits",), opset=17, ir=8):
    """An ONNX model of (operator, inputs, output[, attributes]) ``nodes``."""
    made = [
        helper.make_node(kind, list(sources), [name], name=f"{kind}.{name}", **(rest[0] if rest else {}))
        for kind, sources, name, *rest in nodes
    ]
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(entry))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in exits],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir
    return onnx.shape_inference.infer_shapes(model)


def classifier(entry=("n", *SHAPE), seed=0):
    """Convolutions on (channels, height, width), batch normalisation, pooling, a dense layer."""
    draw = np.random.default_rng(seed)

    def weights(*shape):
        return draw.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    nodes = [
        ("Conv", ("x", "c.w", "c.b"), "c", {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ("c", "n.s", "n.b", "n.m", "n.v"), "n"),
        ("Relu", ("n",), "r"),
        ("Conv", ("r", "d.w"), "d", {"group": 16, "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("Clip", ("d", "zero", "six"), "d6"),
        ("Flatten", ("d6",), "f"),
        ("Gemm", ("f", "g.w", "g.b"), "logits", {"transB": 1}),
    ]
    arrays = {"c.w": weights(16, 2, 3, 3), "c.b": weights(16), "d.w": weights(16, 1, 3, 3), "g.w": 6 * weights(3, 16 * 12)}
    arrays |= {"g.b": weights(3), "n.s": 1 + weights(16) ** 2, "n.b": weights(16), "n.m": weights(16)}
    arrays |= {"n.v": 1 + weights(16) ** 2, "zero": np.float32(0), "six": np.float32(6)}
    return proto(nodes, arrays, entry)


def inputs(rows=48, shape=SHAPE, seed=1):
    return np.random.default_rng(seed).normal(0, 1, (rows, *shape)).astype(np.float32)
