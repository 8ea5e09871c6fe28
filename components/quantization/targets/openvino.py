"""OpenVINO: the graphs of `onnx_runtime`, in integers with our ranges, in single precision, or with weights of 16 bits."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from components.quantization.operators import of_onnx
from components.quantization.targets import Network, Written
from components.quantization.targets.onnx_runtime import float_graph, in_integers, serialized
from components.runtime.engines import open_engine
from components.workspace.errors import BackendUnreachable


def compile_network(written: Written) -> Network:
    """As `onnx_runtime.compile_network`.

    Raises:
        BackendUnreachable: OpenVINO is not installed.
    """
    check_installed()
    precision = written.recipe.precision
    if precision == "int8":
        data, tensors = in_integers(written)
    else:
        proto = float_graph(written)
        data, tensors = serialized(_halved(proto) if precision == "float16" else proto), written.ends
    members = {"model.onnx": data}
    engine = open_engine("openvino", members, tensors, written.architecture.optional)
    return Network(members, tensors, engine, operators=of_onnx(data))


def check_installed() -> None:
    """Raises:
    BackendUnreachable: OpenVINO, which is an extra, is not here.
    """
    if find_spec("openvino") is None:
        raise BackendUnreachable("OpenVINO is not installed", hint="pip install 'muster-mlops[openvino]'")


def _halved(proto: Any) -> Any:
    """``proto`` with weights of 16 bits, that a Cast makes floats of: the runtime keeps them so, and computes in its own way."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for constant in proto.graph.initializer:
        if constant.data_type == TensorProto.FLOAT:
            name, values = constant.name, numpy_helper.to_array(constant)
            constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"Cast.{name}", to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto
