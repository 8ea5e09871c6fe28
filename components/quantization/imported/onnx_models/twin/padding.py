"""Which of TensorFlow's two paddings an ONNX node means, or how many zeros stand at each side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from components.quantization.imported.onnx_models.twin.node import Node
from components.quantization.imported.onnx_models.twin.value import Value

Sides = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Window:
    """Of a convolution or pooling over spatial axes. ``sides``: what is added before and after each; ``mode``: TensorFlow's
    word for that, '' where it has none.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    sides: Sides
    mode: Literal["valid", "same", ""]


def window(node: Node, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """Of ``node`` over spatial ``sizes``.

    Raises:
        InputError: it rounds its output size up, where that makes a difference.
    """
    ones = [1] * len(sizes)
    strides, dilations = tuple(node.get("strides", ones)), tuple(node.get("dilations", ones))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    same: Sides = tuple(_same(*facts) for facts in zip(sizes, reach, strides, strict=True))
    sides = _sides(node, same)
    if node.get("ceil_mode", 0) and any(
        (n + sum(side) - r) % s for n, side, r, s in zip(sizes, sides, reach, strides, strict=True)
    ):
        raise node.refused("ceil_mode with windows that reach over the end")
    mode: Literal["valid", "same", ""] = "valid" if not any(map(any, sides)) else "same" if sides == same else ""
    return Window(kernel, strides, dilations, sides, mode)


def padded(value: Value, sides: Sides) -> Any:
    """The channels-last tensor of ``value`` with zeros around its spatial axes."""
    from keras import ops

    return ops.pad(value.tensor, [(0, 0), *sides, (0, 0)])


def _sides(node: Node, same: Sides) -> Sides:
    automatic = node.get("auto_pad", "NOTSET")
    if automatic == "SAME_UPPER":
        return same
    if automatic == "SAME_LOWER":
        return tuple((after, before) for before, after in same)
    pads = [0] * (2 * len(same)) if automatic == "VALID" else list(node.get("pads", [0] * (2 * len(same))))
    if min(pads) < 0:
        raise node.refused("negative pads")
    return tuple(zip(pads[: len(same)], pads[len(same) :], strict=True))


def _same(size: int, reach: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: as many outputs as strides begin in the input, the odd zero at the end."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
