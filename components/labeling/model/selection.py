"""Which candidate a few gold labels prefer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.labeling.model.label_model import CANDIDATES, fit_once, probabilities_of
from components.values.labels import ABSTAIN

if TYPE_CHECKING:
    from components.labeling.model.label_model import LabelModel
    from components.labeling.model.sequences import Ids
    from components.labeling.model.votes import Votes

FOLDS = 5
LEAST_GOLD = 20
LEAST_OF_A_CLASS = 4
RESAMPLES = 200
_PERFECT = 0.999  # where all are right, being no better than majority vote says nothing


def select(
    model: LabelModel,
    votes: Votes,
    shares: NDArray[np.float64] | None,
    gold: NDArray[np.int8],
    sampled: NDArray[np.bool_],
    sequences: Ids | None,
) -> LabelModel:
    """``model`` with the candidate of the highest average precision on gold labels that its fit did not see, if it is better
    than what would be chosen without by more than the bootstrap error of the difference (Efron, Ann. Statist. 7, 1979).

    ``sampled``: which gold windows were drawn at random; if they are enough, they alone judge. Average precision is the
    mean over the classes that occur often enough. Gold windows of one sequence stay in one fold, so that no window is
    judged by its neighbour's label; with fewer than `FOLDS` sequences nothing is chosen.
    """
    known = np.flatnonzero(gold != ABSTAIN)
    judges = np.flatnonzero((gold != ABSTAIN) & sampled)
    if len(judges) >= LEAST_GOLD:
        known = judges
    frequent = [c for c in range(model.classes) if LEAST_OF_A_CLASS <= (gold[known] == c).sum() <= len(known) - LEAST_OF_A_CLASS]
    fold = _folds(known, sequences)
    if len(known) < LEAST_GOLD or not frequent or fold is None:
        need = f"{LEAST_GOLD} of {FOLDS} devices or spells, {LEAST_OF_A_CLASS} of a class"
        return replace(model, notes=(*model.notes, f"{len(known)} gold labels: too few to choose a model by (at least {need})"))
    names = [c for c in CANDIDATES if c != "temporal" or sequences is not None]
    said = {name: np.empty((len(known), model.classes)) for name in names}
    for number in range(FOLDS):
        hidden = known[fold == number]
        if not len(hidden):
            continue
        seen = gold.copy()
        seen[hidden] = ABSTAIN
        fits = {c: fit_once(votes, model.classes, shares, seen, sampled, sequences, corrected=c) for c in (False, True)}
        near = hidden if sequences is None else np.flatnonzero(np.isin(sequences, sequences[hidden]))
        for name in names:
            part, _ = probabilities_of(
                fits[name == "corrected"], name, votes[near], None if sequences is None else sequences[near], None
            )
            said[name][fold == number] = part[np.searchsorted(near, hidden)]
    precision = {name: _average_precisions(said[name], gold[known], frequent) for name in names}
    scores = tuple((name, float(precision[name][0])) for name in names)
    chosen = _choice(precision, model.chosen)
    if chosen == "corrected":
        model = fit_once(votes, model.classes, shares, gold, sampled, sequences, corrected=True)
    return replace(model, chosen=chosen, candidates=scores)


def _choice(precision: dict[str, NDArray[np.float64]], default: str) -> str:
    """The default, unless another is better by more than the error of the difference; majority if nothing beats it."""
    best, gain = default, 0.0
    for name, values in precision.items():
        better = values - precision[default]
        if better[0] > max(gain, float(better[1:].std())):
            best, gain = name, float(better[0])
    beaten = precision[best][0] > precision["majority"][0] or precision[best][0] > _PERFECT
    return best if beaten else "majority"


def _folds(known: NDArray[np.int64], sequences: Ids | None) -> NDArray[np.int64] | None:
    """(gold,) fold of each gold window; None if they are of too few sequences."""
    if sequences is None:
        return np.arange(len(known)) % FOLDS
    _, group = np.unique(sequences[known], return_inverse=True)
    return np.asarray(group % FOLDS) if len(group) and group.max() + 1 >= FOLDS else None


def _average_precisions(said: NDArray[np.float64], gold: NDArray[np.int8], classes: list[int]) -> NDArray[np.float64]:
    """(1 + `RESAMPLES`,) mean over ``classes`` of average precision: on all gold windows, then on bootstrap resamples."""
    random = np.random.default_rng(0)
    weights = np.concatenate(
        [np.ones((1, len(gold))), random.multinomial(len(gold), np.full(len(gold), 1 / len(gold)), RESAMPLES)]
    )
    return np.mean([average_precision(gold == c, said[:, c], weights) for c in classes], axis=0)


def average_precision(hit: NDArray[np.bool_], score: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples,) area under the precision-recall curve by steps, for each row of ``weights`` (samples, windows)."""
    order = np.argsort(-score, kind="stable")
    last = np.append(score[order][1:] != score[order][:-1], True)  # equal scores enter together
    drawn = weights[:, order]
    hits = np.cumsum(drawn * hit[order], axis=1)[:, last]
    precision = hits / np.maximum(np.cumsum(drawn, axis=1)[:, last], 1)
    gained = np.diff(hits, axis=1, prepend=0)
    return np.asarray((gained * precision).sum(axis=1) / np.maximum(hits[:, -1], 1))
