"""Read a .tflite without trusting it: every index, size, shape and scale is checked before anything uses it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.errors import InputError

MAGIC = b"TFL3"
MOST_BYTES = 64 << 20
_MOST_TENSORS, _MOST_OPERATORS, _MOST_AXES, _MOST_CODES = 10_000, 4_000, 6, 1 << 24
_MOST_ENDS, _MOST_SCALES = 256, 1 << 22  # of one operator; of all tensors, which may share the bytes of theirs
_LEAST_SCALE, _MOST_SCALE = 2.0**-60, 2.0**30  # far beyond any network; products and ratios stay within 64 bits
_KINDS: dict[str, type[np.generic]] = {"INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64}
_DAMAGE = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, KeyError, AssertionError, MemoryError)
"""What the flatbuffer library raises when an offset leads outside the file."""

_FUSED, _SWEPT = ("FusedActivationFunction",), ("FusedActivationFunction", "Padding", "StrideH", "StrideW")
_DILATED = (*_SWEPT, "DilationHFactor", "DilationWFactor")
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", _FUSED),
    "AVERAGE_POOL_2D": ("Pool2DOptions", (*_SWEPT, "FilterHeight", "FilterWidth")),
    "CONCATENATION": ("ConcatenationOptions", (*_FUSED, "Axis")),
    "CONV_2D": ("Conv2DOptions", _DILATED),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _DILATED),
    "FULLY_CONNECTED": ("FullyConnectedOptions", (*_FUSED, "WeightsFormat")),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "MAX_POOL_2D": ("Pool2DOptions", (*_SWEPT, "FilterHeight", "FilterWidth")),
    "MUL": ("MulOptions", _FUSED),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "STRIDED_SLICE": ("StridedSliceOptions", ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")),
    "SUB": ("SubOptions", _FUSED),
}
"""Operator -> (class of its options, what of them counts)."""


@dataclass(frozen=True)
class Slot:
    """A tensor of the file. ``scales`` float32, one or one a channel; ``data`` None: an operator writes it, or the caller."""

    name: str
    kind: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    data: NDArray[Any] | None

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """``inputs``: -1 where an optional one is left out. ``options``: by their names in the schema, if any."""

    number: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"operator {self.number} ({self.name})"


@dataclass(frozen=True)
class File:
    """The main graph. ``outputs``: name -> tensor."""

    slots: dict[int, Slot]
    operators: tuple[Operator, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]


def read_file(data: bytes) -> File:
    """Raises:
    InputError: it is no .tflite, is damaged, or holds more than a microcontroller could.
    """
    if len(data) > MOST_BYTES:
        raise InputError(f"a .tflite of {len(data):,} bytes", hint=f"the most is {MOST_BYTES:,}")
    if data[4:8] != MAGIC:
        raise InputError("no .tflite: its bytes 4 to 7 are not TFL3", hint="export the model again")
    try:
        return _Reader(data).file()
    except _DAMAGE as error:
        raise InputError(f"a damaged .tflite: {type(error).__name__}: {error}", hint="export or copy it again") from None


def require(holds: bool, what: str) -> None:
    """Raises:
    InputError: what the file says does not hold together.
    """
    if not holds:
        raise InputError(f"a .tflite that cannot be: {what}", hint="export or copy it again")


class _Reader:
    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._data = data
        self._model = schema.Model.GetRootAsModel(data, 0)
        require(self._model.SubgraphsLength() >= 1, "no graph")
        self._graph = self._model.Subgraphs(0)
        self._tensors = self._graph.TensorsLength()
        self._scales = 0
        require(0 < self._tensors <= _MOST_TENSORS, f"{self._tensors} tensors")
        require(0 < self._graph.OperatorsLength() <= _MOST_OPERATORS, f"{self._graph.OperatorsLength()} operators")

    def file(self) -> File:
        operators = tuple(self._operators())
        inputs = self._list("inputs of the graph", self._graph.InputsLength(), self._graph.Inputs)
        outputs = self._list("outputs of the graph", self._graph.OutputsLength(), self._graph.Outputs)
        require(bool(inputs) and bool(outputs) and len(set(inputs)) == len(inputs), "a graph without inputs or outputs")
        used = {i for o in operators for i in (*o.inputs, *o.outputs) if i >= 0} | {*inputs, *outputs}
        slots = {i: self._slot(i) for i in sorted(used)}
        _check_order(slots, operators, inputs, outputs)
        return File(slots, operators, self._names(slots, inputs, inputs=True), self._names(slots, outputs, inputs=False))

    def _operators(self) -> Iterator[Operator]:
        names = {code: name for name, code in vars(self._schema.BuiltinOperator).items() if isinstance(code, int)}
        for number in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(number)
            require(operator.OpcodeIndex() < self._model.OperatorCodesLength(), f"operator {number} of no kind")
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            name = names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "of an unknown kind")
            inputs = self._list(f"inputs of {name}", operator.InputsLength(), operator.Inputs, optional=True)
            outputs = self._list(f"outputs of {name}", operator.OutputsLength(), operator.Outputs)
            yield Operator(number, name, inputs, outputs, self._options(name, operator))

    def _options(self, name: str, operator: Any) -> dict[str, Any]:
        table, (kind, fields) = operator.BuiltinOptions(), _OPTIONS.get(name, ("", ()))
        if table is None or not kind or operator.BuiltinOptionsType() != getattr(self._schema.BuiltinOptions, kind):
            return {}
        options = getattr(self._schema, kind)()
        options.Init(table.Bytes, table.Pos)
        return {field: getattr(options, field)() for field in fields}

    def _list(self, what: str, length: int, item: Any, *, optional: bool = False) -> tuple[int, ...]:
        require(length <= _MOST_ENDS, f"{length} {what}")
        indices = tuple(int(item(i)) for i in range(length))
        require(all((-1 if optional else 0) <= i < self._tensors for i in indices), f"{what} that are not there")
        return indices

    def _slot(self, index: int) -> Slot:
        tensor = self._graph.Tensors(index)
        name = (tensor.Name() or b"").decode(errors="replace")[:200] or f"tensor {index}"
        axes = tensor.ShapeLength()
        require(axes <= _MOST_AXES, f"{name} with {axes} axes")
        shape = tuple(int(tensor.Shape(i)) for i in range(axes))
        require(all(n > 0 for n in shape) and prod(shape) <= _MOST_CODES, f"{name} of shape {shape}")
        kinds = {code: kind for kind, code in vars(self._schema.TensorType).items() if isinstance(code, int)}
        kind = kinds.get(tensor.Type(), "?")
        scales, zeros = self._quantization(name, tensor.Quantization())
        return Slot(name, kind, shape, scales, zeros, self._constant(name, kind, shape, tensor.Buffer()))

    def _quantization(self, name: str, quantization: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
        if quantization is None or not quantization.ScaleLength():
            return (), ()
        count = quantization.ScaleLength()
        self._scales += count
        require(self._scales <= _MOST_SCALES, f"{self._scales} scales up to {name}")
        scales = tuple(float(s) for s in quantization.ScaleAsNumpy().tolist())
        zeros = tuple(quantization.ZeroPointAsNumpy().tolist()) if quantization.ZeroPointLength() else ()
        require(len(zeros) in {0, count}, f"{name} with {count} scales and {len(zeros)} zero points")
        require(all(_LEAST_SCALE < s < _MOST_SCALE for s in scales), f"{name} with a scale that is not positive and sane")
        return scales, zeros or (0,) * count

    def _constant(self, name: str, kind: str, shape: tuple[int, ...], buffer: int) -> NDArray[Any] | None:
        require(buffer < self._model.BuffersLength(), f"{name} in buffer {buffer}")
        kept = self._model.Buffers(buffer)
        require(kept.Offset() <= 1, f"{name} with its data outside of the file's buffers")
        length = kept.DataLength()
        if not length:
            return None
        require(length <= len(self._data), f"{name} longer than the file")
        if kind not in _KINDS:
            return np.zeros(0, np.int8)  # no operation here reads another kind
        require(length == prod(shape) * np.dtype(_KINDS[kind]).itemsize, f"{name} of {length} bytes for shape {shape}")
        return np.asarray(kept.DataAsNumpy()).view(_KINDS[kind]).reshape(shape)

    def _names(self, slots: dict[int, Slot], indices: tuple[int, ...], *, inputs: bool) -> dict[str, int]:
        """By the file's signature where it has one, else by the names of the tensors; no two are equal."""
        said: dict[int, str] = {}
        if self._model.SignatureDefsLength():
            signature = self._model.SignatureDefs(0)
            length, item = (
                (signature.InputsLength(), signature.Inputs) if inputs else (signature.OutputsLength(), signature.Outputs)
            )
            require(length <= _MOST_TENSORS, f"a signature of {length} names")
            said = {int(item(i).TensorIndex()): (item(i).Name() or b"").decode(errors="replace")[:200] for i in range(length)}
        names: dict[str, int] = {}
        for index in indices:
            name = said.get(index) or slots[index].name
            names[name if name not in names else f"{name} {index}"] = index
        return names


def _check_order(
    slots: dict[int, Slot], operators: tuple[Operator, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    """Every tensor is written once, before it is read."""
    there = {i for i, slot in slots.items() if slot.data is not None}
    require(not there & set(inputs), "an input of the graph that is a constant")
    there |= set(inputs)
    for operator in operators:
        for i in operator.inputs:
            require(
                i < 0 or i in there or slots[i].size == 0,
                f"{operator} reads {slots[i].name if i >= 0 else ''} before it is written",
            )
        for i in operator.outputs:
            require(i not in there, f"{operator} writes {slots[i].name}, which is there already")
            there.add(i)
    require(set(outputs) <= there, "an output of the graph that nothing writes")
