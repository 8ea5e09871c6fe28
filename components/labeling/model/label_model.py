"""From votes to probabilities: the label model, and which kind of it the votes deserve.

`CANDIDATES`, from the simplest to the most daring:

majority   the share of the votes that a class has
em         the naive Bayes model of the voters (`naive_bayes`)
blend      its mean with what is believed of the voters before any fit
temporal   the blend in the sequence of the device's windows (`sequences`)
corrected  temporal, or the blend where there are no sequences, with a belief that gold labels corrected

Without gold labels nothing tells which is best: temporal where the windows are in sequences, else blend. With enough
of them, the candidate of the highest cross-validated average precision, and majority vote unless one is better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.labeling.model.checks import check
from components.labeling.model.decision import decision_weights, shares_from_sample
from components.labeling.model.estimates import NO_ESTIMATES, Estimates, estimates
from components.labeling.model.naive_bayes import BELIEF_SHARE, Gold, Voters, fit_voters
from components.labeling.model.sequences import Ids, fit_stay, smoothed, some
from components.labeling.model.votes import FIT_ROWS, Votes, patterns_of, scored
from components.values.labels import ABSTAIN
from components.workspace.files import sha256_json

CANDIDATES = ("majority", "em", "blend", "temporal", "corrected")
_DECISION_WINDOWS = 1 << 18

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class LabelModel:
    """``chosen``: one of `CANDIDATES`. ``stay``: of the chain, 0 without sequences. ``shares_from``: given, gold or learned.

    ``decision_weights``: (classes,), the hard label is the class of the largest probability times weight.
    ``candidates``: (name, cross-validated average precision) where gold labels allowed a choice. ``notes``: what a user
    should know about the fit.
    """

    chosen: str
    voters: Voters
    stay: float
    shares_from: str
    decision_weights: tuple[float, ...] = ()
    candidates: tuple[tuple[str, float], ...] = ()
    estimates: Estimates = NO_ESTIMATES
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        return len(self.voters.shares)

    def probabilities(
        self, votes: Votes, sequences: Ids | None = None, gold: NDArray[np.int8] | None = None
    ) -> tuple[Probabilities, NDArray[np.bool_]]:
        """(windows, functions) votes -> (windows, classes) probabilities and (windows,) covered.

        ``sequences``: (windows,) ids, equal neighbours follow each other in time; the temporal model needs them.
        ``gold``: (windows,) int8 declared classes, -1 where nobody declared one; such a window is covered and certain.
        Rows that are not covered are no labels: without sequences they hold the class shares.
        """
        return probabilities_of(self, self.chosen, votes, sequences, gold)

    def decided(self, probabilities: Probabilities, covered: NDArray[np.bool_]) -> NDArray[np.int8]:
        """(windows,) hard labels, -1 where the window is not covered."""
        best = (probabilities * np.asarray(self.decision_weights, np.float32)).argmax(axis=1)
        return np.where(covered, best, ABSTAIN).astype(np.int8)

    def facts(self, names: tuple[str, ...], classes: tuple[str, ...]) -> dict[str, Any]:
        """What a person should know about the fit, as JSON; numbers to six digits. ``version`` digests the fit."""
        return {
            "version": self.version,
            "chosen": self.chosen,
            "class_shares": {c: _short(s) for c, s in zip(classes, self.voters.shares, strict=True)},
            "shares_from": self.shares_from,
            "candidates": [{"name": n, "average_precision": _short(score)} for n, score in self.candidates],
            "stay": _short(self.stay),
            "functions": [self._function(j, name, classes) for j, name in enumerate(names)],
            "pairs": [
                {
                    "first": names[p.first],
                    "second": names[p.second],
                    "agreement": _short(p.agreement),
                    "expected": _short(p.expected),
                }
                for p in self.voters.pairs
            ],
            "notes": list(self.notes),
        }

    @property
    def version(self) -> str:
        """Digest of all that turns votes into labels."""
        voters = self.voters
        numbers = (voters.shares, voters.rates, voters.belief, voters.weights)
        return sha256_json([self.chosen, self.stay, list(self.decision_weights), *(one.tolist() for one in numbers)])

    def _function(self, j: int, name: str, classes: tuple[str, ...]) -> dict[str, Any]:
        return {
            "name": name,
            "weight": _short(self.voters.weights[j]),
            "precision": _by_class(self.estimates.precision[j], classes),
            "recall": _by_class(self.estimates.recall[j], classes),
        }


def fit_label_model(
    votes: Votes,
    classes: int,
    shares: NDArray[np.float64] | None = None,
    gold: NDArray[np.int8] | None = None,
    sequences: Ids | None = None,
    sampled: NDArray[np.bool_] | None = None,
) -> LabelModel:
    """Fit to (windows, functions) int8 votes in {-1, 0..classes-1}; deterministic.

    ``shares``: (classes,) how frequent the classes are, where that is known; it is worth a lot. ``gold``: (windows,)
    int8 declared classes, -1 where there is none. ``sampled``: (windows,) which of them were drawn at random from all
    windows; they alone tell class shares and thresholds. ``sequences``: (windows,) ids, equal neighbours follow each other.

    Raises:
        ValueError: a vote or gold label outside the classes, arrays that do not fit, or nothing but abstentions.
    """
    from components.labeling.model.selection import select

    check(votes, classes, shares, gold, sequences, sampled)
    if gold is not None and not (gold != ABSTAIN).any():
        gold = None
    drawn = np.zeros(len(votes), bool) if sampled is None or gold is None else sampled & (gold != ABSTAIN)
    model = fit_once(votes, classes, shares, gold, drawn, sequences)
    if gold is not None:
        model = select(model, votes, shares, gold, drawn, sequences)
    kept = slice(None) if sequences is not None else _spread(len(votes), _DECISION_WINDOWS)
    said, covered = model.probabilities(votes[kept], None if sequences is None else sequences[kept])
    sample = (
        None if gold is None else (said[drawn] if sequences is not None else model.probabilities(votes[drawn])[0], gold[drawn])
    )
    weights = decision_weights(said, covered, model.voters.shares, sample)
    few = _spread(len(said), FIT_ROWS)
    clusters = None if sequences is None else sequences[kept][few]
    seen = estimates(votes[kept][few], said[few], covered[few], clusters)
    return replace(model, decision_weights=weights, estimates=seen, notes=(*model.notes, *_notes(model)))


def fit_once(
    votes: Votes,
    classes: int,
    shares: NDArray[np.float64] | None,
    gold: NDArray[np.int8] | None,
    sampled: NDArray[np.bool_],
    sequences: Ids | None,
    *,
    corrected: bool = False,
) -> LabelModel:
    """The label model without any choice among candidates; ``corrected`` is one of them."""
    patterns = patterns_of(votes, classes)
    known = np.zeros(len(votes), bool) if gold is None else gold != ABSTAIN
    clamped = None if gold is None else Gold(votes[known], gold[known])
    voters = fit_voters(patterns, classes, shares, clamped, corrected=corrected)
    shares_from = "learned" if shares is None else "given"
    if shares is None and gold is not None:
        counted = shares_from_sample(gold[known & sampled], voters.shares)
        if counted is not None:
            voters, shares_from = fit_voters(patterns, classes, counted, clamped, corrected=corrected), "gold"
    stay = 0.0
    if sequences is not None:
        first = some(sequences)
        stay = fit_stay(_evidence(votes[: len(first)], voters), voters.shares, first)
    chosen = "corrected" if corrected else "blend" if sequences is None else "temporal"
    return LabelModel(chosen, voters, stay, shares_from)


def probabilities_of(
    model: LabelModel, candidate: str, votes: Votes, sequences: Ids | None, gold: NDArray[np.int8] | None
) -> tuple[Probabilities, NDArray[np.bool_]]:
    """What one of `CANDIDATES` says; see `LabelModel.probabilities`. Temporal without sequences is the blend."""
    said = np.empty((len(votes), model.classes), np.float32)
    covered = np.empty(len(votes), bool)
    columns = _columns(model.voters, candidate)
    for part, total, spoke in scored(votes, columns):
        said[part] = _mixed(total, model.voters.shares, candidate)
        covered[part] = spoke
    if candidate in {"temporal", "corrected"} and sequences is not None:
        said = smoothed(_evidence(votes, model.voters), said, model.voters.shares, model.stay, sequences)
    else:
        said[~covered] = model.voters.shares
    if gold is not None:
        known = gold != ABSTAIN
        said[known] = np.eye(model.classes, dtype=np.float32)[gold[known]]
        covered |= known
    return said, covered


def _columns(voters: Voters, candidate: str) -> NDArray[np.float64]:
    """(functions, 1 + classes, columns) what a vote adds to the columns that `_mixed` reads."""
    k = len(voters.shares)
    if candidate == "majority":
        return np.broadcast_to(np.eye(k + 1)[:, 1:], (len(voters.weights), k + 1, k))
    fitted = _against_first(voters.evidence(voters.rates))
    return fitted if candidate == "em" else np.concatenate([fitted, _against_first(voters.evidence(voters.belief))], axis=2)


def _against_first(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-evidence for each class but the first, against the first: one column less to look up."""
    return evidence[:, :, 1:] - evidence[:, :, :1]


