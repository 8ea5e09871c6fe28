"""The label model: probabilities, never worse than its bounds, blind to order, silent where all are silent."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score, f1_score

from components.ingestion.datasets import BESIDE, VARIABLE
from components.labeling.model import fit_label_model

MATRICES = Path(os.environ.get(VARIABLE) or BESIDE) / "lf_matrices"

matrices = st.integers(2, 4).flatmap(
    lambda k: st.tuples(
        st.just(k),
        arrays.arrays(np.int8, st.tuples(st.integers(1, 60), st.integers(3, 6)), elements=st.integers(-1, k - 1)).filter(
            lambda votes: (votes >= 0).any()
        ),
    )
)


@settings(deadline=None)
@given(matrices)
def test_probabilities_are_probabilities_and_silence_is_uncovered(case: tuple[int, np.ndarray]) -> None:
    classes, votes = case
    probabilities, covered = fit_label_model(votes, classes).probabilities(votes)
    assert probabilities.shape == (len(votes), classes)
    assert (probabilities >= 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (covered == (votes >= 0).any(axis=1)).all()


@settings(deadline=None)
@given(matrices, st.randoms(use_true_random=False))
def test_the_order_of_functions_and_windows_does_not_matter(case: tuple[int, np.ndarray], random) -> None:
    classes, votes = case
    columns, rows = list(range(votes.shape[1])), list(range(len(votes)))
    random.shuffle(columns)
    random.shuffle(rows)
    plain, _ = fit_label_model(votes, classes).probabilities(votes)
    shuffled = np.ascontiguousarray(votes[rows][:, columns])
    mixed, _ = fit_label_model(shuffled, classes).probabilities(shuffled)
    assert np.allclose(plain[rows], mixed, atol=1e-5)


@settings(deadline=None)
@given(matrices)
def test_renaming_the_classes_renames_the_probabilities(case: tuple[int, np.ndarray]) -> None:
    classes, votes = case
    renamed = np.where(votes >= 0, classes - 1 - votes, -1).astype(np.int8)
    plain, _ = fit_label_model(votes, classes).probabilities(votes)
    other, _ = fit_label_model(renamed, classes).probabilities(renamed)
    assert np.allclose(plain, other[:, ::-1], atol=1e-5)


def test_a_unanimous_vote_wins() -> None:
    votes = np.tile(np.array([[0, 0, 0], [1, 1, 1], [-1, 1, 1]], np.int8), (50, 1))
    probabilities, _ = fit_label_model(votes, 2).probabilities(votes)
    assert probabilities.argmax(axis=1).tolist() == [0, 1, 1] * 50


def alarms(share: float, seed: int, copies: bool, n: int = 30_000) -> tuple[np.ndarray, np.ndarray]:
    """Six alarm rules and four rules for normal windows, as engineers write them; with ``copies`` four vote alike."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    votes = np.full((n, 10), -1, np.int8)
    for j in range(6):
        fires = rng.random(n) < np.where(truth, rng.uniform(0.3, 0.7), rng.uniform(0.001, 0.02))
        votes[fires, j] = 1
        if copies and 0 < j < 4:
            votes[:, j] = np.where(rng.random(n) < 0.9, votes[:, 0], votes[:, j])
    for j in range(6, 10):
        votes[rng.random(n) < np.where(truth, rng.uniform(0.05, 0.2), rng.uniform(0.3, 0.7)), j] = 0
    return votes, truth


@pytest.mark.parametrize(
    ("share", "copies", "least_f1", "least_ap"), [(0.05, False, 0.9, 0.96), (0.01, False, 0.85, 0.93), (0.05, True, 0.6, 0.7)]
)
def test_rare_faults_are_found_without_knowing_how_rare(share: float, copies: bool, least_f1: float, least_ap: float) -> None:
    votes, truth = alarms(share, 1, copies)
    probabilities, covered = fit_label_model(votes, 2).probabilities(votes)
    score = np.where(covered, probabilities[:, 1], 0)
    assert f1_score(truth, score > 0.5) >= least_f1
    assert average_precision_score(truth, score) >= least_ap


@pytest.mark.skipif(not MATRICES.is_dir(), reason="the published vote matrices are not on this machine")
@pytest.mark.parametrize("name", ["trec", "sms", "tennis"])
def test_on_published_matrices_it_does_not_lose_to_majority_vote(name: str) -> None:
    data = np.load(MATRICES / f"{name}.npz")
    train, test, gold = data["L_train"].astype(np.int8), data["L_test"].astype(np.int8), data["Y_test"]
    classes = int(max(train.max(), test.max(), gold.max())) + 1
    probabilities, _ = fit_label_model(np.concatenate([train, test]), classes).probabilities(test)
    votes = np.stack([(test == v).sum(axis=1) for v in range(classes)], axis=1)
    ours, majority = (float((p.argmax(axis=1) == gold).mean()) for p in (probabilities, votes))
    assert ours >= majority - 0.01
