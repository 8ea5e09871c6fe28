"""XGBoost models of a few rounds, trained on the spot, and trees that no training made."""

from __future__ import annotations

import json

import numpy as np
import xgboost as xgb

from components.runtime.ensemble import Ensemble, IntegerTrees

FEATURES = 6
OBJECTIVES = {
    "softprob": {"objective": "multi:softprob", "num_class": 3},
    "forest a round": {"objective": "multi:softmax", "num_class": 3, "num_parallel_tree": 2, "subsample": 0.5},
    "logistic": {"objective": "binary:logistic"},
    "dropout": {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.4},
    "hinge": {"objective": "binary:hinge"},
    "squared error": {"objective": "reg:squarederror", "base_score": -3.5},
    "absolute error": {"objective": "reg:absoluteerror"},
    "quantiles": {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]},
}


def data(missing: float = 0.0, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers with two decimals, and classes 0 to 2."""
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(0, 2, (rows, FEATURES)), 2).astype(np.float32)
    y = np.digitize(x[:, 0] + x[:, 1] * x[:, 2] / 2, [-1.0, 1.0])
    x[rng.random(x.shape) < missing] = np.nan
    return x, y


def booster(kind: str, missing: float = 0.0, rounds: int = 6, depth: int = 4) -> xgb.Booster:
    settings = OBJECTIVES[kind] | {"max_depth": depth, "nthread": 1, "seed": 1}
    x, y = data(missing)
    if "num_class" not in settings:
        y = y > 0
    return xgb.train(settings, xgb.DMatrix(x, y.astype(np.float32)), rounds)


def document(kind: str = "softprob", missing: float = 0.0, rounds: int = 2, depth: int = 3) -> dict:
    return json.loads(booster(kind, missing, rounds, depth).save_raw("json"))


def margins(model: xgb.Booster, x: np.ndarray) -> np.ndarray:
    return model.predict(xgb.DMatrix(x), output_margin=True).reshape(len(x), -1)


def integer(
    seed: int,
    features: int,
    trees: int,
    nodes: int,
    *,
    missing: str = "mixed",
    leaves: int = 30_000,
    bits: int = 16,
    limit_count: int = 40,
    uneven: bool = False,
) -> IntegerTrees:
    """Random trees: ``nodes`` questions each at most, limits at the ends of the range among them.

    ``uneven``: many questions are of feature 0, and of the others each has one limit.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, nodes + 1, trees)
    left = np.concatenate([_shape(rng, int(n)) for n in sizes] or [[]]).astype(np.int32)
    count = max(1, len(left))
    top = (1 << (bits - 1)) - 1
    limit = rng.choice([*rng.integers(-top - 1, top + 1, limit_count), -top, 0, top - 1], count)
    feature = rng.integers(0, features, count)
    if uneven:
        feature[::4] = 0
        limit = np.where(feature == 0, limit, feature)
    ways = {"mixed": rng.random(count) < 0.5, "left": np.zeros(count, bool), "right": np.ones(count, bool)}
    return IntegerTrees(
        kind="multiclass",
        features=features,
        feature=feature.astype(np.int32),
        limit=np.where(ways[missing], np.maximum(limit, -top), limit).astype(np.int32),
        missing_right=ways[missing],
        left=left if len(left) else np.zeros(1, np.int32),
        leaf=rng.integers(-leaves, leaves, len(left) + trees).astype(np.int16),
        size=sizes.astype(np.int32),
        trees=np.asarray([trees - trees // 2, trees // 2], np.int32),
        bias=rng.integers(-(2**20), 2**20, 2).astype(np.int32),
        bits=10,
        sample_bits=bits,
    )


def ensemble(thresholds: list[float], *, missing_left: bool = True) -> Ensemble:
    """A chain over one feature: each question that says right asks the next."""
    count = len(thresholds)
    asks = np.arange(count)
    nodes = 2 * count + 1
    left = np.concatenate([count + asks, np.full(count + 1, -1)])
    right = np.concatenate([np.append(asks[1:], nodes - 1), np.full(count + 1, -1)])
    return Ensemble(
        kind="regression",
        objective="reg:squarederror",
        features=1,
        feature=np.zeros(nodes, np.int32),
        threshold=np.append(np.asarray(thresholds, np.float32), np.zeros(count + 1, np.float32)),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=np.full(nodes, missing_left),
        leaf=np.append(np.zeros(count), np.arange(count + 1)).astype(np.float32),
        roots=np.zeros(1, np.int32),
        target=np.zeros(1, np.int32),
        bias=np.zeros(1),
        depth=count,
    )


def _shape(rng: np.random.Generator, nodes: int) -> list[int]:
    """Inner nodes below the left child of each, depth first."""
    if not nodes:
        return []
    below = int(rng.integers(0, nodes))
    return [below, *_shape(rng, below), *_shape(rng, nodes - 1 - below)]
