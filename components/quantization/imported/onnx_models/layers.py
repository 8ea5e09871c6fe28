"""The convolutions and dense layers of a folded ONNX graph, and the graph with other weights in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """``weights``: (out, in of a group, taps); ``bias``: (out,), zeros where the node has none.

    An output of group g reads the inputs from ``g * in`` on.
    """

    source: str
    target: str
    weights: Weights
    bias: Weights
    groups: int

    @property
    def reads(self) -> NDArray[np.int64]:
        """(out, in of a group) position of each input that is read."""
        out, inside, _ = self.weights.shape
        group = np.arange(out) // (out // self.groups)
        return np.asarray(group[:, None] * inside + np.arange(inside))

    @property
    def inputs(self) -> int:
        return self.groups * self.weights.shape[1]


def layers_of(proto: Any) -> list[Layer]:
    """Of ``proto``, in its order, those whose weights and biases are constants of their own."""
    from onnx import numpy_helper

    constants = {c.name: c for c in proto.graph.initializer}
    used = Counter(name for node in proto.graph.node for name in node.input)
    found = []
    for node in proto.graph.node:
        own = [name for name in node.input[1:] if name]
        if node.op_type in _KINDS and all(name in constants and used[name] == 1 for name in own):
            told = {a.name: a for a in node.attribute}
            if weights := _KINDS[node.op_type](numpy_helper.to_array(constants[own[0]]), told):
                matrix, groups = weights
                bias = numpy_helper.to_array(constants[own[1]]).ravel() if len(own) > 1 else np.zeros(len(matrix))
                if len(bias) == len(matrix):
                    found.append(Layer(node.input[0], node.output[0], matrix, bias.astype(np.float64), groups))
    return found


def with_layers(proto: Any, changed: Mapping[str, Layer]) -> Any:
    """A copy of ``proto``. ``changed``: target -> the layer that puts it out."""
    import onnx
    from onnx import numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(proto)
    constants = {c.name: c for c in made.graph.initializer}
    for node in made.graph.node:
        if layer := changed.get(node.output[0]):
            old = constants[node.input[1]]
            turned = layer.weights[:, :, 0].T if _turned(node) else layer.weights
            old.CopyFrom(numpy_helper.from_array(turned.reshape(tuple(old.dims)).astype(np.float32), old.name))
            name = node.input[2] if len(node.input) > 2 and node.input[2] else f"{node.output[0]}.corrected_bias"
            if name not in constants:
                del node.input[2:]
                node.input.append(name)
                made.graph.initializer.add().name = name
                constants[name] = made.graph.initializer[-1]
            constants[name].CopyFrom(numpy_helper.from_array(layer.bias.astype(np.float32), name))
    return made


def _conv(weights: NDArray[Any], told: Mapping[str, Any]) -> tuple[Weights, int]:
    groups = told["group"].i if "group" in told else 1
    return weights.reshape(*weights.shape[:2], -1).astype(np.float64), groups


def _gemm(weights: NDArray[Any], told: Mapping[str, Any]) -> tuple[Weights, int] | None:
    scaled = any(told[name].f != 1 for name in ("alpha", "beta") if name in told)
    if scaled or ("transA" in told and told["transA"].i):
        return None
    straight = "transB" in told and told["transB"].i
    return (weights if straight else weights.T)[:, :, None].astype(np.float64), 1


def _turned(node: Any) -> bool:
    return node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)


_KINDS = {"Conv": _conv, "Gemm": _gemm}
