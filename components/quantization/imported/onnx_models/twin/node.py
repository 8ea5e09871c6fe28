"""An ONNX node with its attributes and constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.errors import InputError

Array = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """``inputs``: names, '' for those left out; ``constants``: name -> array of the whole graph."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    constants: Mapping[str, Array]
    opset: int

    @classmethod
    def of(cls, proto: Any, constants: Mapping[str, Array], opset: int) -> Node:
        import onnx

        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        return cls(proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), attributes, constants, opset)

    def get(self, name: str, default: Any) -> Any:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def constant(self, position: int) -> Array | None:
        """The input there if it is constant; None where it is left out.

        Raises:
            InputError: it is computed.
        """
        if position >= len(self.inputs) or not self.inputs[position]:
            return None
        if self.inputs[position] not in self.constants:
            raise self.refused(f"input '{self.inputs[position]}' is not constant")
        return self.constants[self.inputs[position]]

    def weights(self, position: int) -> NDArray[np.float32]:
        """A constant that has to be there."""
        array = self.constant(position)
        if array is None:
            raise self.refused(f"has no input {position}")
        return np.asarray(array, np.float32)

    def number(self, position: int, attribute: str, default: float) -> float:
        """A scalar that was an attribute in older opsets."""
        array = self.constant(position)
        return float(self.get(attribute, default)) if array is None else float(array.reshape(-1)[0])

    def axes(self, rank: int) -> tuple[int, ...] | None:
        """Of a reduction: attribute or second input; None: all."""
        array = self.constant(1)
        given = self.get("axes", None) if array is None else array.tolist()
        return tuple(axis % rank for axis in given) if given else None

    def refused(self, why: str) -> InputError:
        return InputError(
            f"operator {self.kind} at node '{self.name or self.outputs[0]}': {why}",
            hint="build it for a profile whose runtime.name is onnxruntime, change that layer, or import an int8 .tflite",
        )
