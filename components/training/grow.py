"""Grow the trees of one task with XGBoost, and write them in integers.

Thresholds become integers exactly, because features are integers; leaves are rounded to the fixed point of their logits or
number. Growing is noise-aware, as the baseline is: a window stands once a class, weighted by its probability; windows that
every labelling function abstains on teach nothing.
"""

from __future__ import annotations

import json
from math import ceil, e, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.trees import ALWAYS_LEFT, LEAF_BITS, NUMBER_BITS, Trees
from components.values import LabelSet, Targets
from components.workspace.settings import Settings

PATIENCE = 10
"""Rounds without a gain on the windows held back after which no tree is added."""
_MIN_PROBABILITY = 1e-3
_MAX_FIT = 100_000
_LEAF_LIMIT = 32_767

Rows = NDArray[np.int64]
Features = NDArray[np.int16]


def grow_classes(settings: Settings, features: Features, label: LabelSet, fit: Rows, held_back: Rows) -> Trees:
    """Trees from the windows ``fit``; none is added once the windows ``held_back``, where there are any, see no gain."""
    import xgboost as xgb

    k, rounds = len(label.classes), settings.model.trees.rounds
    objective: dict[str, Any] = {"objective": "multi:softprob", "num_class": k} if k > 2 else {"objective": "binary:logistic"}
    parameters = _parameters(settings) | objective | {"base_score": 0.5}
    held_back, stopping = held_back[label.covered[held_back]], {}
    if len(held_back):
        judged = [(_weighted(features, label, held_back), "held_back")]
        stopping = {"evals": judged, "early_stopping_rounds": PATIENCE, "verbose_eval": False}
    booster = xgb.train(parameters, _weighted(features, label, fit[label.covered[fit]]), rounds, **stopping)
    best = booster.best_iteration + 1 if stopping else rounds
    bias = np.zeros(k, np.int32)
    return integer_trees(booster[:best], settings.model.trees.depth, log2(e) * (1 << LEAF_BITS), bias)


def grow_numbers(settings: Settings, features: Features, target: Targets, fit: Rows) -> Trees:
    """Trees from the windows ``fit`` whose number is known, for the number over its range, from -1 to 1."""
    import xgboost as xgb

    rows = _thinned(fit[target.covered[fit]])
    low, high = target.range
    wanted = (target.values[rows] - low) * (2 / (high - low)) - 1
    mean = float(wanted.mean())
    parameters = _parameters(settings) | {"objective": "reg:squarederror", "base_score": 0.0}
    booster = xgb.train(parameters, xgb.DMatrix(features[rows], wanted - mean), settings.model.trees.rounds)
    one = 1 << NUMBER_BITS
    return integer_trees(booster, settings.model.trees.depth, one, np.asarray([round(mean * one)], np.int32))


def integer_trees(booster: Any, depth: int, one: float, bias: NDArray[np.int32]) -> Trees:
    """An ``xgboost.Booster`` grown on integer features, no tree deeper than ``depth``; a leaf of 1 becomes ``one``.

    XGBoost goes left where ``x < t``; for integers that is ``x < ceil(t)``. Where two classes share one tree a round, it
    speaks for the second.
    """
    grown = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    count, inner = len(grown["trees"]), (1 << depth) - 1
    feature, threshold = np.zeros((count, inner), np.int16), np.full((count, inner), ALWAYS_LEFT, np.int16)
    leaf = np.zeros((count, inner + 1), np.int16)
    for i, tree in enumerate(grown["trees"]):
        _fill(tree, one, feature[i], threshold[i], leaf[i])
    target = np.asarray(grown["tree_info"], np.int16) + (len(bias) == 2)
    return Trees(feature, threshold, leaf, target.astype(np.int16), bias)


def _fill(
    tree: dict[str, Any], one: float, feature: NDArray[np.int16], threshold: NDArray[np.int16], leaf: NDArray[np.int16]
) -> None:
    """One tree into its heap; a leaf above the last level stands at all places below it."""
    inner = len(feature)
    waiting = [(0, 0)]  # node of XGBoost, place in the heap
    while waiting:
        node, place = waiting.pop()
        left, value = tree["left_children"][node], tree["split_conditions"][node]
        if left < 0:
            leaf[_below(place, inner)] = int(np.clip(round(value * one), -_LEAF_LIMIT, _LEAF_LIMIT))
            continue
        feature[place] = tree["split_indices"][node]
        threshold[place] = min(max(ceil(value), -_LEAF_LIMIT), ALWAYS_LEFT)
        waiting += [(left, 2 * place + 1), (tree["right_children"][node], 2 * place + 2)]


def _below(place: int, inner: int) -> slice:
    """The leaves under a place in the heap."""
    first = last = place
    while first < inner:
        first, last = 2 * first + 1, 2 * last + 2
    return slice(first - inner, last - inner + 1)


def _parameters(settings: Settings) -> dict[str, Any]:
    wanted = settings.model.trees
    return {
        "max_depth": wanted.depth,
        "eta": wanted.learning_rate,
        "tree_method": "hist",
        "seed": settings.seed,
        "nthread": settings.model.threads,
        "verbosity": 0,
    }


def _weighted(features: Features, label: LabelSet, rows: Rows) -> Any:
    """Each of ``rows`` once a class, weighted by its probability."""
    import xgboost as xgb

    rows = _thinned(rows)
    weights = label.probabilities[rows].T.ravel()
    kept = np.flatnonzero(weights > _MIN_PROBABILITY)
    classes = np.repeat(np.arange(len(label.classes)), len(rows))[kept]
    return xgb.DMatrix(features[rows[kept % len(rows)]], classes, weight=weights[kept])


def _thinned(rows: Rows) -> Rows:
    return rows if len(rows) <= _MAX_FIT else rows[np.linspace(0, len(rows) - 1, _MAX_FIT).astype(int)]
