"""What people use today, behind one interface: fit on windows, get back a function that scores others.

Detectors learn from unlabelled windows and rate them; all see the int8 codes that the device's network sees, with 0
for missing samples. `DETECTORS` has those that can be fitted beside a training; `conv_autoencoder` stands apart, because it is
one itself. Gradient boosting learns from labels and reads window statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.values import LabelSet, Targets

if TYPE_CHECKING:
    import pandas as pd

Codes = NDArray[np.int8]
Rows = NDArray[np.int64]
Scorer = Callable[[Codes], NDArray[np.float64]]
"""(windows, steps, channels) codes -> (windows,) scores, higher is more anomalous."""
Fit = Callable[[Codes, Rows, int], Scorer]
"""(codes, rows to fit on, seed) -> scorer."""

EXPLAINED = 0.9
"""Share of the variance that principal components keep."""
CLUSTERS = 20
"""Centres of k-means, as in KMeansAD of TSB-AD."""
TREES = 100
_MAX_FIT = 20_000
_MAX_POINTS = 200_000
_MAX_DIMENSIONS = 2000
_CHUNK = 4096
_AUTOENCODER_STEPS, _AUTOENCODER_BATCH = 400, 128


def chance(codes: Codes, rows: Rows, seed: int) -> Scorer:
    """Scores that know nothing: the floor that every metric is read against."""
    del codes, rows
    random = np.random.default_rng(seed)
    return lambda unseen: random.random(len(unseen))


def mean_z(codes: Codes, rows: Rows, seed: int) -> Scorer:
    """Mean distance from the device's own centre, in its own deviations: nothing is fitted."""
    del codes, rows, seed
    return lambda unseen: np.abs(_flat(unseen)).mean(axis=1, dtype=np.float64)


def pca(codes: Codes, rows: Rows, seed: int) -> Scorer:
    """Reconstruction error of single samples by principal components, averaged over the window."""
    del seed
    points = _flat(codes[_thinned(rows, _MAX_FIT)]).reshape(-1, codes.shape[2])
    error = _reconstruction(points[_thinned(np.arange(len(points)), _MAX_POINTS)])
    return lambda unseen: error(_flat(unseen).reshape(-1, codes.shape[2])).reshape(len(unseen), -1).mean(axis=1)


def sub_pca(codes: Codes, rows: Rows, seed: int) -> Scorer:
    """Reconstruction error of whole windows by principal components (Sub-PCA of TSB-AD)."""
    del seed
    error = _reconstruction(_flat(codes[_thinned(rows, _MAX_FIT)]))
    return lambda unseen: error(_flat(unseen))


def k_means(codes: Codes, rows: Rows, seed: int) -> Scorer:
    """Distance of a window to the nearest of `CLUSTERS` typical windows (KMeansAD of TSB-AD)."""
    from sklearn.cluster import MiniBatchKMeans

    flat = _flat(codes[_thinned(rows, _MAX_FIT)])
    centres = MiniBatchKMeans(min(CLUSTERS, len(flat)), random_state=seed, n_init=3, batch_size=1024).fit(flat)
    return lambda unseen: np.asarray(centres.transform(_flat(unseen)).min(axis=1), np.float64)


