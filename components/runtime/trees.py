"""Boosted trees in integers: from window features to the logits of a task, and the raw score of a tree artefact.

The score is the logarithm of the odds that a window is of any class but the first, which is the normal one: the same
order as the surprise of the normal class, without losing what lies close to certainty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from components.runtime.gauge import Gauge
from components.runtime.surprise import Calibrated, Outputs, Verdict, log2_q8
from components.runtime.window_features import window_features

LEAF_BITS = 10
"""Leaves and logits are in 2^-10 bits: base-2 logarithms of odds."""
NUMBER_BITS = 13
"""A number, from -1 to 1 over its range, is in 2^-13."""
EXP2_TABLE = tuple(round(2**15 * 2 ** (-i / 256)) for i in range(256))
"""2^15 * 2^(-i/256): the terms of the sum over classes."""
ALWAYS_LEFT = 32_767
"""Threshold that no feature reaches."""

_CHUNK = 4096


@dataclass(frozen=True)
class Trees:
    """The trees of one task, all padded to one depth d, nodes in the order of a heap: below node i lie 2i+1 and 2i+2.

    ``feature``: (trees, 2^d - 1) int16, column of the window features. ``threshold``: the same shape, int16; a window goes
    right where its feature is at least that. ``leaf``: (trees, 2^d) int16. ``target``: (trees,) int16, the class that the
    tree speaks for. ``bias``: (classes,) int32. The logit of a class is its bias plus the leaves of its trees.

    Of a regression there is one such sum, which is its number.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.int16]
    leaf: NDArray[np.int16]
    target: NDArray[np.int16]
    bias: NDArray[np.int32]

    def output(self, task: str) -> str:
        """Name of what they put out, as of a network."""
        return f"{'logits' if len(self.bias) > 1 else 'number'}.{task}"

    @property
    def depth(self) -> int:
        return self.leaf.shape[1].bit_length() - 1

    def logits(self, features: NDArray[np.int16]) -> NDArray[np.int32]:
        """(windows, features) int16 -> (windows, classes) int32."""
        parts = [self._logits(features[i : i + _CHUNK]) for i in range(0, max(len(features), 1), _CHUNK)]
        return np.concatenate(parts)

    def _logits(self, features: NDArray[np.int16]) -> NDArray[np.int32]:
        trees = np.arange(len(self.leaf))
        node = np.zeros((len(features), len(trees)), np.int64)
        rows = np.arange(len(features))[:, None]
        for _ in range(self.depth):
            node = 2 * node + 1 + (features[rows, self.feature[trees, node]] >= self.threshold[trees, node])
        leaves = self.leaf[trees, node - self.feature.shape[1]].astype(np.int32)
        return leaves @ (self.target[:, None] == np.arange(len(self.bias))).astype(np.int32) + self.bias


@dataclass(frozen=True, kw_only=True)
class TreeScoring(Calibrated):
    """``task``: whose first class is the normal one, '' where none has classes. ``tasks``: those that a class is decided of."""

    kind: ClassVar[str] = "gradient_boosting"
    task: str
    tasks: tuple[str, ...]

    def raw_score(self, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.int64]:
        return raw_score(self.task, outputs, len(codes))

    def verdict(self, codes: NDArray[np.int8], outputs: Outputs) -> Verdict:
        whole = super().verdict(codes, outputs)
        return replace(whole, classes={task: whole.classes[task] for task in self.tasks})


def tree_outputs(trees: Mapping[str, Trees], codes: NDArray[np.int8]) -> Outputs:
    """Task -> its trees, and (windows, steps, channels) int8 codes -> what the trees put out."""
    features = window_features(codes)
    return Outputs.of_trees({one.output(task): one.logits(features) for task, one in trees.items()})


def raw_score(task: str, outputs: Outputs, windows: int) -> NDArray[np.int64]:
    """(windows,) 256*log2 of the odds against the first class of ``task``; 0 where that is ''."""
    return log_odds(outputs.logits[task].astype(np.int64)) if task else np.zeros(windows, np.int64)


def gauge_of(span: tuple[float, float]) -> Gauge:
    """How the trees' number becomes a value over the range ``span``."""
    return Gauge.over(span, 2.0**-NUMBER_BITS, 0)


def log_odds(logits: NDArray[np.int64]) -> NDArray[np.int64]:
    """(windows, classes) -> (windows,) 256*log2 of the odds against class 0."""
    away = logits[:, 1:] - logits[:, :1]
    most = away.max(axis=1)
    below = most[:, None] - away
    terms = np.asarray(EXP2_TABLE, np.int64)[(below >> (LEAF_BITS - 8)) & 255] >> np.minimum(below >> LEAF_BITS, 31)
    return np.asarray((most >> (LEAF_BITS - 8)) + log2_q8(terms.sum(axis=1)) - 15 * 256)