def _mixed(total: Probabilities, shares: NDArray[np.float64], candidate: str) -> Probabilities:
    """(windows, classes) probabilities from the sums of `_columns`."""
    if candidate == "majority":
        return total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    prior = np.log(shares[1:] / shares[0]).astype(np.float32)
    others = len(prior)
    fitted = _softmax(total[:, :others] + prior)
    if candidate == "em":
        return fitted
    fitted *= np.float32(1 - BELIEF_SHARE)
    fitted += np.float32(BELIEF_SHARE) * _softmax(total[:, others:] + prior)
    return fitted


def _softmax(against_first: Probabilities) -> Probabilities:
    """(windows, classes - 1) log-odds against the first class -> (windows, classes) probabilities."""
    columns = against_first.T  # one at a time: reductions over a short last axis are ten times as slow
    top = np.maximum(np.maximum.reduce(columns), 0)
    said = np.empty((len(against_first), len(columns) + 1), np.float32)
    total = np.exp(-top, out=said[:, 0]).copy()
    for c, column in enumerate(columns, start=1):
        total += np.exp(column - top, out=said[:, c])
    said /= total[:, None]
    return said


def _evidence(votes: Votes, voters: Voters) -> Probabilities:
    """(windows, classes) log-evidence of the fitted voters."""
    evidence = np.empty((len(votes), len(voters.shares)), np.float32)
    for part, total, _ in scored(votes, voters.evidence(voters.rates)):
        evidence[part] = total
    return evidence


def _spread(count: int, wanted: int) -> slice:
    """Evenly spaced windows, about as many as wanted."""
    return slice(None, None, max(count // wanted, 1))


def _by_class(values: NDArray[np.float64], classes: tuple[str, ...]) -> dict[str, list[float]]:
    return {c: [_short(v) for v in three] for c, three in zip(classes, values, strict=True) if not np.isnan(three[0])}


def _short(value: float) -> float:
    return round(float(value), 6)


def _notes(model: LabelModel) -> list[str]:
    voters = model.voters
    notes = []
    if (voters.firing.max(axis=0) > 0).sum() == 1:
        notes.append("all votes are for one class: nothing but its share can be learned; write functions for the others too")
    if len(voters.firing) < 3:
        notes.append("fewer than three functions: their agreement says nothing about who is right")
    if model.shares_from == "learned":
        notes.append("class shares are learned from the votes alone; give them (class_shares) where you know them")
    return notes
