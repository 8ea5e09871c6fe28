"""The wide part of a task, fitted in closed form: a linear discriminant with a shrunk covariance.

Windows of a class are taken to lie about its mean as those of every other class do about theirs (Fisher, Annals of Eugenics 7,
1936). With few labels there are more features than windows, so the pooled covariance within classes is drawn towards a multiple
of the unit matrix by as much as its own scatter asks for (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004).

What a unit is, windows without labels say: a machine is in the state that it was in a window ago, most of the time, so how far
a feature moves from one window to the next is what it moves for no reason. Measured by that, a feature which is quiet but for
changes of state is large (on a hydraulic rig 6 to 17 points of macro-F1 for its accumulator, after 20 to 100 labels, against
features with a variance of 1). Changes themselves are among the outermost twentieths, which count as much as what is next to
them (winsorised deviation: Tukey, Annals of Mathematical Statistics 33, 1962).

Labels count as they are decided: under probabilities, which overstate what is rare, the means of classes run into each other
(2 points of macro-F1 on simulated pumps).

Such a rule is too sure of itself. Its logits are scaled by the one factor that makes them likeliest on windows which were left
out of the fit (temperature: Guo et al., ICML 2017); the windows of a fold stand together in time, on few devices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.runtime.wide import BITS, CAP, NEVER, Wide, wide_features
from components.values import LabelSet

FOLDS = 5
_BLOCKS = 4  # of neighbouring windows that each fold is made of
_LEAST_SHRINKAGE = 1e-3
_LEAST_UNREST = 0.05  # between neighbours, of the deviation over all windows: a feature that hardly moves is rounded
_TAIL = 5.0  # percent of the differences on either side
_MAX_FIT = 25_000
_FACTORS = np.geomspace(1 / 256, 1, 33)
_LIMIT = 32_767
_MOST_SHIFT = 24

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Discriminant:
    """``weight``: (classes, channels, features), ``mean``: (channels, features) about which it turns, ``bias``: (classes,);
    -inf for a class without an example. ``logits = bias + sum of weight * (features - mean)``.
    """

    weight: Floats
    mean: Floats
    bias: Floats

    def per(self, unit: Floats) -> Discriminant:
        """The same for features that are not in (channels, features) ``unit`` yet; one without a unit says nothing."""
        weight = np.divide(self.weight, unit, out=np.zeros_like(self.weight), where=unit > 0)
        return Discriminant(weight, self.mean * unit, self.bias)


def fit_wide(codes: NDArray[np.int8], label: LabelSet, rows: NDArray[np.int64]) -> Wide | None:
    """The wide part learned from the labelled ones of ``rows``, in the order of devices and time; None of one class alone."""
    taught = _thinned(rows[label.decided[rows] >= 0])
    classes, k = label.decided[taught], len(label.classes)
    if len(np.unique(classes)) < 2:
        return None
    unit = unrest(*_seen(codes, _in_pairs(rows)))
    features, heard = _seen(codes, taught)
    features = np.divide(features, unit, out=np.zeros_like(features), where=unit > 0)
    found = discriminant(features, heard, classes, k)
    return in_integers(found.per(unit), sharpness(features, heard, classes, k))


def unrest(features: Floats, heard: NDArray[np.bool_]) -> Floats:
    """How far each feature moves for no reason: (channels, features), 0 for one that never moves.

    ``features``: (windows, channels, features), windows 0 and 1, 2 and 3, ... follow each other; ``heard``: (windows, channels).
    """
    found = np.zeros(features.shape[1:])
    for channel, there in enumerate(heard.T):
        both = there[::2] & there[1::2]
        if both.any():
            pairs = features[:, channel].reshape(len(both), 2, -1)[both]
            moved = pairs[:, 1] - pairs[:, 0]
            inner = np.clip(moved, *np.percentile(moved, [_TAIL, 100 - _TAIL], axis=0))
            found[channel] = np.maximum(np.sqrt((inner**2).mean(axis=0) / 2), _LEAST_UNREST * pairs.std(axis=(0, 1)))
    return found


def discriminant(features: Floats, heard: NDArray[np.bool_], classes: NDArray[np.int8], k: int) -> Discriminant:
    """(windows, channels, features) in units of like size, (windows, channels) whether the channel has a sample, (windows,)
    class of ``k``.

    A channel without a sample stands at the mean of the others.
    """
    from sklearn.covariance import ledoit_wolf

    shape, mean = features.shape[1:], _mean(features, heard)
    x = np.where(heard[:, :, None], features - mean, 0).reshape(len(features), -1)
    count = np.bincount(classes, minlength=k)
    centre = (classes[:, None] == np.arange(k)).T.astype(np.float64) @ x / np.maximum(count, 1)[:, None]
    within = x - centre[classes]
    used = x.std(axis=0) > 0
    covariance, shrunk = ledoit_wolf(within[:, used], assume_centered=True)
    more = max(_LEAST_SHRINKAGE - shrunk, 0.0)
    covariance = (1 - more) * covariance + more * np.eye(int(used.sum()))
    standing = centre[:, used]
    slope = np.linalg.solve(covariance, standing.T).T
    with np.errstate(divide="ignore"):
        bias = np.log(count / count.sum()) - (slope * standing).sum(axis=1) / 2
    weight = np.zeros((k, x.shape[1]))
    weight[:, used] = slope
    weight -= weight[count > 0].mean(axis=0)  # what all classes share decides nothing, and takes up bits
    weight[count == 0] = 0
    return Discriminant(weight.reshape(k, *shape), mean, bias)


def sharpness(features: Floats, heard: NDArray[np.bool_], classes: NDArray[np.int8], k: int) -> float:
    """The factor of the logits, at most 1, under which windows that were left out are likeliest to be what they are."""
    logits = left_out(features, heard, classes, k)
    known = np.isfinite(logits[np.arange(len(classes)), classes])
    if not known.any():
        return float(_FACTORS[0])
    logits, classes = logits[known], classes[known]
    return float(min(_FACTORS, key=lambda factor: _surprise(logits * factor, classes)))


def left_out(features: Floats, heard: NDArray[np.bool_], classes: NDArray[np.int8], k: int) -> Floats:
    """(windows, classes) logits of each window by the windows of the other folds; -inf for a class that these lack."""
    fold = np.arange(len(classes)) * (FOLDS * _BLOCKS) // len(classes) % FOLDS
    logits = np.full((len(classes), k), -np.inf)
    for one in np.unique(fold):
        out = fold == one
        if len(np.unique(classes[~out])) > 1:
            logits[out] = logits_of(discriminant(features[~out], heard[~out], classes[~out], k), features[out], heard[out])
    return logits


def logits_of(found: Discriminant, features: Floats, heard: NDArray[np.bool_]) -> Floats:
    """(windows, classes) in nats, up to what all classes of a window share."""
    x = np.where(heard[:, :, None], features - found.mean, 0).reshape(len(features), -1)
    return np.asarray(x @ found.weight.reshape(len(found.bias), -1).T + found.bias)


def in_integers(found: Discriminant, factor: float) -> Wide:
    """``found`` with its logits times ``factor``."""
    weight, bias = found.weight * factor, np.where(np.isfinite(found.bias), found.bias, 0) * factor
    most = max(float(np.abs(weight).max()), 1e-9)
    shift = int(np.clip(np.floor(np.log2(_LIMIT / most)) - BITS, 0, _MOST_SHIFT))
    whole = np.clip(np.rint(weight * 2.0 ** (BITS + shift)), -_LIMIT, _LIMIT)
    base = -np.rint((whole * found.mean).sum(axis=2).T / 2.0**shift)
    start = np.where(np.isfinite(found.bias), np.rint(bias * 2.0**BITS), NEVER)
    return Wide(whole.astype(np.int16), base.astype(np.int32), np.clip(start, NEVER, -NEVER).astype(np.int32), shift)


def _surprise(logits: Floats, classes: NDArray[np.int8]) -> float:
    """Mean negative log-likelihood of (windows,) ``classes`` in nats, under the cap that devices have."""
    capped = np.maximum(logits - logits.max(axis=1, keepdims=True), -CAP / float(1 << BITS))
    return float(np.mean(np.log(np.exp(capped).sum(axis=1)) - capped[np.arange(len(classes)), classes]))


def _mean(features: Floats, heard: NDArray[np.bool_]) -> Floats:
    there = heard[:, :, None]
    return np.asarray(np.where(there, features, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1))


def _seen(codes: NDArray[np.int8], rows: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    """(windows, channels, features) and (windows, channels), whether the channel has a sample."""
    some = np.asarray(codes[rows])
    return wide_features(some).astype(np.float64), (some != MISSING_CODE).any(axis=1)


def _in_pairs(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row and the one after it, evenly spaced where there are many; those of two devices are too few to count."""
    first = _thinned(np.arange(len(rows) - 1))
    return rows[np.stack([first, first + 1], axis=1).ravel()]


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows if len(rows) <= _MAX_FIT else rows[np.linspace(0, len(rows) - 1, _MAX_FIT).astype(int)]
