"""What the readers of single operators share: tensors that are known so far, and checks with the operator's name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.c99.tflite import File, Operator, Slot
from components.runtime.integers import Bits, Codes, Graph, Operation, Tensor
from components.workspace.errors import InputError

_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = 0, 1, 2, 3  # tflite.ActivationFunctionType
_SCALE_SLACK = 1e-6
_BITS: dict[str, Bits] = {"INT8": 8, "INT16": 16}


class Reading:
    """Turns indices of the file into tensors of the graph; reshapes are other names of one tensor."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._roots: dict[int, int] = {}
        self._tensors: dict[int, Tensor] = {}
        self._constants: dict[int, Codes] = {}

    def graph(self, operations: tuple[Operation, ...]) -> Graph:
        entry = self.source(next(iter(self._file.inputs.values())))
        outputs = {name: self.source(index) for name, index in self._file.outputs.items()}
        written = {o.target for o in operations}
        if not set(outputs.values()) <= written:
            raise InputError("a model that gives back its input or a constant", hint="nothing is left to compile")
        return Graph(self._tensors, operations, entry, outputs, self._constants)

    def alias(self, operator: Operator) -> None:
        """The output is the first input in another shape."""
        _count(operator, operator.inputs, 1, 2)
        _count(operator, operator.outputs, 1, 1)
        source, target = (self.slot(operator, i) for i in (operator.inputs[0], operator.outputs[0]))
        demand(operator, source.size == target.size, f"{source.shape} does not become {target.shape}")
        demand(operator, source.kind == target.kind, "another type")
        self._roots[operator.outputs[0]] = self._root(operator.inputs[0])

    def enter(self, operator: Operator) -> None:
        """A model that takes floats or bytes and quantizes them first takes codes instead."""
        _count(operator, operator.inputs, 1, 1)
        _count(operator, operator.outputs, 1, 1)
        demand(operator, operator.inputs[0] in self._file.inputs.values(), "values of another type within the model")
        _check_bytes(operator, self.slot(operator, operator.inputs[0]), self.slot(operator, operator.outputs[0]))
        self._roots[operator.inputs[0]] = operator.outputs[0]

    def leave(self, operator: Operator) -> None:
        """A model that gives floats or bytes gives the codes behind them instead."""
        _count(operator, operator.inputs, 1, 1)
        _count(operator, operator.outputs, 1, 1)
        demand(operator, operator.outputs[0] in self._file.outputs.values(), "values of another type within the model")
        _check_bytes(operator, self.slot(operator, operator.outputs[0]), self.slot(operator, operator.inputs[0]))
        self._roots[operator.outputs[0]] = self._root(operator.inputs[0])

    def kinds(self, indices: tuple[int, ...]) -> set[str]:
        return {self._file.slots[i].kind for i in indices if i >= 0}

    def ends(self, operator: Operator, sources: int = 1, most: int | None = None) -> tuple[list[Tensor], Tensor]:
        """(activations that it reads, what it writes): the first ``sources`` inputs, with one scale each, all of one width."""
        shaped, target = self.any_ends(operator, sources, most)
        demand(operator, {t.bits for t in shaped} == {target.bits}, "codes of 8 and of 16 bits together")
        return shaped, target

    def any_ends(self, operator: Operator, sources: int = 1, most: int | None = None) -> tuple[list[Tensor], Tensor]:
        """The same of any widths."""
        _count(operator, operator.inputs, sources, most or sources)
        _count(operator, operator.outputs, 1, 1)
        inputs = [self._tensors[self.source(i, operator)] for i in operator.inputs[:sources]]
        shaped = [_reshaped(t, self.slot(operator, i)) for t, i in zip(inputs, operator.inputs, strict=False)]
        return shaped, self._tensors[self.source(operator.outputs[0], operator)]

    def known(self, operator: Operator, index: int) -> Tensor:
        """The tensor behind ``index`` in the shape that the file gives to it there."""
        return _reshaped(self._tensors[self.source(index, operator)], self.slot(operator, index))

    def source(self, index: int, operator: Operator | None = None) -> int:
        """The tensor of the graph behind ``index``, known from now on."""
        root = self._root(index)
        if root not in self._tensors:
            slot = self.slot(operator, root)
            self._tensors[root] = _tensor(operator, slot)
            if slot.data is not None:
                self._constants[root] = slot.data
        return root

    def slot(self, operator: Operator | None, index: int) -> Slot:
        demand(operator, index >= 0, "an input that is left out")
        return self._file.slots[index]

    def constant(self, operator: Operator, position: int, kind: str) -> NDArray[Any]:
        """The constant that is input ``position``."""
        demand(operator, position < len(operator.inputs), f"no input {position}")
        slot = self.slot(operator, operator.inputs[position])
        demand(operator, slot.data is not None and slot.kind == kind, f"input {position} is no constant of type {kind}")
        return np.asarray(slot.data)

    def _root(self, index: int) -> int:
        return self._roots.get(index, index)


