"""A few gold labels: they bind, they choose the model, they correct the shares, and they may be a biased sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from components.labeling.model import fit_label_model
from components.labeling.model.decision import decision_weights, shares_from_sample
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
    """Functions that guess: whatever a model makes of them is no better than counting."""
    random = np.random.default_rng(3)
    votes = np.repeat(random.integers(0, 2, (400, 1)), 3, axis=1).astype(np.int8)
    truth = np.where(random.random(400) < 0.7, votes[:, 0], 1 - votes[:, 0]).astype(np.int8)
    model = fit_label_model(votes, 2, gold=some(truth, np.arange(200)))
    assert model.chosen == "majority"
    assert model.probabilities(votes)[0].tolist() == np.eye(2)[votes[:, 0]].tolist()


def test_too_few_gold_labels_choose_nothing_and_say_so() -> None:
    votes, truth = alarms(0.2, 3, copies=False, n=3000)
    model = fit_label_model(votes, 2, gold=some(truth, np.arange(10)))
    assert model.candidates == ()
    assert any("10 gold labels: too few" in note for note in model.notes)


def test_gold_chosen_where_faults_are_suspected_says_nothing_about_how_frequent_they_are() -> None:
    votes, truth = alarms(0.03, 4, copies=False)
    suspected = np.flatnonzero((votes == 1).sum(axis=1) > 0)[:200]
    without = fit_label_model(votes, 2)
    model = fit_label_model(votes, 2, gold=some(truth, suspected))
    assert truth[suspected].mean() > 0.2
    assert model.shares_from == "learned"
    assert abs(model.voters.shares[1] - without.voters.shares[1]) < 0.01


def test_gold_drawn_at_random_tells_how_frequent_faults_are() -> None:
    votes, truth = alarms(0.2, 5, copies=False)
    gold = some(truth, np.arange(0, len(truth), 60))
    model = fit_label_model(votes, 2, gold=gold, sampled=gold >= 0)
    assert model.shares_from == "gold"
    assert abs(model.voters.shares[1] - truth.mean()) < 0.05


def test_right_answers_about_hard_windows_do_not_spoil_the_labels() -> None:
    """A hundred answers about the windows of which the label model is least sure, as people are asked for."""
    votes, truth = alarms(0.05, 6, copies=False)
    plain = fit_label_model(votes, 2)
    before, covered = plain.probabilities(votes)
    hard = np.argsort(-np.minimum(before[:, 0], before[:, 1]) * covered, kind="stable")[:100]
    gold = some(truth, hard)
    model = fit_label_model(votes, 2, gold=gold)
    after, _ = model.probabilities(votes)
    others = gold < 0
    scores = [f1_score(truth[others], m.decided(p, covered)[others] == 1) for m, p in ((plain, before), (model, after))]
    assert scores[1] > scores[0] - 0.01


def test_one_device_with_a_fault_does_not_make_the_fleet_faulty() -> None:
    random = np.random.default_rng(7)
    truth = np.zeros((40, 100), np.int8)
    truth[:4, 40:] = 1
    flat = truth.ravel()
    votes = np.full((4000, 5), -1, np.int8)
    for j in range(5):
        fires = random.random(4000) < (np.where(flat == 1, 0.5, 0.02) if j < 3 else np.where(flat == 0, 0.6, 0.1))
        votes[fires, j] = int(j < 3)
    device = np.repeat(np.arange(40), 100)
    gold = some(flat, np.arange(40, 100))
    plain, model = (fit_label_model(votes, 2, sequences=device, gold=g) for g in (None, gold))
    assert abs(plain.voters.shares[1] - model.voters.shares[1]) < 0.02
    assert model.candidates == (), "one device is no jury"
    said, covered = model.probabilities(votes, device)
    assert f1_score(flat, model.decided(said, covered) == 1) > 0.9


def test_where_all_candidates_are_right_none_is_swapped() -> None:
    votes, truth = alarms(0.2, 8, copies=False)
    easy = np.flatnonzero(((votes == 1).sum(axis=1) > 2) | ((votes == 0).sum(axis=1) > 2))[:200]
    model = fit_label_model(votes, 2, gold=some(truth, easy[truth[easy] == (votes[easy] == 1).any(axis=1)]))
    assert model.chosen == "blend"


def test_answers_count_the_same_however_many_windows_there_are() -> None:
    votes, truth = alarms(0.2, 9, copies=False, n=30_000)
    gold = some(truth, np.arange(0, 30_000, 100))
    rare = np.full((400_000, votes.shape[1]), -1, np.int8)
    rare[::20][: len(votes)] = votes[:20_000]
    many = np.full(400_000, -1, np.int8)
    many[::20] = gold[:20_000]
    model = fit_label_model(rare, 2, gold=many, sampled=many >= 0)
    assert model.shares_from == "gold"
    assert model.candidates


def test_a_sample_and_what_was_learned_meet_in_the_middle() -> None:
    learned = np.array([0.5, 0.5])
    assert shares_from_sample(np.zeros(19, np.int8), learned) is None
    assert np.allclose(shares_from_sample(np.zeros(20, np.int8), learned), [0.75, 0.25])
    assert np.allclose(shares_from_sample(np.zeros(10_000, np.int8), learned), [1, 0], atol=0.01)


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
