"""Structured pruning: whole channels and blocks leave the network, so that what is left is a smaller network and no sparse one.

All layers share one stream of ``width`` channels, so a channel leaves all of them together; the hidden units of a number are
chosen among themselves. What a channel is worth is the
energy it carries to the layers that read it: its mean square on windows times the squares of the weights on it, summed over
layers (the magnitude of a filter, Li et al., ICLR 2017, weighted by its activation). A block is worth what it adds to the
stream.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.models.reference import tensors
from components.values.architecture import Architecture, Weights

Floats = NDArray[np.float64]


def pruned(
    architecture: Architecture, weights: Weights, width: int, blocks: int, codes: NDArray[np.int8]
) -> tuple[Architecture, Weights]:
    """The network without its least channels and blocks; ``codes``: (windows, steps, channels) that say which these are."""
    found = tensors(architecture, weights, codes)
    stays = _most(_block_worth(architecture, found), blocks)
    keep = _most(_channel_worth(architecture, weights, found), width)
    units = {
        h.task: _most(_read(found, weights, f"hidden.{h.task}", f"head.{h.task}"), width)
        for h in architecture.heads
        if not h.classes
    }
    renamed = {_renumbered(name, stays): array for name, array in weights.items() if _stays(name, stays)}
    small = replace(architecture, width=width, blocks=blocks)
    return small, {name: _cut(name, array, keep, units) for name, array in renamed.items()}


def _block_worth(architecture: Architecture, found: Weights) -> Floats:
    """(blocks,) mean square of what a block adds."""
    return np.asarray([np.square(found[f"block{i}.pointwise"], dtype=np.float64).mean() for i in range(architecture.blocks)])


def _channel_worth(architecture: Architecture, weights: Weights, found: Weights) -> Floats:
    """(width,)."""
    worth = _read(found, weights, f"block{architecture.blocks - 1}", "correct")
    for i in range(architecture.blocks):
        worth += _read(found, weights, f"block{i}.depthwise", f"block{i}.pointwise")
    for head in architecture.heads:
        names = ("embedding", f"head.{head.task}") if head.classes else (f"summary.{head.task}", f"hidden.{head.task}")
        worth += _read(found, weights, *names)
    return worth


def _read(found: Weights, weights: Weights, source: str, reader: str) -> Floats:
    """(width,) energy that each channel of the tensor ``source`` carries into the layer ``reader``."""
    tensor, weight = found[source].astype(np.float64), weights[f"{reader}.weight"].astype(np.float64)
    energy = np.square(tensor).reshape(-1, tensor.shape[-1]).mean(axis=0)
    return np.asarray(energy * np.square(weight).reshape(len(weight), -1).sum(axis=0))


def _most(worth: Floats, count: int) -> NDArray[np.int64]:
    """Positions of the ``count`` largest, rising."""
    return np.sort(np.argsort(-worth, kind="stable")[:count])


def _stays(name: str, blocks: NDArray[np.int64]) -> bool:
    return not name.startswith("block") or _number(name) in blocks


def _renumbered(name: str, blocks: NDArray[np.int64]) -> str:
    if not name.startswith("block"):
        return name
    return f"block{int(np.searchsorted(blocks, _number(name)))}.{name.partition('.')[2]}"


def _number(name: str) -> int:
    return int(name.partition(".")[0].removeprefix("block"))


def _cut(
    name: str, array: NDArray[np.float32], keep: NDArray[np.int64], units: dict[str, NDArray[np.int64]]
) -> NDArray[np.float32]:
    """The array without what speaks of channels that left: rows of layers that write the stream, columns of its readers.

    ``units``: task -> hidden units that stay.
    """
    layer, _, kind = name.rpartition(".")
    layer, _, task = layer.partition(".")
    layer = task if layer.startswith("block") else layer
    if layer in ("stem", "depthwise", "pointwise", "summary"):
        array = array[keep]
    if layer == "hidden":
        array = array[units[task]]
    if kind == "weight" and layer in ("pointwise", "correct", "hidden"):
        array = array[:, keep]
    if kind == "weight" and layer == "head":
        array = array[:, units.get(task, keep)]
    return np.ascontiguousarray(array)
