"""Which windows are most worth a person's time.

A window is worth ``H * (1 + D) / 2``: ``H`` the entropy of its label probabilities over that of a fair die (uncertainty
sampling, Lewis and Gale, SIGIR 1994), ``D`` the same of the votes that it got (vote entropy of a committee, Dagan and
Engelson, ICML 1995). So windows on which rules contradict each other come first, and those that no rule speaks about
are worth half of the most.

The most uncertain windows are often the same window many times over. They are therefore taken in rounds; a round takes
at most `PER_DEVICE` windows of one device and `PER_PATTERN` on which the functions vote alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN

if TYPE_CHECKING:
    from components.values import LabelSet, Windows

PER_DEVICE = 1
PER_PATTERN = 3
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no vote is shifted out


def select_windows(
    labels: LabelSet, windows: Windows, count: int, *, seed: int, without: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """(up to ``count``,) positions of the training windows most worth labelling, the best first.

    ``without``: (windows,) those that need no label any more. Equal windows come in an order drawn from ``seed``.
    """
    wanted = windows.train if without is None else windows.train & ~without
    candidates = np.flatnonzero(wanted)
    candidates = np.random.default_rng(seed).permutation(candidates)
    value = worth(labels)[candidates]
    order = np.argsort(-value, kind="stable")
    candidates, value = candidates[order], value[order]
    device = windows.index["device_id"].to_numpy()[candidates]
    turn = np.maximum(_turn(device) // PER_DEVICE, _turn(vote_patterns(labels.votes[candidates])) // PER_PATTERN)
    return candidates[np.argsort(turn, kind="stable")[:count]].astype(np.int64)


def worth(labels: LabelSet) -> NDArray[np.float64]:
    """(windows,) between 0 and 1, by the formula above."""
    return labels.entropy.astype(np.float64) * (1 + disagreement(labels.votes, len(labels.classes))) / 2


def disagreement(votes: NDArray[np.int8], classes: int) -> NDArray[np.float64]:
    """(windows,) entropy of the votes that were cast over that of a fair die: 0 where all who spoke agree."""
    counts = np.stack([(votes == c).sum(axis=1) for c in range(classes)], axis=1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    bits = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1)
    return np.asarray(bits / np.log(classes))


def vote_patterns(votes: NDArray[np.int8]) -> NDArray[np.uint64]:
    """(windows,) a number that windows share when every function says the same of them (a 64-bit hash)."""
    pattern = np.zeros(len(votes), np.uint64)
    for column in votes.T:
        pattern = pattern * _HASH_FACTOR + (column.astype(np.int64) - ABSTAIN + 1).astype(np.uint64)
    return pattern


def _turn(group: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) how many of the same group stand before each."""
    import pandas as pd

    return np.asarray(pd.Series(group).groupby(group, sort=False).cumcount(), np.int64)
