"""What people use today, through the same evaluation: Sub-PCA, gradient boosting on window statistics, chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.values import LabelSet

if TYPE_CHECKING:
    import pandas as pd

EXPLAINED = 0.9
"""Share of the variance that Sub-PCA's components keep."""
_MAX_FIT = 20_000


def sub_pca(codes: NDArray[np.int8], fit: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[np.float64]:
    """Reconstruction error of whole windows by principal components (Sub-PCA of TSB-AD) -> (test,) scores."""
    flat = _flat(codes[_thinned(fit)])
    mean = flat.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((flat - mean).T))
    kept = np.searchsorted(np.cumsum(values[::-1]) / max(values.sum(), 1e-12), EXPLAINED) + 1
    basis = vectors[:, ::-1][:, :kept]
    centred = _flat(codes[test]) - mean
    return np.asarray(((centred - centred @ basis @ basis.T) ** 2).mean(axis=1), np.float64)


def gradient_boosting(
    statistics: pd.DataFrame, label: LabelSet, fit: NDArray[np.int64], test: NDArray[np.int64], seed: int, threads: int
) -> NDArray[np.float64]:
    """Boosted trees on window statistics, noise-aware: each window once a class, weighted by its probability.

    Returns (test, classes) probabilities.
    """
    from xgboost import XGBClassifier

    rows = _thinned(fit[label.covered[fit]])
    features = statistics.to_numpy(np.float32)
    k = len(label.classes)
    weights = label.probabilities[rows].T.ravel()
    kept = weights > 1e-3
    x, y = np.tile(features[rows], (k, 1))[kept], np.repeat(np.arange(k), len(rows))[kept]
    present = np.unique(y)
    if len(present) == 1:
        return np.eye(k)[np.full(len(test), present[0])]
    trees = XGBClassifier(n_estimators=80, max_depth=5, learning_rate=0.15, tree_method="hist", n_jobs=threads, random_state=seed)
    trees.fit(x, np.searchsorted(present, y), sample_weight=weights[kept])
    probabilities = np.zeros((len(test), k))
    probabilities[:, present] = trees.predict_proba(features[test])
    return probabilities


def chance(count: int, seed: int) -> NDArray[np.float64]:
    """(count,) scores that know nothing: the floor that every metric is read against."""
    return np.random.default_rng(seed).random(count)


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows if len(rows) <= _MAX_FIT else rows[np.linspace(0, len(rows) - 1, _MAX_FIT).astype(int)]


def _flat(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    return np.where(codes == MISSING_CODE, 0, codes).astype(np.float32).reshape(len(codes), -1)
