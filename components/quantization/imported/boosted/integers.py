"""Float trees become integer ones: the same decision for every raw sample, leaves in the finest power of two that fits."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from components.runtime.ensemble import Ensemble, IntegerTrees, physical
from components.runtime.scaling import Converter
from components.workspace.errors import InputError

_LOWEST, _HIGHEST = -32_767, 32_767
_MOST_BITS = 30
_SAMPLES = np.arange(_LOWEST, _HIGHEST + 1).astype(np.int16)


def integer_trees(ensemble: Ensemble, converter: Converter, *, exact: bool) -> IntegerTrees:
    """``exact``: see `limits`.

    Raises:
        InputError: the leaves span more than 32 bits.
    """
    limit, bits = limits(ensemble, converter, exact=exact), _bits(ensemble)
    leaf = np.rint(np.ldexp(ensemble.leaf.astype(np.float64), bits)).astype(np.int16)
    order = np.argsort(ensemble.target, kind="stable")
    grown = _Grown(ensemble, limit, leaf)
    sizes = [grown.grow(int(ensemble.roots[tree])) for tree in order]
    return IntegerTrees(
        kind=ensemble.kind,
        features=ensemble.features,
        feature=np.asarray(grown.feature or [0], np.int32),
        limit=np.asarray(grown.limit or [0], np.int16),
        missing_right=np.asarray(grown.missing_right or [False], bool),
        left=np.asarray(grown.left or [0], np.int32),
        leaf=np.asarray(grown.leaf, np.int16),
        size=np.asarray(sizes, np.int32),
        trees=np.bincount(ensemble.target, minlength=len(ensemble.bias)).astype(np.int32),
        bias=np.rint(np.ldexp(ensemble.bias, bits)).astype(np.int32),
        bits=bits,
    )


def limits(ensemble: Ensemble, converter: Converter, *, exact: bool) -> NDArray[np.int16]:
    """(nodes,) the greatest raw sample that goes left; -32,768 where none does.

    ``exact``: samples come from the device's own converter, and each stands for one number: counted over all 65,535 of them as
    the trained model reads them, in float32. Else numbers are rounded to samples, and thresholds as they are: XGBoost takes
    thresholds from the numbers it was trained on, and what is equal to one goes right.
    """
    found = np.zeros(len(ensemble.left), np.int16)
    for feature in np.unique(ensemble.feature[ensemble.inner]):
        asks = ensemble.inner & (ensemble.feature == feature)
        own = Converter((converter.lsb[feature],), (converter.offset[feature],))
        if exact:
            values = physical(own, _SAMPLES[:, None])[:, 0]
            found[asks] = np.searchsorted(values, ensemble.threshold[asks], side="left") + _LOWEST - 1
        else:
            found[asks] = own.raw(ensemble.threshold[asks][:, None])[:, 0] - 1
    return found


def _bits(ensemble: Ensemble) -> int:
    """The most fractional bits with which every leaf fits 16 bits, and every sum 32."""
    leaf = np.abs(ensemble.leaf.astype(np.float64))
    ends = np.append(ensemble.roots, len(leaf))
    largest = [leaf[a:b].max() for a, b in pairwise(ends)]
    sums = np.abs(ensemble.bias) + np.bincount(ensemble.target, largest, minlength=len(ensemble.bias))
    room = [_room(_HIGHEST, leaf.max()), _room(2**31 - 1 - len(largest), sums.max())]
    bits = min(*room, _MOST_BITS)
    if leaf.max() > 0 and math.ldexp(float(leaf.max()), bits) < 1:
        raise InputError("the leaves vanish beside base_score", hint="train with a smaller base_score")
    return bits


def _room(most: int, value: float) -> int:
    return math.floor(math.log2(most / value)) if value > 0 else _MOST_BITS


class _Grown:
    """Nodes depth first, without questions that no raw sample answers otherwise and those between equal leaves."""

    def __init__(self, ensemble: Ensemble, limit: NDArray[np.int16], leaf: NDArray[np.int16]) -> None:
        self._of, self._limit, self._leaf = ensemble, limit, leaf
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
        if limit == _HIGHEST and missing_left:
            return self.grow(left)
        if limit < _LOWEST and not missing_left:
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
