"""A few gold labels: they bind, they choose the model, they correct the shares, and they may be a biased sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from components.labeling.model import fit_label_model
from components.labeling.model.decision import decision_weights, shares_from_gold
from components.labeling.model.selection import average_precision
from tests.labeling.test_label_model import alarms


def some(truth: np.ndarray, rows: np.ndarray) -> np.ndarray:
    gold = np.full(len(truth), -1, np.int8)
    gold[rows] = truth[rows]
    return gold


def test_gold_windows_keep_their_class_and_are_covered() -> None:
    votes, truth = alarms(0.2, 1, copies=False, n=3000)
    votes[5] = -1
    gold = some(truth, np.array([5, 6, 7]))
    model = fit_label_model(votes, 2, gold=gold)
    probabilities, covered = model.probabilities(votes, gold=gold)
    assert covered[5]
    assert (probabilities[[5, 6, 7]].argmax(axis=1) == truth[[5, 6, 7]]).all()
    assert probabilities[[5, 6, 7]].max(axis=1).tolist() == [1, 1, 1]


def test_gold_overrules_functions_that_are_wrong_together() -> None:
    """Three copies vote the wrong way round; nothing but gold can tell."""
    random = np.random.default_rng(2)
    truth = (random.random(4000) < 0.5).astype(np.int8)
    wrong = np.where(random.random((4000, 3)) < 0.85, 1 - truth[:, None], truth[:, None])
    right = np.where(random.random((4000, 2)) < 0.8, truth[:, None], 1 - truth[:, None])
    votes = np.concatenate([wrong, right], axis=1).astype(np.int8)
    gold = some(truth, np.arange(0, 4000, 20))
    without, _ = fit_label_model(votes, 2).probabilities(votes)
    model = fit_label_model(votes, 2, gold=gold)
    with_gold, _ = model.probabilities(votes)
    assert average_precision_score(truth, with_gold[:, 1]) > average_precision_score(truth, without[:, 1]) + 0.1
    assert [name for name, _ in model.candidates] == ["majority", "em", "blend", "corrected"]
    assert model.chosen == "corrected"


def test_majority_vote_is_kept_where_no_model_beats_it() -> None:
    votes = np.array([[1, 1, 1], [0, 0, 0]] * 200, np.int8)
    truth = np.array([1, 0] * 200, np.int8)
    model = fit_label_model(votes, 2, gold=some(truth, np.arange(100)))
    assert model.chosen == "majority"
    assert model.probabilities(votes)[0].tolist() == [[0, 1], [1, 0]] * 200


def test_too_few_gold_labels_choose_nothing_and_say_so() -> None:
    votes, truth = alarms(0.2, 3, copies=False, n=3000)
    model = fit_label_model(votes, 2, gold=some(truth, np.arange(10)))
    assert model.candidates == ()
    assert any("10 gold labels: too few" in note for note in model.notes)


def test_gold_chosen_where_faults_are_suspected_does_not_inflate_the_share_of_faults() -> None:
    votes, truth = alarms(0.03, 4, copies=False)
    suspected = np.flatnonzero((votes == 1).sum(axis=1) > 0)[:150]
    quiet = np.flatnonzero((votes == 1).sum(axis=1) == 0)[:50]
    gold = some(truth, np.concatenate([suspected, quiet]))
    model = fit_label_model(votes, 2, gold=gold)
    assert model.shares_from == "gold"
    assert truth[gold >= 0].mean() > 0.2
    assert 0.02 < model.voters.shares[1] < 0.045


def test_post_stratification_gives_the_share_of_a_perfect_model() -> None:
    said = np.eye(2, dtype=np.float32)[np.array([0] * 900 + [1] * 100)]
    known = np.zeros(1000, bool)
    known[:10] = known[900:990] = True
    shares = shares_from_gold(said, np.array([0] * 10 + [1] * 90, np.int8), known)
    assert np.allclose(shares, [0.9, 0.1])


@settings(deadline=None)
@given(st.integers(5, 60), st.integers(0, 10_000))
def test_average_precision_is_that_of_the_reference(windows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    hit = random.random(windows) < 0.4
    score = np.round(random.random(windows), 1)
    ours = average_precision(hit, score, np.ones((1, windows)))[0]
    assert ours == pytest.approx(average_precision_score(hit, score) if hit.any() else 0.0)


def test_the_hard_label_follows_the_share_and_never_sinks_below_what_votes_support() -> None:
    likely = [0.9, 0.8, 0.7, 0.6, 0.4, 0.3]
    said = np.array([[1 - p, p] for p in [*likely, 0.05, 0.05] + [0.01] * 12], np.float32)

    def faults(share: float) -> int:
        weights = np.array(decision_weights(said, np.ones(20, bool), np.array([1 - share, share])))
        return int((said * weights).argmax(axis=1).sum())

    assert faults(0.2) == 4, "as many as are expected and likelier than not"
    assert faults(0.1) == 3, "between what is expected and what is likelier than not"
    assert faults(0.3) == 5
    assert faults(0.45) == 4, "windows less likely than the share are not faults to fill a quota"
