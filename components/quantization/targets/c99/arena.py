"""Where each tensor lies in the static arena: tensors that live at the same time do not overlap."""

from __future__ import annotations

from dataclasses import dataclass

from components.runtime.integers import Graph, Sum

_ALIGNMENT = 4


@dataclass(frozen=True)
class Arena:
    """``offsets``: tensor -> first byte. ``size`` in bytes."""

    offsets: dict[int, int]
    size: int


def plan(graph: Graph) -> Arena:
    """Greedy by size: each tensor takes the lowest gap between those it shares a moment with.

    The input and the outputs live to the end, because the score reads them.
    """
    lives = lifetimes(graph)
    offsets: dict[int, int] = {}
    for tensor in sorted(lives, key=lambda t: (-graph.tensors[t].size, t)):
        busy = sorted(
            (offsets[other], offsets[other] + _padded(graph, other)) for other in offsets if _meet(lives[tensor], lives[other])
        )
        place = 0
        for start, end in busy:
            if place + _padded(graph, tensor) <= start:
                break
            place = max(place, end)
        offsets[tensor] = place
    return Arena(offsets, max(place + _padded(graph, tensor) for tensor, place in offsets.items()))


def lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """Tensor -> (operation that writes it, last operation that reads it)."""
    first, last, end = {graph.input: -1}, {}, len(graph.operations)
    for i, operation in enumerate(graph.operations):
        for source in operation.sources if isinstance(operation, Sum) else (operation.source,):
            last[source] = i
        first[operation.target] = i
    last |= dict.fromkeys((graph.input, *graph.outputs.values()), end)
    return {tensor: (start, last.get(tensor, start)) for tensor, start in first.items()}


def _padded(graph: Graph, tensor: int) -> int:
    return -(-graph.tensors[tensor].size // _ALIGNMENT) * _ALIGNMENT


def _meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
