"""The graph with a batch of one, and all that is constant computed: shapes, folded normalisation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from components.quantization.imported.onnx_models.session import open_session
from components.values.imported_onnx import Signal


def folded(data: bytes, entry: Signal) -> Any:
    """The ONNX model in ``data`` with the fixed shape of ``entry``, after ONNX Runtime's basic optimisations, shapes inferred."""
    import onnx

    proto = onnx.ModelProto.FromString(data)
    _fix(proto, entry)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "folded.onnx"
        open_session(proto.SerializeToString(), optimised=file)
        made = onnx.load(file)
    _fix(made, entry)
    return onnx.shape_inference.infer_shapes(made, data_prop=True)


def shapes(proto: Any) -> dict[str, tuple[int, ...]]:
    """Tensor -> shape, of those whose shapes are known."""
    graph, found = proto.graph, {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[value.name] = tuple(d.dim_value for d in dims)
    return found | {t.name: tuple(t.dims) for t in graph.initializer}


def macs(proto: Any) -> int:
    """Multiply-accumulates of convolutions and dense layers; ``proto`` is folded."""
    known, total = shapes(proto), 0
    for node in proto.graph.node:
        sizes = [known.get(name, ()) for name in (*node.input[:2], node.output[0])]
        if node.op_type == "Conv" and sizes[1] and sizes[2]:
            total += _product(sizes[2]) * _product(sizes[1][1:])
        if node.op_type in {"Gemm", "MatMul"} and sizes[0] and sizes[2]:
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            total += _product(sizes[2]) * sizes[0][-2 if transposed else -1]
    return total


def _fix(proto: Any, entry: Signal) -> None:
    for value in proto.graph.input:
        if value.name == entry.name:
            for dim, size in zip(value.type.tensor_type.shape.dim, entry.shape, strict=True):
                dim.dim_value = size
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
