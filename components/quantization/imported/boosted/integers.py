"""Float trees become integer ones: the same decision for every raw sample, leaves in the finest power of two that fits."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from components.runtime.ensemble import Ensemble, IntegerTrees
from components.runtime.sampling import Sampling
from components.workspace.errors import InputError

_LEAF = 32_767
_MOST_BITS = 30


def integer_trees(ensemble: Ensemble, sampling: Sampling) -> IntegerTrees:
    """Raises:
    InputError: the leaves span more than 32 bits.
    """
    limit, bits = limits(ensemble, sampling), _bits(ensemble)
    leaf = np.rint(np.ldexp(ensemble.leaf.astype(np.float64), bits)).astype(np.int16)
    order = np.argsort(ensemble.target, kind="stable")
    grown = _Grown(ensemble, limit, leaf, sampling.highest)
    sizes = [grown.grow(int(ensemble.roots[tree])) for tree in order]
    return IntegerTrees(
        kind=ensemble.kind,
        features=ensemble.features,
        feature=np.asarray(grown.feature or [0], np.int32),
        limit=np.asarray(grown.limit or [0], np.int32),
        missing_right=np.asarray(grown.missing_right or [False], bool),
        left=np.asarray(grown.left or [0], np.int32),
        leaf=np.asarray(grown.leaf, np.int16),
        size=np.asarray(sizes, np.int32),
        trees=np.bincount(ensemble.target, minlength=len(ensemble.bias)).astype(np.int32),
        bias=np.rint(np.ldexp(ensemble.bias, bits)).astype(np.int32),
        bits=bits,
        sample_bits=sampling.bits,
    )


def limits(ensemble: Ensemble, sampling: Sampling) -> NDArray[np.int32]:
    """(nodes,) the greatest sample that goes left; that for missing ones where none does.

    Samples of the device's own converter, ``exact``, go where the trained model sends their numbers: the limit is searched among
    all of them, without a rule for rounding. Else numbers are rounded to samples, and thresholds as they are: XGBoost takes
    thresholds from the numbers it was trained on, and what is equal to one goes right.
    """
    found = np.zeros(len(ensemble.left), np.int32)
    for feature in np.unique(ensemble.feature[ensemble.inner]):
        asks, own = ensemble.inner & (ensemble.feature == feature), sampling.of(int(feature))
        threshold = ensemble.threshold[asks][:, None]
        found[asks] = (_searched(own, threshold) if sampling.exact else own.raw(threshold).astype(np.int64) - 1)[:, 0]
    return found


def _searched(own: Sampling, threshold: NDArray[np.float32]) -> NDArray[np.int64]:
    """The greatest sample whose number is below the threshold, by halving; numbers never fall with their samples."""
    low, high = np.full(threshold.shape, own.missing), np.full(threshold.shape, own.highest + 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        below = own.numbers(middle) < threshold
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


def _bits(ensemble: Ensemble) -> int:
    """The most fractional bits with which every leaf fits 16 bits, and every sum 32."""
    leaf = np.abs(ensemble.leaf.astype(np.float64))
    ends = np.append(ensemble.roots, len(leaf))
    largest = [leaf[a:b].max() for a, b in pairwise(ends)]
    sums = np.abs(ensemble.bias) + np.bincount(ensemble.target, largest, minlength=len(ensemble.bias))
    room = [_room(_LEAF, leaf.max()), _room(2**31 - 1 - len(largest), sums.max())]
    bits = min(*room, _MOST_BITS)
    if leaf.max() > 0 and math.ldexp(float(leaf.max()), bits) < 1:
        raise InputError("the leaves vanish beside base_score", hint="train with a smaller base_score")
    return bits


def _room(most: int, value: float) -> int:
    return math.floor(math.log2(most / value)) if value > 0 else _MOST_BITS


class _Grown:
    """Nodes depth first, without questions that no raw sample answers otherwise and those between equal leaves."""

    def __init__(self, ensemble: Ensemble, limit: NDArray[np.int32], leaf: NDArray[np.int16], highest: int) -> None:
        self._of, self._limit, self._leaf, self._highest = ensemble, limit, leaf, highest
        self.feature: list[int] = []
        self.limit: list[int] = []
        self.missing_right: list[bool] = []
        self.left: list[int] = []
        self.leaf: list[int] = []

    def grow(self, node: int) -> int:
        """Append what lies under ``node``; how many inner nodes that is."""
        left, right = int(self._of.left[node]), int(self._of.right[node])
        if left < 0:
            self.leaf.append(int(self._leaf[node]))
            return 0
        limit, missing_left = int(self._limit[node]), bool(self._of.missing_left[node])
        if limit == self._highest and missing_left:
            return self.grow(left)
        if limit < -self._highest and not missing_left:
            return self.grow(right)
        at = len(self.feature)
        for table, value in ((self.feature, int(self._of.feature[node])), (self.limit, limit), (self.left, 0)):
            table.append(value)
        self.missing_right.append(not missing_left)
        self.left[at] = below = self.grow(left)
        beyond = self.grow(right)
        if not below and not beyond and self.leaf[-1] == self.leaf[-2]:
            for column in (self.feature, self.limit, self.left, self.missing_right, self.leaf):
                column.pop()
            return 0
        return 1 + below + beyond