def demand(operator: Operator | None, holds: bool, what: str) -> None:
    """Raises:
    InputError: the C kernels do not compute ``what``, or the file is wrong.
    """
    if not holds:
        raise InputError(
            f"no C kernel for {operator or 'this model'}: {what}", hint="convert the model to full int8 or int16x8 again"
        )


def limits(operator: Operator, activation: int, y: Tensor) -> tuple[int, int]:
    """`CalculateActivationRangeQuantized`: limits of a fused activation in codes."""
    demand(operator, activation in {_NONE, _RELU, _RELU_N1_TO_1, _RELU6}, f"fused activation {activation}")
    low = {_NONE: None, _RELU: 0.0, _RELU_N1_TO_1: -1.0, _RELU6: 0.0}[activation]
    high = {_NONE: None, _RELU: None, _RELU_N1_TO_1: 1.0, _RELU6: 6.0}[activation]
    return (
        y.low if low is None else max(y.low, code_of(low, y)),
        y.high if high is None else min(y.high, code_of(high, y)),
    )


def code_of(value: float, tensor: Tensor) -> int:
    """In single precision, halves away from zero, without limits."""
    ratio = float(np.float32(value) / np.float32(tensor.scale))
    return tensor.zero + int(np.copysign(np.floor(abs(ratio) + 0.5), ratio))


def same_scale(operator: Operator, x: Tensor, y: Tensor) -> None:
    """Raises:
    InputError: the codes of both tensors mean different values.
    """
    close = abs(x.scale - y.scale) <= _SCALE_SLACK * y.scale
    demand(operator, close and x.zero == y.zero, "input and output of different scales")


def _check_bytes(operator: Operator, outside: Slot, inside: Slot) -> None:
    """A byte at an end of the model is its code plus 128, so that nothing is left to compute."""
    shifted = outside.scales == inside.scales and tuple(z - 128 for z in outside.zeros) == inside.zeros
    demand(operator, outside.kind != "UINT8" or shifted, "bytes of another scale than the codes behind them")


def _tensor(operator: Operator | None, slot: Slot) -> Tensor:
    demand(operator, slot.kind in _BITS, f"{slot.name} is {slot.kind}, not INT8 or INT16")
    demand(operator, len(slot.scales) == 1, f"{slot.name} has {len(slot.scales)} scales, not one")
    demand(operator, -128 <= slot.zeros[0] <= 127, f"{slot.name} has zero point {slot.zeros[0]}")
    demand(operator, slot.kind == "INT8" or slot.zeros[0] == 0, f"{slot.name} has 16 bits and zero point {slot.zeros[0]}")
    return Tensor(slot.shape, slot.scales[0], slot.zeros[0], _BITS[slot.kind])


def _reshaped(tensor: Tensor, slot: Slot) -> Tensor:
    return replace(tensor, shape=slot.shape)


def _count(operator: Operator, indices: tuple[int, ...], least: int, most: int) -> None:
    demand(operator, least <= len(indices) <= most, f"{len(indices)} inputs or outputs")
