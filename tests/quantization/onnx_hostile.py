"""ONNX files that are damaged, made to do damage, or outside what is taken."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from .onnx_graphs import proto


def _plain():
    return proto([("MatMul", ("x", "w"), "logits")], {"w": np.ones((6, 4), np.float32)})


def _outside(made):
    weights = made.graph.initializer[0]
    weights.data_location = TensorProto.EXTERNAL
    weights.ClearField("raw_data")
    weights.external_data.add(key="location", value="../../etc/passwd")


def _giant(made):
    made.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]


def _short(made):
    made.graph.initializer[0].raw_data = b"12"


def _cycle(made):
    made.graph.node.append(helper.make_node("Relu", ["logits"], ["y"]))
    made.graph.node[0].input[0] = "y"


def _custom(made):
    made.graph.node[0].domain = "com.evil"


def _unknown(made):
    made.graph.node[0].op_type = "PythonOp"


def _function(made):
    made.functions.add(name="F", domain="f")


def _second(made):
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))


def _doubles(made):
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def _opened(made):
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


def _old(made):
    made.opset_import[0].version = 3


def _loops(made):
    body = helper.make_graph([], "body", [], [])
    made.graph.node.append(helper.make_node("Loop", ["", ""], ["y"], body=body))


_CHANGES = {
    _outside: "another file",
    _giant: "shape",
    _short: "bytes",
    _cycle: "sorted|ONNX model",
    _custom: "not standard",
    _unknown: "ONNX model",
    _function: "function",
    _second: "2 inputs",
    _doubles: "float32|ONNX model",
    _opened: "shape",
    _old: "opset",
    _loops: "loops",
}


def _changed(change):
    made = _plain()
    change(made)
    return made.SerializeToString()


_WHOLE = _plain().SerializeToString()
HOSTILE = {change.__name__.strip("_"): (_changed(change), says) for change, says in _CHANGES.items()}
HOSTILE |= {"truncated": (_WHOLE[: len(_WHOLE) // 2], "ONNX"), "noise": (b"\x08" + bytes(range(200)), "ONNX")}
"""Name -> (bytes, what is said of them)."""
