"""What of an ONNX file is taken: one graph of standard operators with all its weights in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from components.values.imported_onnx import Signal
from components.workspace.errors import InputError

MOST_ELEMENTS = 1 << 28
"""Of one tensor."""
_LEAST_OPSET = 7
_STANDARD = {"", "ai.onnx"}
_ITERATES = {"Loop", "Scan", "If", "SequenceMap"}


def checked(data: bytes) -> Any:
    """The ONNX model in ``data``, which names no other file and no operator but standard ones.

    Raises:
        InputError: it is damaged, or not of that kind.
    """
    import onnx

    try:
        proto = onnx.ModelProto.FromString(data)
    except Exception as error:  # noqa: BLE001 - that of protobuf, which ships no types
        raise InputError(f"no ONNX model: {error}", hint="export it again") from None
    _check_nodes(proto)
    for name, tensor in _tensors(proto.graph):
        _check_tensor(name, tensor)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"no valid ONNX model: {said[:300]}", hint="export it again, and check it with onnx.checker") from None
    return proto


def operators(proto: Any) -> dict[str, int]:
    """Name -> how many."""
    return dict(sorted(Counter(node.op_type for node in proto.graph.node).items()))


def entry(proto: Any) -> Signal:
    """The one input, with a batch of one where the batch is not fixed.

    Raises:
        InputError: several inputs, no floats, or another dimension that is not fixed.
    """
    import onnx

    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise InputError(f"{len(inputs)} inputs: {', '.join(i.name for i in inputs)}", hint="export a model with one input")
    value = inputs[0].type.tensor_type
    if not inputs[0].type.HasField("tensor_type") or value.elem_type != onnx.TensorProto.FLOAT or not value.HasField("shape"):
        raise InputError(f"input '{inputs[0].name}' is no float32 tensor of known rank", hint="export the model for float32")
    sizes = [d.dim_value if d.HasField("dim_value") else 0 for d in value.shape.dim]
    if not sizes or any(size < 1 for size in sizes[1:]):
        told = [d.dim_param or d.dim_value or "?" for d in value.shape.dim]
        raise InputError(
            f"input '{inputs[0].name}' has shape {told}", hint="export it with all dimensions fixed; only the batch may be open"
        )
    signal = Signal(inputs[0].name, (max(sizes[0], 1), *sizes[1:]))
    if signal.size > MOST_ELEMENTS:
        raise InputError(f"input of {signal.size:,} numbers", hint=f"the most is {MOST_ELEMENTS:,}")
    return signal


def _check_nodes(proto: Any) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    for opset in proto.opset_import:
        if opset.domain in _STANDARD and not _LEAST_OPSET <= opset.version <= newest:
            raise InputError(f"opset {opset.version}", hint=f"export it with an opset from {_LEAST_OPSET} to {newest}")
    if proto.functions:
        raise InputError(
            f"function '{proto.functions[0].name}' of its own", hint="inline it: onnx.inliner.inline_local_functions"
        )
    for node in proto.graph.node:
        if node.domain not in _STANDARD:
            raise InputError(
                f"operator {node.domain}.{node.op_type} at node '{node.name}' is not standard ONNX",
                hint="export the model with operators of ONNX only",
            )
        if node.op_type in _ITERATES or any(a.HasField("g") or a.graphs for a in node.attribute):
            raise InputError(f"operator {node.op_type} at node '{node.name}' branches or loops", hint="export a plain graph")


def _tensors(graph: Any) -> Iterator[tuple[str, Any]]:
    yield from ((t.name, t) for t in graph.initializer)
    for sparse in graph.sparse_initializer:
        yield from ((sparse.values.name, sparse.values), (sparse.indices.name, sparse.indices))
    for node in graph.node:
        for attribute in node.attribute:
            found = [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
            yield from ((node.name or attribute.name, t) for t in found)
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise InputError(f"sparse tensor at node '{node.name}'", hint="export dense weights")


def _check_tensor(name: str, tensor: Any) -> None:
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise InputError(
            f"weights '{name}' are in another file", hint="save all in one: onnx.save(model, file, save_as_external_data=False)"
        )
    elements = 1
    for size in tensor.dims:
        elements *= int(size)
        if size < 0 or elements > MOST_ELEMENTS:
            raise InputError(f"weights '{name}' have shape {list(tensor.dims)}", hint=f"the most is {MOST_ELEMENTS:,} numbers")
    if tensor.HasField("raw_data"):
        try:
            wanted = elements * np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        except (KeyError, TypeError):
            raise InputError(f"weights '{name}' have unknown type {tensor.data_type}", hint="export it again") from None
        if len(tensor.raw_data) != wanted and tensor.data_type in _WHOLE_BYTES:
            raise InputError(f"weights '{name}' take {len(tensor.raw_data):,} bytes, not {wanted:,}", hint="export it again")


_WHOLE_BYTES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13})
"""Types of `TensorProto` from FLOAT to UINT64 whose elements are not packed."""
