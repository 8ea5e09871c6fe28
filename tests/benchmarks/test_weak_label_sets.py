"""The vote matrices of the benchmark follow from their seeds, and its scores are what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.weak_labels import scores, sets
from benchmarks.weak_labels.models import Opinion, majority
from benchmarks.weak_labels.rows import Line
from benchmarks.weak_labels.rules import keyword_votes, tree_votes


def test_a_seed_makes_a_set_and_another_seed_another() -> None:
    first, again, other = (sets.rare_faults(0.05, True, seed) for seed in (4, 4, 5))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_faults_are_as_rare_as_asked_and_copies_agree_more_than_their_accuracy_explains() -> None:
    one = sets.rare_faults(0.05, True, 4)
    calm = one.gold == 0
    assert one.gold.mean() == pytest.approx(0.05, abs=0.003)
    fired = one.test[calm] == 1
    assert (fired[:, 0] & fired[:, 1]).mean() > 10 * fired[:, 0].mean() * fired[:, 1].mean()


def test_tree_rules_speak_for_every_class_and_beat_chance_together() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, 600)
    features = random.normal(0, 1, (600, 6)) + truth[:, None]
    votes = tree_votes(features, truth, 2, np.arange(300), random)
    assert set(np.unique(votes)) == {-1, 0, 1}
    said = votes[300:] >= 0
    assert (votes[300:] == truth[300:, None])[said].mean() > 0.6


def test_keyword_rules_vote_where_a_word_stands() -> None:
    texts = np.asarray(["lights on please", "turn lights off", "play a song", "a song please"] * 20, object)
    truth = np.asarray([1, 1, 0, 0] * 20)
    votes = keyword_votes(texts, truth, 2, np.arange(80), np.random.default_rng(1))
    assert (votes[:, 1::2] != 0).all()
    assert (votes[truth == 1] == 1).any()
    assert not (votes[truth == 0] == 1).any()


def test_majority_vote_splits_ties_and_decides_them_by_lot() -> None:
    votes = np.asarray([[0, 1, -1], [1, 1, 0], [-1, -1, -1]] * 200, np.int8)
    said = majority(votes, 2, 0)
    assert said.probabilities[0].tolist() == [0.5, 0.5]
    assert (said.decided[1::3] == 1).all()
    assert 0.4 < said.decided[0::3].mean() < 0.6


def test_scores_on_an_answer_that_is_known() -> None:
    gold = np.asarray([1, 1, 0, 0], np.int8)
    one = sets.VoteSet("known", 2, gold[:, None], gold[:, None], gold, np.asarray([0.5, 0.5]))
    said = Opinion(np.asarray([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2], [0.9, 0.1]]), np.asarray([1, 0, 0, 0]))
    assert scores.f1(said, one) == pytest.approx(2 / 3)
    assert scores.average_precision(said, one) == 1
    assert scores.share_ratio(said, one) == 0.5
    assert scores.log_loss(said, one) == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.9]).mean())


def test_an_aim_is_met_on_its_own_side() -> None:
    assert Line("speed", "", "", "times", 5, 3).met
    assert not Line("loss", "", "", "points", 5, 3, below=True).met
