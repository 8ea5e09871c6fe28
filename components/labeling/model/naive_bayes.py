"""How votes become probabilities: a naive Bayes model of the voters, fitted without knowing the truth, and tempered.

The model of Dawid and Skene (Applied Statistics 28, 1979) gives each function j one distribution a class,
``theta[j, y, v] = P(j votes v | the class is y, j does not abstain)``; given the class, functions are independent. It is
fitted by expectation maximisation (Dempster et al., JRSS B 39, 1977) from the votes alone. Left to itself this
fails on some sets of rules far below counting votes, so three things bound the loss:

* few iterations (`ITERATIONS`), started from soft vote counts: early stopping;
* shrinkage of theta towards a voter that is right `BELIEVED_ACCURACY` of the time, with `SHRINKAGE` of the class's
  mass and `PSEUDO_COUNTS` votes (a Dirichlet prior, so the fit is maximum a posteriori);
* the mean with the soft vote count: correlated functions make naive Bayes far too sure of itself.

An abstention is no evidence, and a window on which all abstain is uncovered: it has no label, it is not 'normal'.
The class shares are learned along. Measurements against majority vote and Snorkel: docs/labelling.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN

ITERATIONS = 5
SHRINKAGE = 0.3
PSEUDO_COUNTS = 10.0
BELIEVED_ACCURACY = 0.8
VOTE_ACCURACY = 0.7

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelModel:
    """``shares``: (classes,) learned. ``theta``: (functions, classes, classes), rows over votes sum to 1."""

    shares: Floats
    theta: Floats

    def probabilities(self, votes: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(windows, functions) votes -> (windows, classes) probabilities and (windows,) covered.

        Uncovered rows hold the learned class shares.
        """
        patterns, inverse, _ = _patterns(votes)
        covered = (patterns != ABSTAIN).any(axis=1)
        mixed = (_posterior(patterns, self.shares, self.theta) + _soft_votes(patterns, len(self.shares))) / 2
        mixed[~covered] = self.shares
        return mixed.astype(np.float32)[inverse], covered[inverse]


def fit_label_model(votes: NDArray[np.int8], classes: int) -> LabelModel:
    """Fit to (windows, functions) votes in {-1, 0..classes-1}; deterministic, and blind to the order of windows.

    Equal rows are counted once, so the cost follows the number of different vote patterns.
    """
    patterns, _, counts = _patterns(votes)
    covered = (patterns != ABSTAIN).any(axis=1)
    patterns, counts = patterns[covered], counts[covered].astype(np.float64)
    belief = _soft_votes(patterns, classes)
    shares, theta = _maximise(patterns, counts, belief)
    for _ in range(ITERATIONS - 1):
        belief = _posterior(patterns, shares, theta)
        shares, theta = _maximise(patterns, counts, belief)
    return LabelModel(shares, theta)


def _maximise(patterns: NDArray[np.int8], counts: Floats, belief: Floats) -> tuple[Floats, Floats]:
    """Shares and theta that are most probable given ``belief`` (patterns, classes) about the classes."""
    functions, classes = patterns.shape[1], belief.shape[1]
    weighted = belief * counts[:, None]
    mass = weighted.sum(axis=0)
    prior = np.full((classes, classes), (1 - BELIEVED_ACCURACY) / (classes - 1))
    np.fill_diagonal(prior, BELIEVED_ACCURACY)
    strength = (SHRINKAGE * mass + PSEUDO_COUNTS)[:, None]
    theta = np.empty((functions, classes, classes))
    for j in range(functions):
        cast = np.stack([weighted[patterns[:, j] == v].sum(axis=0) for v in range(classes)], axis=1)
        theta[j] = (cast + strength * prior) / (cast.sum(axis=1, keepdims=True) + strength)
    shares = (mass + 1.0) / (mass.sum() + classes)
    return shares, theta


def _posterior(patterns: NDArray[np.int8], shares: Floats, theta: Floats) -> Floats:
    """(patterns, classes) probabilities by Bayes' rule."""
    log = np.tile(np.log(shares), (len(patterns), 1))
    for j in range(patterns.shape[1]):
        spoke = patterns[:, j] != ABSTAIN
        log[spoke] += np.log(theta[j]).T[patterns[spoke, j]]
    return _normalised(log)


def _soft_votes(patterns: NDArray[np.int8], classes: int) -> Floats:
    """(patterns, classes) probabilities if every function were right `VOTE_ACCURACY` of the time and classes equal."""
    votes = np.stack([(patterns == v).sum(axis=1) for v in range(classes)], axis=1)
    return _normalised(votes * np.log(VOTE_ACCURACY * (classes - 1) / (1 - VOTE_ACCURACY)))


def _normalised(log: Floats) -> Floats:
    likelihood = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(likelihood / likelihood.sum(axis=1, keepdims=True))


def _patterns(votes: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[Any], NDArray[Any]]:
    """Different rows in a fixed order, which of them each row is, and how often each occurs."""
    rows = np.ascontiguousarray(votes).view(np.dtype((np.void, votes.shape[1]))).ravel()
    _, first, inverse, counts = np.unique(rows, return_index=True, return_inverse=True, return_counts=True)
    return votes[first], inverse, counts
