r"""Evidence that may be looked at after every report: e-values for failure rates and for comparisons with a control group.

An e-value is a bet against a hypothesis H0. If H0 holds, wealth E is a supermartingale with mean at most 1, so the
probability that it *ever* reaches 1/alpha is at most alpha (Ville 1939; Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic
statistics and safe anytime-valid inference", Statistical Science 2023). Peeking as often as one likes costs nothing.

For a share p of failures and one alternative q, after f failures among n devices (Wald 1945, the likelihood ratio)

    E_q = (q / p0)^f * ((1 - q) / (1 - p0))^(n - f)

is a martingale at p = p0 and, for q > p0, a supermartingale at every p below it. A mean over alternatives is one
again (Robbins 1970). The mean is finite and taken in logarithms: a continuous mixture underflows at large n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_WORSE = np.array([2.0, 4.0, 6.0, 10.0, 20.0])
_STAKES = np.array([2.0, 6.0, 6.0, 3.0, 2.0, 1.0])
"""Alternatives of the halting bet, as multiples of the accepted rate, and the share of the stake on each; the last is on
"almost all fail". Most lies where a canary of a hundred decides: what fails less often needs a larger one anyway.
"""
_BETTER = np.array([0.0, 0.02, 0.1, 0.25, 0.5])
"""Alternatives of the promoting bet, as multiples of the intolerable rate."""
_ALMOST_ALL = 0.95
_ODDS = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0])
_WINS = np.array([0.55, 0.6, 0.7, 0.8, 0.9, 0.99])


def worse_than(n: ArrayLike, failures: ArrayLike, accepted: float) -> NDArray[np.float64]:
    """Log E against "at most the share ``accepted`` fails"; ``n`` and ``failures`` broadcast.

    Failures that are not known yet count as successes, which only lowers it: the bound holds however late reports are.
    """
    near = accepted * _WORSE < _ALMOST_ALL
    alternatives = np.append(accepted * _WORSE[near], max(_ALMOST_ALL, (1 + accepted) / 2))
    return _log_mean(n, failures, accepted, alternatives, _STAKES[np.append(near, True)])


def better_than(n: ArrayLike, failures: ArrayLike, intolerable: float) -> NDArray[np.float64]:
    """Log E against "at least the share ``intolerable`` fails". Successes that are not known yet count as failures."""
    return _log_mean(n, failures, intolerable, _BETTER * intolerable)


def needed(intolerable: float, alpha: float, failures: int = 0) -> int:
    """The least number of devices after which `better_than` can reach 1/alpha with so many failures."""
    enough = np.log(1 / alpha)
    high = 1
    while better_than(high, min(failures, high), intolerable) < enough or high < failures:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if middle >= failures and better_than(middle, failures, intolerable) >= enough:
            high = middle
        else:
            low = middle
    return high


def more_often(exposed_share: ArrayLike, is_exposed: ArrayLike) -> float:
    """Log E against "the new artefact fails no more often than the old one", whatever the old one's rate is.

    ``exposed_share``: (failures,) share of devices on the new artefact among all watched, when each failure happened;
    ``is_exposed``: (failures,) whether it was one of them. Under H0 a failure is one of them with at most that
    probability; the alternatives multiply the odds (Lindon, Sanden and Shirikian, KDD 2022, arXiv 2205.14762).
    """
    share = np.clip(np.asarray(exposed_share, np.float64), 1e-9, 1 - 1e-9)[:, None]
    hit = np.asarray(is_exposed, bool)[:, None]
    log_odds = np.log(_ODDS) * hit - np.log1p(share * (_ODDS - 1))
    return float(_log_sum_exp(log_odds.sum(0))) - float(np.log(len(_ODDS)))


def above(wins: ArrayLike, pairs: ArrayLike) -> NDArray[np.float64]:
    """Log E against "a reading of the new artefact is above the old one's at most every second time".

    ``wins`` of ``pairs`` matched before their values were known, ties left out: the sequential sign test.
    """
    return _log_mean(pairs, wins, 0.5, _WINS)


def _log_mean(
    n: ArrayLike, hits: ArrayLike, null: float, alternatives: NDArray[np.float64], stakes: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """``stakes``: (alternatives,) weights of the mean; equal where there are none."""
    weights = np.ones(len(alternatives)) if stakes is None else stakes
    total = np.asarray(n, np.float64)[..., None]
    hit = np.asarray(hits, np.float64)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        for_hits = np.where(hit > 0, hit * np.log(alternatives / null), 0.0)
        for_misses = (total - hit) * np.log((1 - alternatives) / (1 - null))
    return np.asarray(_log_sum_exp(for_hits + for_misses + np.log(weights / weights.sum())))


def _log_sum_exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    top = values.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(top[..., 0] + np.log(np.exp(values - top).sum(-1)))
