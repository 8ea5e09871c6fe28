"""Boosted trees as they were trained: float thresholds, float leaves, a default way for missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.runtime.sampling import Raw, SampleBits, missing_sample

Kind = Literal["regression", "binary", "multiclass"]

_CELLS = 1 << 19  # rows times trees that walk down at once


@dataclass(frozen=True)
class Ensemble:
    """Trees over rows of ``features`` numbers; the margin of an output is its bias plus the leaves of its trees.

    Nodes of all trees lie in one list. ``feature``, ``threshold`` (float32), ``left``, ``right`` (int32 places in the list, -1
    at a leaf), ``missing_left``, ``leaf`` (float32): (nodes,). A row goes left where its value is below the threshold, compared
    in float32; NaN goes where ``missing_left`` says. ``roots``, ``target``: (trees,) int32, first node and the output that a tree
    adds to. ``bias``: (outputs,) float64. ``depth``: of the deepest tree. ``names``: of the features, or none.
    """

    kind: Kind
    objective: str
    features: int
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    leaf: NDArray[np.float32]
    roots: NDArray[np.int32]
    target: NDArray[np.int32]
    bias: NDArray[np.float64]
    depth: int
    names: tuple[str, ...] = ()

    @property
    def inner(self) -> NDArray[np.bool_]:
        """(nodes,) which of them ask."""
        return self.left >= 0

    @property
    def classes(self) -> int:
        """How many; 0 for a regression."""
        return {"regression": 0, "binary": 2, "multiclass": len(self.bias)}[self.kind]

    def margins(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(rows, features), NaN for missing -> (rows, outputs)."""
        rows = values.astype(np.float32)
        return np.concatenate([self._margins(part) for part in _parts(rows, len(self.roots))])

    def _margins(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        node = np.tile(self.roots, (len(values), 1))
        rows = np.arange(len(values))[:, None]
        for _ in range(self.depth):
            value = values[rows, self.feature[node]]
            left = np.where(np.isnan(value), self.missing_left[node], value < self.threshold[node])
            below = np.where(left, self.left[node], self.right[node])
            node = np.where(self.inner[node], below, node)
        return self.leaf[node].astype(np.float64) @ _adds(self.target, len(self.bias)) + self.bias


def labels(kind: Kind, margins: NDArray[Any]) -> NDArray[np.int64]:
    """(rows, outputs) margins of any scale -> (rows,) classes; a regression has none and gives zeros."""
    if kind == "binary":
        return (margins[:, 0] > 0).astype(np.int64)
    return margins.argmax(axis=1) if kind == "multiclass" else np.zeros(len(margins), np.int64)


@dataclass(frozen=True)
class IntegerTrees:
    """The same over samples of ``sample_bits``, with leaves in 2^-``bits``.

    Inner nodes of all trees, one tree after the other, depth first, the left child next to its parent: ``feature``, ``limit``
    ``missing_right``, ``left``: (nodes,). A row goes right where its sample is above the limit; a missing one goes where
    ``missing_right`` says. ``left`` counts the inner nodes below the left child: a part of n of them has n + 1 leaves, so it
    tells where the right child and its leaves lie. ``leaf``: (leaves,) int16, from left to right. ``size``: (trees,) inner nodes
    of each. ``trees``: (outputs,) how many trees add to each output, which are ordered by it. ``bias``: (outputs,) int32.
    """

    kind: Kind
    features: int
    feature: NDArray[np.int32]
    limit: NDArray[np.int32]
    missing_right: NDArray[np.bool_]
    left: NDArray[np.int32]
    leaf: NDArray[np.int16]
    size: NDArray[np.int32]
    trees: NDArray[np.int32]
    bias: NDArray[np.int32]
    bits: int
    sample_bits: SampleBits = 16

    def margins(self, raw: Raw) -> NDArray[np.int32]:
        """(rows, features) samples -> (rows, outputs) int32."""
        return np.concatenate([self._margins(part) for part in _parts(raw, len(self.size))])

    def _margins(self, raw: Raw) -> NDArray[np.int32]:
        rows, first = np.arange(len(raw))[:, None], np.cumsum(self.size) - self.size
        node = np.tile(first, (len(raw), 1))
        leaf = np.tile(first + np.arange(len(first)), (len(raw), 1))
        below = np.tile(self.size, (len(raw), 1))
        while (asks := below > 0).any():
            at = np.where(asks, node, 0)
            sample, left = raw[rows, self.feature[at]], self.left[at]
            right = np.where(sample == missing_sample(self.sample_bits), self.missing_right[at], sample > self.limit[at]) & asks
            node = np.where(asks, node + 1 + np.where(right, left, 0), node)
            leaf = leaf + np.where(right, left + 1, 0)
            below = np.where(asks, np.where(right, below - 1 - left, left), 0)
        target = np.repeat(np.arange(len(self.trees)), self.trees)
        sums = self.leaf[leaf].astype(np.int64) @ _adds(target, len(self.bias)).astype(np.int64)
        return (sums + self.bias).astype(np.int32)


def _parts(rows: NDArray[Any], trees: int) -> list[NDArray[Any]]:
    step = max(1, _CELLS // trees)
    return [rows[i : i + step] for i in range(0, max(len(rows), 1), step)]


def _adds(target: NDArray[np.int64] | NDArray[np.int32], outputs: int) -> NDArray[np.float64]:
    return np.asarray(target[:, None] == np.arange(outputs), np.float64)