def isolation_forest(codes: Codes, rows: Rows, seed: int) -> Scorer:
    """How few random cuts set a window apart from the others (Liu et al., ICDM 2008)."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(_flat(codes[_thinned(rows, _MAX_FIT)]))
    return lambda unseen: -np.asarray(forest.score_samples(_flat(unseen)), np.float64)


def conv_autoencoder(codes: Codes, rows: Rows, seed: int) -> Scorer:
    """Reconstruction error of a small convolutional autoencoder, trained for `_AUTOENCODER_STEPS` batches."""
    import torch
    from torch import nn

    random = torch.Generator().manual_seed(seed)
    channels = codes.shape[2]
    with torch.random.fork_rng(devices=[]):  # weights are drawn from the global generator, which is put back
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv1d(channels, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(32, 8, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(8, 32, 5, padding=2),
            nn.ReLU(),
            nn.Upsample(size=codes.shape[1]),
            nn.Conv1d(32, channels, 5, padding=2),
        )
    rows, unit, threads = _thinned(rows, _MAX_FIT), np.float32(1 / 32), torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network gains nothing from more; waiting threads spin
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(_AUTOENCODER_STEPS):
        batch = rows[torch.randint(0, len(rows), (_AUTOENCODER_BATCH,), generator=random).numpy()]
        x = torch.from_numpy(_filled(codes[batch]).transpose(0, 2, 1) * unit)
        loss = ((network(x) - x) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_num_threads(threads)

    @torch.no_grad()
    def error(unseen: Codes) -> NDArray[np.float64]:
        x = torch.from_numpy(_filled(unseen).transpose(0, 2, 1) * unit)
        return ((network(x) - x) ** 2).mean(dim=(1, 2)).double().numpy()

    return _in_pieces(error)


DETECTORS: dict[str, Fit] = {
    "chance": chance,
    "mean_z": mean_z,
    "pca": pca,
    "sub_pca": sub_pca,
    "k_means": k_means,
    "isolation_forest": isolation_forest,
}
"""By the name that metrics carry; from the floor upwards."""


def gradient_boosting(
    statistics: pd.DataFrame, label: LabelSet, fit: Rows, seed: int, threads: int
) -> Callable[[pd.DataFrame], NDArray[np.float64]]:
    """Boosted trees on window statistics, noise-aware: each window once a class, weighted by its probability.

    Returns a function from the statistics of windows to their (windows, classes) probabilities.
    """
    from xgboost import XGBClassifier

    rows = _thinned(fit[label.covered[fit]], _MAX_FIT)
    features = statistics.to_numpy(np.float32)[rows]
    k = len(label.classes)
    weights = label.probabilities[rows].T.ravel()
    kept = weights > 1e-3
    x, y = np.tile(features, (k, 1))[kept], np.repeat(np.arange(k), len(rows))[kept]
    present = np.unique(y)
    if len(present) == 1:
        return lambda unseen: np.eye(k)[np.full(len(unseen), present[0])]
    trees = XGBClassifier(n_estimators=80, max_depth=5, learning_rate=0.15, tree_method="hist", n_jobs=threads, random_state=seed)
    trees.fit(x, np.searchsorted(present, y), sample_weight=weights[kept])

    def probabilities(unseen: pd.DataFrame) -> NDArray[np.float64]:
        found = np.zeros((len(unseen), k))
        found[:, present] = trees.predict_proba(unseen.to_numpy(np.float32))
        return found

    return probabilities


def boosted_numbers(
    statistics: pd.DataFrame, target: Targets, seed: int, threads: int
) -> Callable[[pd.DataFrame], NDArray[np.float64]]:
    """Boosted trees on window statistics that learn the declared numbers of one task.

    Returns a function from the statistics of windows to (windows,) values in the task's unit, inside its range.
    """
    from xgboost import XGBRegressor

    rows = _thinned(np.flatnonzero(target.covered), _MAX_FIT)
    trees = XGBRegressor(n_estimators=200, max_depth=5, learning_rate=0.08, tree_method="hist", n_jobs=threads, random_state=seed)
    trees.fit(statistics.to_numpy(np.float32)[rows], target.values[rows])
    return lambda unseen: np.clip(trees.predict(unseen.to_numpy(np.float32)).astype(np.float64), *target.range)


def _reconstruction(fit: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """(rows, dimensions) to fit on -> mean squared error of rows that principal components of `EXPLAINED` leave."""
    mean = fit.mean(axis=0)
    values, vectors = _components(fit - mean)
    kept = np.searchsorted(np.cumsum(values[::-1]) / max(values.sum(), 1e-12), EXPLAINED) + 1
    basis = vectors[:, ::-1][:, :kept]

    def error(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        centred = rows - mean
        return np.asarray(((centred - centred @ basis @ basis.T) ** 2).mean(axis=1), np.float64)

    return error


def _components(centred: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Eigenvalues, rising, and eigenvectors of the covariance of (rows, dimensions).

    In many dimensions those of the matrix of products between rows instead: the same where they are not 0.
    """
    if centred.shape[1] <= _MAX_DIMENSIONS:
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(centred.T)))
        return values, vectors
    rows = centred[_thinned(np.arange(len(centred)), _MAX_DIMENSIONS)]
    values, left = np.linalg.eigh(rows @ rows.T / max(len(rows) - 1, 1))
    some = values > values[-1] * 1e-6
    return values[some], rows.T @ left[:, some] / np.sqrt(values[some] * max(len(rows) - 1, 1))


def _in_pieces(score: Scorer) -> Scorer:
    """The same scores with no more than `_CHUNK` windows in memory at a time."""
    return lambda codes: np.concatenate([score(codes[i : i + _CHUNK]) for i in range(0, max(len(codes), 1), _CHUNK)])


def _thinned(rows: NDArray[Any], most: int) -> Rows:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _filled(codes: Codes) -> NDArray[np.float32]:
    return np.where(codes == MISSING_CODE, 0, codes).astype(np.float32)


def _flat(codes: Codes) -> NDArray[np.float32]:
    return _filled(codes).reshape(len(codes), -1)
