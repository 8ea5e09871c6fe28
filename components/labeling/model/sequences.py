"""Time: the states of a machine outlast a window, so neighbours say something about each other.

A hidden Markov model over the consecutive windows of each device (Rabiner, Proc. IEEE 77, 1989): with probability
``stay`` a window has its predecessor's class, else a class drawn anew by the class shares. So the shares hold at every
time whatever ``stay`` is, a rare class has short spells without being told, and a pass costs a few operations a window.
``stay`` is learned by expectation maximisation; the rates of the functions are not learned again, because rules err
in spells too and a chain that may reinterpret them takes their spells for the machine's.

For the same reason a window's log-evidence counts for `TEMPER` only: errors that last are the same error again. And
because the chain still is too sure, the result is the mean of the chain's probabilities and of a moving mean of the
windows' own over `SPAN` windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TEMPER = 0.1
SPAN = 7
ROUNDS = 12
_FIRST_STAY = 0.9
_STAY_PRIOR = (10.0, 1.0)  # pseudo-counts of staying and of a fresh draw
_FIT_WINDOWS = 1 << 18
_BATCH = 1 << 21  # windows, padding included, in memory at once
_FORGOTTEN = 1e-6  # what is left of the past when a part of a very long sequence begins
_LONGEST = 4096

Probabilities = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class _Batch:
    """Parts of sequences side by side. ``rows``: (time, parts) positions in the whole, -1 for padding; ``kept``: (time, parts)
    whether this part answers for the window, or only warms up on it.
    """

    rows: NDArray[np.int64]
    kept: NDArray[np.bool_]


def fit_stay(evidence: NDArray[np.floating], shares: NDArray[np.float64], sequences: Ids) -> float:
    """The probability of staying, from log-evidence (windows, classes); 0.9 when there is nothing to learn from."""
    stay = _FIRST_STAY
    batches = list(_batches(sequences, stay))
    for _ in range(ROUNDS):
        stayed, all_steps = _STAY_PRIOR[0], sum(_STAY_PRIOR)
        for batch in batches:
            one, of = _stayed(_likelihood(evidence, batch), batch, shares, stay)
            stayed, all_steps = stayed + one, all_steps + of
        stay = stayed / all_steps
    return float(stay)


def smoothed(
    evidence: NDArray[np.floating], own: Probabilities, shares: NDArray[np.float64], stay: float, sequences: Ids
) -> Probabilities:
    """(windows, classes) probabilities of the windows in their sequence.

    ``evidence``: (windows, classes) log-evidence. ``own``: (windows, classes) probabilities of each window by itself.
    ``sequences``: (windows,) ids, equal neighbours follow each other in time.
    """
    result = _moving_mean(own, sequences)
    for batch in _batches(sequences, stay):
        said = forward_backward(_likelihood(evidence, batch), shares, stay)
        rows = batch.rows[batch.kept]
        result[rows] = (result[rows] + said.transpose(0, 2, 1)[batch.kept]) / 2
    starts, stops = _spans(sequences)
    alone = starts[stops - starts == 1]
    result[alone] = own[alone]  # nothing follows: nothing to temper for
    return result


def forward_backward(likelihood: Probabilities, shares: NDArray[np.float64], stay: float) -> Probabilities:
    """(time, classes, sequences) probabilities, given the likelihood of what was seen in the same shape."""
    forward, _ = _forward(likelihood, shares, stay)
    backward = np.ones_like(likelihood[0])
    fresh = ((1 - stay) * shares).astype(np.float32)[:, None]
    for t in range(len(likelihood) - 2, -1, -1):
        seen = likelihood[t + 1] * backward
        backward = np.float32(stay) * seen + (fresh * seen).sum(axis=0)
        backward /= backward.sum(axis=0)
        forward[t] *= backward
        forward[t] /= forward[t].sum(axis=0)
    return forward


def _forward(likelihood: Probabilities, shares: NDArray[np.float64], stay: float) -> tuple[Probabilities, Probabilities]:
    """Filtered probabilities, and what was expected of each window before it was seen; both (time, classes, sequences)."""
    fresh = ((1 - stay) * shares).astype(np.float32)[:, None]
    forward, expected = np.empty_like(likelihood), np.empty_like(likelihood)
    before = np.broadcast_to(shares.astype(np.float32)[:, None], likelihood.shape[1:])
    for t, seen in enumerate(likelihood):
        expected[t] = before
        now = np.multiply(before, seen, out=forward[t])
        now /= now.sum(axis=0)
        before = np.float32(stay) * now + fresh
    return forward, expected


def _stayed(likelihood: Probabilities, batch: _Batch, shares: NDArray[np.float64], stay: float) -> tuple[float, float]:
    """Expected number of steps that stayed, and the number of steps."""
    forward, expected = _forward(likelihood, shares, stay)
    backward = np.ones_like(likelihood)
    fresh = ((1 - stay) * shares).astype(np.float32)[:, None]
    for t in range(len(likelihood) - 2, -1, -1):
        seen = likelihood[t + 1] * backward[t + 1]
        now = np.float32(stay) * seen + (fresh * seen).sum(axis=0)
        backward[t] = now / now.sum(axis=0)
    seen = likelihood[1:] * backward[1:]
    share = np.float32(stay) * (forward[:-1] * seen).sum(axis=1) / (expected[1:] * seen).sum(axis=1)
    steps = batch.rows[1:] >= 0
    return float(share[steps].sum(dtype=np.float64)), float(steps.sum())


def _likelihood(evidence: NDArray[np.floating], batch: _Batch) -> Probabilities:
    """(time, classes, parts), tempered; padding is no evidence."""
    part = evidence[np.maximum(batch.rows, 0)] * np.float32(TEMPER)
    part[batch.rows < 0] = 0
    scaled = np.exp(part - part.max(axis=2, keepdims=True)).astype(np.float32)
    return np.ascontiguousarray(np.maximum(scaled, np.float32(1e-30)).transpose(0, 2, 1))


def _batches(sequences: Ids, stay: float) -> Iterator[_Batch]:
    """All windows, in parts of like length side by side.

    A very long sequence is cut; each part warms up for as long as the chain remembers without seeing anything, or for
    `_LONGEST` windows, whose evidence makes it forget the rest.
    """
    warm = min(int(np.ceil(np.log(_FORGOTTEN) / np.log(stay))), _LONGEST)
    starts, stops = _spans(sequences)
    spans: list[tuple[int, int, int, int]] = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        size = stop - start if stop - start <= max(_LONGEST, 4 * warm) else max(_LONGEST, 4 * warm) // 2
        spans += [
            (max(a - warm, start), a, min(a + size, stop), min(a + size + warm, stop)) for a in range(start, stop, max(size, 1))
        ]
    spans.sort(key=lambda s: s[3] - s[0])
    while spans:
        longest = spans[-1][3] - spans[-1][0]
        count = max(_BATCH // longest, 1)
        chosen, spans = spans[-count:], spans[:-count]
        yield _batch(chosen, longest)


def _batch(spans: list[tuple[int, int, int, int]], longest: int) -> _Batch:
    first, begin, end, last = (np.asarray(column)[None, :] for column in zip(*spans, strict=True))
    rows = first + np.arange(longest)[:, None]
    return _Batch(np.where(rows < last, rows, -1), (rows >= begin) & (rows < end))


def _spans(sequences: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    breaks = np.flatnonzero(sequences[1:] != sequences[:-1]) + 1
    return np.concatenate([[0], breaks]), np.concatenate([breaks, [len(sequences)]])


def some(sequences: Ids) -> Ids:
    """The first whole sequences, as many as `fit_stay` needs; one that is longer by far is cut."""
    stops = _spans(sequences)[1]
    enough = int(np.searchsorted(stops, min(_FIT_WINDOWS, len(sequences))))
    return sequences[: min(int(stops[min(enough, len(stops) - 1)]), 2 * _FIT_WINDOWS)]


def _moving_mean(own: Probabilities, sequences: Ids) -> Probabilities:
    """Centred mean over `SPAN` windows, fewer at the ends of a sequence."""
    starts, stops = _spans(sequences)
    sums = np.zeros((own.shape[1], len(own) + 1))
    np.cumsum(own.T, axis=1, dtype=np.float64, out=sums[:, 1:])
    place, lengths = np.arange(len(own)), stops - starts
    low = np.maximum(place - SPAN // 2, np.repeat(starts, lengths))
    high = np.minimum(place + SPAN // 2 + 1, np.repeat(stops, lengths))
    means = (sums.take(high, axis=1) - sums.take(low, axis=1)) / (high - low)
    return np.ascontiguousarray(means.T, np.float32)
