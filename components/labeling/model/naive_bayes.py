"""What each labelling function is worth: a naive Bayes model of the voters, fitted without knowing the truth.

The model of Dawid and Skene (Applied Statistics 28, 1979): given the class y of a window, function j votes v with
probability ``rates[j, y, v]``, abstains with what is left, and does so independently of the others. It is fitted by
expectation maximisation (Dempster et al., JRSS B 39, 1977) from the votes alone. Left to itself that fails on some
sets of functions far below counting votes; these bound the loss:

* **A belief to start from and to be pulled back to**: a function is right `BELIEVED_ACCURACY` of the time, and fires as
  often as it does (`believed_rates`). A function that fires more often than its class can occur cannot be that right:
  its believed rate in its own class ends at `HIGHEST_RATE`, and the rest must come from the other classes.
* **Shrinkage and early stopping**: the belief weighs as much as the data of each class (`SHRINKAGE` of its mass, and
  `PSEUDO_COUNTS`), and after `ITERATIONS` rounds it ends (the fit is maximum a posteriori).
* **Abstention is weak evidence**: it counts for `ABSTENTION` of its log-likelihood. Rules that abstain on what they were
  not written for would otherwise vote by silence.
* **Copies count once**: see `correlation`.
* **The mean with the belief alone** (`BELIEF_SHARE`): naive Bayes is too sure of itself.

What each brings, and how the constants were chosen: docs/labelling.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from components.labeling.model.correlation import Pair, discounts, pairs
from components.labeling.model.votes import Patterns

BELIEVED_ACCURACY = 0.85
HIGHEST_RATE = 0.95
SHRINKAGE = 1.0
PSEUDO_COUNTS = 10.0
ITERATIONS = 5
ABSTENTION = 0.25
BELIEF_SHARE = 0.5
GOLD_WEIGHT = 5.0
_VOTE_ACCURACY = 0.7  # of one vote when nothing is known, for the first guess at the class shares
_SMALLEST_SHARE = 1e-4
_LEAST = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gold:
    """Windows whose class a person declared: ``rows`` (gold, functions) int8 votes, ``classes`` (gold,) int8."""

    rows: NDArray[np.int8]
    classes: NDArray[np.int8]


@dataclass(frozen=True)
class Voters:
    """``shares`` (classes,) sum to 1. ``rates`` and ``belief`` (functions, classes y, classes v): P(votes v | y), fitted and
    believed. ``firing`` (functions, classes v): how often each votes for each. ``weights`` (functions,): what is left of
    a function's evidence when its copies are discounted. ``pairs``: functions that agree more than the classes explain.
    """

    shares: Floats
    rates: Floats
    belief: Floats
    firing: Floats
    weights: Floats
    pairs: tuple[Pair, ...] = ()

    def evidence(self, rates: Floats) -> Floats:
        """(functions, 1 + classes, classes) log-evidence for each class of abstaining and of each vote."""
        silent = np.maximum(1 - rates.sum(axis=2), 1 - HIGHEST_RATE)
        log = np.concatenate([ABSTENTION * np.log(silent)[:, None], np.log(rates).transpose(0, 2, 1)], axis=1)
        return np.asarray(log * self.weights[:, None, None])


def fit_voters(
    patterns: Patterns, classes: int, shares: Floats | None = None, gold: Gold | None = None, *, corrected: bool = False
) -> Voters:
    """Fit to the votes of `patterns`; class ``shares`` that are given stay, others are learned along.

    Gold windows keep their class and weigh `GOLD_WEIGHT` each; ``corrected``: they correct the belief too, so that they
    can overrule functions that are wrong together. Deterministic, and blind to the order of windows.
    """
    hot = one_hot(patterns.rows, classes)
    firing = np.tensordot(patterns.counts, hot, axes=1)[:, 1:] / patterns.counts.sum()
    start = _vote_shares(patterns, hot) if shares is None else clipped(shares)
    clamped = _clamped(gold, len(firing), classes)
    fit = _Fit(hot, patterns.counts, firing, start, shares is None, clamped, corrected, np.ones(len(firing)))
    voters, said = fit.run()
    correlations, weights = discounts(hot, patterns.counts, said)
    if (weights == 1).all():
        return voters
    voters, _ = replace(fit, weights=weights).run()
    return replace(voters, pairs=pairs(hot, patterns.counts, correlations, voters.shares, voters.rates))


def believed_rates(firing: Floats, shares: Floats) -> Floats:
    """(functions, classes y, classes v) rates of functions that fire ``firing`` (functions, classes v) of the time.

    ``P(v | y)`` is proportional to `BELIEVED_ACCURACY` for y = v, to an equal part of the rest otherwise, and has the
    observed mean under ``shares``. Where that would exceed `HIGHEST_RATE` in the own class, the other classes make up
    for it, all at one rate.
    """
    k = len(shares)
    accuracy = np.full((k, k), (1 - BELIEVED_ACCURACY) / (k - 1))
    np.fill_diagonal(accuracy, BELIEVED_ACCURACY)
    rates = accuracy[None] * firing[:, None, :] / (shares @ accuracy)[None, None, :]
    for v in range(k):
        over = rates[:, v, v] > HIGHEST_RATE
        others = (firing[:, v] - HIGHEST_RATE * shares[v]) / max(1 - shares[v], _SMALLEST_SHARE)
        rates[over, :, v] = np.clip(others, _LEAST, HIGHEST_RATE)[over, None]
        rates[over, v, v] = HIGHEST_RATE
    return rates


def one_hot(rows: NDArray[np.int8], classes: int) -> Floats:
    """(patterns, functions, 1 + classes): 1 where that was the vote, abstention first."""
    return np.eye(classes + 1)[rows + 1]


def clipped(shares: Floats) -> Floats:
    """Shares of which none is quite zero, so that evidence can overrule them."""
    raised = np.maximum(np.asarray(shares, np.float64), _SMALLEST_SHARE)
    return np.asarray(raised / raised.sum())


def normalised(log: Floats) -> Floats:
    """Softmax over the last axis."""
    likelihood = np.exp(log - log.max(axis=-1, keepdims=True))
    return np.asarray(likelihood / likelihood.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class _Fit:
    hot: Floats
    counts: Floats
    firing: Floats
    start: Floats
    learn_shares: bool
    gold: tuple[Floats, Floats]
    corrected: bool
    weights: Floats

    def run(self) -> tuple[Voters, Floats]:
        """The voters, and (patterns, classes) what they say of each pattern."""
        belief = self._belief(self.start)
        voters = Voters(self.start, belief, belief, self.firing, self.weights)
        said = self._said(voters)
        for _ in range(ITERATIONS):
            voters = self._maximised(said, voters.shares)
            said = self._said(voters)
        return voters, said

    def _said(self, voters: Voters) -> Floats:
        return normalised(np.log(voters.shares) + np.tensordot(self.hot, voters.evidence(voters.rates), axes=2))

    def _belief(self, shares: Floats) -> Floats:
        """What is believed; corrected, as if it had been seen on `PSEUDO_COUNTS` windows beside the gold ones."""
        belief = believed_rates(np.maximum(self.firing, 0.5 / self.counts.sum()), shares)
        if not self.corrected:
            return belief
        gold_hot, gold_said = self.gold
        seen = np.tensordot(gold_said, gold_hot, axes=(0, 0))[:, :, 1:].transpose(1, 0, 2) / GOLD_WEIGHT
        counted = gold_said.sum(axis=0)[None, :, None] / GOLD_WEIGHT
        return np.asarray((seen + PSEUDO_COUNTS * belief) / (counted + PSEUDO_COUNTS))

    def _maximised(self, said: Floats, shares: Floats) -> Voters:
        gold_hot, gold_said = self.gold
        mass = self.counts @ said
        if self.learn_shares:  # not from gold: people are asked about some windows rather than others
            shares = clipped((mass + 1) / (mass.sum() + len(mass)))
        mass = mass + gold_said.sum(axis=0)
        cast = np.tensordot(said * self.counts[:, None], self.hot, axes=(0, 0)) + np.tensordot(gold_said, gold_hot, axes=(0, 0))
        belief = self._belief(shares)
        strength = (SHRINKAGE * mass + PSEUDO_COUNTS)[None, :, None]
        rates = (cast[:, :, 1:].transpose(1, 0, 2) + strength * belief) / (mass[None, :, None] + strength)
        return Voters(shares, np.maximum(rates, _LEAST), belief, self.firing, self.weights)


def _clamped(gold: Gold | None, functions: int, classes: int) -> tuple[Floats, Floats]:
    if gold is None:
        return np.zeros((0, functions, classes + 1)), np.zeros((0, classes))
    return one_hot(gold.rows, classes), GOLD_WEIGHT * np.eye(classes)[gold.classes]


def _vote_shares(patterns: Patterns, hot: Floats) -> Floats:
    """Class shares if all classes were equally likely and each vote right `_VOTE_ACCURACY` of the time."""
    cast = hot[:, :, 1:].sum(axis=1)
    k = cast.shape[1]
    said = normalised(cast * np.log(_VOTE_ACCURACY * (k - 1) / (1 - _VOTE_ACCURACY)))
    return clipped(patterns.counts @ said / patterns.counts.sum())
