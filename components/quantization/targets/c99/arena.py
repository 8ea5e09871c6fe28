"""Where each tensor lies in the static arena: tensors that live at the same time do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from components.runtime.integers import Graph, Layer, Operation, Sweep, sources_of

_ALIGNMENT = 4


@dataclass(frozen=True)
class Arena:
    """``offsets``: tensor -> first byte, a multiple of four. ``copies``: number of an operation -> that of its patches. ``size``
    in bytes.
    """

    offsets: dict[int, int]
    copies: dict[int, int]
    size: int


@dataclass(frozen=True)
class _Block:
    size: int
    first: int
    last: int

    def meets(self, other: _Block) -> bool:
        return self.first <= other.last and other.first <= self.last


def plan(graph: Graph, *, keep_input: bool = True) -> Arena:
    """Greedy by size: each tensor takes the lowest gap between those it shares a moment with.

    The outputs live to the end, and with ``keep_input`` so does the input, because the score reads it.
    """
    lives = lifetimes(graph, keep_input=keep_input)
    blocks = {(tensor, False): _Block(_padded(graph.tensors[tensor].bytes), *life) for tensor, life in lives.items()}
    for i, operation in enumerate(graph.operations):
        if copied := copied_bytes(operation):
            blocks[i, True] = _Block(_padded(copied), i, i)
    places = _placed(blocks)
    size = max(place + blocks[key].size for key, place in places.items())
    tensors = {key: place for (key, copy), place in places.items() if not copy}
    return Arena(tensors, {key: place for (key, copy), place in places.items() if copy}, size)


def lifetimes(graph: Graph, *, keep_input: bool = True) -> dict[int, tuple[int, int]]:
    """Tensor -> (operation that writes it, last operation that reads it)."""
    first, end = {graph.input: -1}, len(graph.operations)
    last: dict[int, int] = {}
    for i, operation in enumerate(graph.operations):
        last |= dict.fromkeys(sources_of(operation), i)
        first[operation.target] = i
    last |= dict.fromkeys((*graph.outputs.values(), *((graph.input,) if keep_input else ())), end)
    return {tensor: (start, last.get(tensor, start)) for tensor, start in first.items()}


def copied_bytes(operation: Operation) -> int:
    """What `patch_of` in the C kernels gathers: patches of a layer that do not lie in one piece, or reach outside the image."""
    if not isinstance(operation, Layer):
        return 0
    sweep = operation.sweep
    patch = prod(sweep.kernel) * sweep.image[2] * operation.bits // 8
    if operation.depthwise:
        return 0 if sweep.inside else patch
    pairs = operation.bits == operation.weight_bits == 8  # kernels that share the loads of weights by two outputs
    return 0 if sweep.inside and _in_one_piece(sweep) else patch * min(prod(sweep.out), 2 if pairs else 1)


def _in_one_piece(sweep: Sweep) -> bool:
    rows, columns = sweep.kernel
    full_rows = rows == 1 or (columns == sweep.image[1] and sweep.dilation[0] == 1)
    return (columns == 1 or sweep.dilation[1] == 1) and full_rows


def _placed(blocks: dict[tuple[int, bool], _Block]) -> dict[tuple[int, bool], int]:
    places: dict[tuple[int, bool], int] = {}
    for key in sorted(blocks, key=lambda k: (-blocks[k].size, k)):
        block = blocks[key]
        busy = sorted((places[other], places[other] + blocks[other].size) for other in places if block.meets(blocks[other]))
        place = 0
        for start, end in busy:
            if place + block.size <= start:
                break
            place = max(place, end)
        places[key] = place
    return places


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
