"""ONNX Runtime: the float graph written node by node, then static int8 quantisation with true ranges."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.models.reference import inputs
from components.quantization.targets import Network
from components.runtime.engines import open_engine
from components.runtime.scoring import Quantized
from components.values import ElectraModel
from components.workspace.errors import InputError

OPSET, IR_VERSION = 17, 8
"""Old enough for every ONNX Runtime since 1.14."""


def compile_network(model: ElectraModel, codes: NDArray[np.int8]) -> Network:
    """``codes``: (windows, steps, channels) whose activations set the ranges. Weights of 7 bits a channel, int8 activations.

    On processors without VNNI the kernels add two products in 16 bits and saturate: weights of 8 bits then give other answers
    than on processors with it, and wrong ones.
    """
    quantized = _quantize(float_graph(model), inputs(model.architecture, codes))
    tensors = {"input": Quantized(model.architecture.input_scale, 0)} | _outputs(quantized)
    data = bytes(quantized.SerializeToString(deterministic=True))
    members = {"model.onnx": data}
    return Network(members, tensors, open_engine("onnxruntime", members, tensors, model.architecture.optional))


def float_graph(model: ElectraModel) -> Any:
    """ONNX model: 'input' (n, steps, inputs) float32 -> 'correction', 'embedding', 'logits.<task>', 'number.<task>'."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = model.architecture
    batch, nodes = "n", _nodes(model)
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, shape.steps, shape.inputs])
    exits = [
        helper.make_tensor_value_info("correction", TensorProto.FLOAT, [batch, shape.steps, shape.channels]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, shape.width]),
        *(helper.make_tensor_value_info(h.output, TensorProto.FLOAT, [batch, max(len(h.classes), 1)]) for h in shape.heads),
    ]
    weights = [numpy_helper.from_array(np.ascontiguousarray(w, np.float32), name) for name, w in sorted(model.weights.items())]
    weights.append(numpy_helper.from_array(np.full((shape.width, 1, shape.steps), 1 / shape.steps, np.float32), "mean.weight"))
    weights.append(numpy_helper.from_array(np.asarray([-1, shape.width], np.int64), "mean.shape"))
    graph = helper.make_graph(nodes, "telemetry", [entry], exits, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="muster")
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _nodes(model: ElectraModel) -> list[Any]:
    from onnx import helper

    shape, nodes = model.architecture, []

    def node(kind: str, sources: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, sources, [name], name=f"{kind}.{name}", **attributes))
        return name

    def conv(source: str, layer: str, kernel: int, group: int = 1) -> str:
        before = (kernel - 1) // 2
        return node("Conv", [source, f"{layer}.weight", f"{layer}.bias"], layer, group=group, pads=[before, kernel - 1 - before])

    def hidden(task: str) -> str:
        layer = node("Conv", [h, f"summary.{task}.weight", f"summary.{task}.bias"], f"summary.{task}", group=shape.width)
        flat = node("Reshape", [node("Relu", [layer], f"summary.{task}.relu"), "mean.shape"], f"summary.{task}.flat")
        dense = node("Gemm", [flat, f"hidden.{task}.weight", f"hidden.{task}.bias"], f"hidden.{task}", transB=1)
        return node("Relu", [dense], f"hidden.{task}.relu")

    h = node("Transpose", ["input"], "channels_first", perm=[0, 2, 1])
    h = node("Relu", [conv(h, "stem", model.weights["stem.weight"].shape[2])], "stem.relu")
    for i in range(shape.blocks):
        d = node("Relu", [conv(h, f"block{i}.depthwise", shape.kernel, shape.width)], f"block{i}.depthwise.relu")
        h = node("Relu", [node("Add", [h, conv(d, f"block{i}.pointwise", 1)], f"block{i}.sum")], f"block{i}.relu")
    node("Transpose", [conv(h, "correct", 1)], "correction", perm=[0, 2, 1])
    # The mean as a depthwise convolution over all steps: unlike ReduceMean it is quantised also where no head follows.
    mean = node("Conv", [h, "mean.weight"], "mean", group=shape.width)
    embedding = node("Reshape", [mean, "mean.shape"], "embedding")
    for head in shape.heads:
        source = embedding if head.classes else hidden(head.task)
        node("Gemm", [source, f"head.{head.task}.weight", f"head.{head.task}.bias"], head.output, transB=1)
    return nodes


def _quantize(proto: Any, x: NDArray[np.float32]) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder, _only_errors():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, source)
        quantize_static(
            source,
            target,
            _Reader(x),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(target)


@contextmanager
def _only_errors() -> Iterator[None]:
    """The quantiser warns through the root logger that the graph is not simplified, which ours need not be."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


class _Reader:
    """Hands the calibrator all windows as one batch: its ranges are then the true minima and maxima."""

    def __init__(self, x: NDArray[np.float32]) -> None:
        self._batches = iter([{"input": x}])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def _outputs(proto: Any) -> dict[str, Quantized]:
    """Scale and zero point that the last quantisation before each output has."""
    from onnx import numpy_helper

    constants = {c.name: numpy_helper.to_array(c) for c in proto.graph.initializer}
    producers = {name: n for n in proto.graph.node for name in n.output}
    found = {}
    for output in proto.graph.output:
        node = producers[output.name]
        if node.op_type != "DequantizeLinear" or constants[node.input[2]].dtype != np.int8:
            raise InputError(
                f"output '{output.name}' of the ONNX graph is not int8", hint="install the pinned onnxruntime version"
            )
        found[output.name] = Quantized(float(constants[node.input[1]]), int(constants[node.input[2]]))
    return found
