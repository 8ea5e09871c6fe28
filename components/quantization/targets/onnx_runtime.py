"""ONNX Runtime: the float graph written node by node, then static int8 quantisation with our ranges."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from components.models.ranges import Spans
from components.quantization.operators import of_onnx
from components.quantization.targets import Network, Written
from components.runtime.engines import open_engine
from components.runtime.scoring import Quantized
from components.workspace.errors import InputError

OPSET, IR_VERSION = 17, 8
"""Old enough for every ONNX Runtime since 1.14."""
WEIGHT_LIMIT = 64
"""Largest code of a weight. On processors without VNNI the kernels add two products in 16 bits and saturate: weights of 8 bits
then give other answers than on processors with it, and wrong ones."""
_ALIASES = {"channels_first": "input", "correct": "correction", "mean": "embedding"}


def compile_network(written: Written) -> Network:
    """In integers: weights of 7 bits a channel, int8 activations. In floats its answers are brought to codes afterwards."""
    if written.recipe.precision == "int8":
        data, tensors = in_integers(written)
    else:
        data, tensors = serialized(float_graph(written)), written.ends
    members = {"model.onnx": data}
    engine = open_engine("onnxruntime", members, tensors, written.architecture.optional)
    return Network(members, tensors, engine, operators=of_onnx(members["model.onnx"]))


def in_integers(written: Written) -> tuple[bytes, dict[str, Quantized]]:
    """The network with QuantizeLinear and DequantizeLinear, and scale and zero point of its ends."""
    proto = float_graph(written)
    proto = quantized(proto, _ranges(proto, written.spans))
    return serialized(proto), {"input": written.ends["input"]} | _outputs(proto)


def serialized(proto: Any) -> bytes:
    return bytes(proto.SerializeToString(deterministic=True))


def float_graph(written: Written) -> Any:
    """ONNX model: 'input' (n, steps, inputs) float32 -> 'correction', 'embedding', 'logits.<task>', 'number.<task>'."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = written.architecture
    batch, nodes = "n", _nodes(written)
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, shape.steps, shape.inputs])
    exits = [
        helper.make_tensor_value_info("correction", TensorProto.FLOAT, [batch, shape.steps, shape.channels]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, shape.width]),
        *(helper.make_tensor_value_info(h.output, TensorProto.FLOAT, [batch, max(len(h.classes), 1)]) for h in shape.heads),
    ]
    weights = [numpy_helper.from_array(np.ascontiguousarray(w, np.float32), n) for n, w in sorted(written.weights.items())]
    weights.append(numpy_helper.from_array(np.full((shape.width, 1, shape.steps), 1 / shape.steps, np.float32), "mean.weight"))
    weights.append(numpy_helper.from_array(np.asarray([-1, shape.width], np.int64), "mean.shape"))
    graph = helper.make_graph(nodes, "telemetry", [entry], exits, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="muster")
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _nodes(written: Written) -> list[Any]:
    from onnx import helper

    shape, nodes = written.architecture, []

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
    h = node("Relu", [conv(h, "stem", written.weights["stem.weight"].shape[2])], "stem.relu")
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


def quantized(proto: Any, ranges: Mapping[str, tuple[np.float32, np.float32]]) -> Any:
    """``proto`` with static int8 quantisation. ``ranges``: every tensor's least and greatest value."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    with tempfile.TemporaryDirectory() as folder, _only_errors():
        source, target, cache = (Path(folder) / name for name in ("float.onnx", "int8.onnx", "ranges.json"))
        onnx.save(proto, source)
        # Where the quantiser looks for what its own calibrators found.
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, dict(ranges)), cache)
        quantize_static(
            source,
            target,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=cache,
        )
        return onnx.load(target)


def _ranges(proto: Any, spans: Spans) -> dict[str, tuple[np.float32, np.float32]]:
    """``spans`` under the names of the graph's tensors."""
    names = ["input", *(name for node in proto.graph.node for name in node.output)]
    return {name: (np.float32(low), np.float32(high)) for name in names for low, high in [spans[_span(name, spans)]]}


def _span(tensor: str, spans: Spans) -> str:
    name = tensor if tensor in spans else tensor.removesuffix(".relu").removesuffix(".flat").removesuffix(".relu")
    return _ALIASES.get(name, name)


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
