"""The label model: probabilities, never worse than its bounds, blind to order, silent where all are silent."""

import os
import subprocess
import sys
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


@pytest.mark.parametrize(("share", "least_f1", "least_ap"), [(0.05, 0.9, 0.96), (0.01, 0.85, 0.93)])
def test_rare_faults_are_found_without_knowing_how_rare(share: float, least_f1: float, least_ap: float) -> None:
    f1, precision, excess = [], [], []
    for seed in (1, 2, 3):
        votes, truth = alarms(share, seed, copies=False, n=100_000)
        model = fit_label_model(votes, 2)
        probabilities, covered = model.probabilities(votes)
        decided = model.decided(probabilities, covered) == 1
        f1.append(f1_score(truth, decided))
        precision.append(average_precision_score(truth, np.where(covered, probabilities[:, 1], 0)))
        excess.append(decided.mean() / truth.mean())
    assert np.mean(f1) >= least_f1
    assert np.mean(precision) >= least_ap
    assert 1 / 1.3 <= np.exp(np.mean(np.log(excess))) <= 1.3


def test_copies_count_as_little_more_than_one_and_are_named() -> None:
    votes, truth = alarms(0.05, 1, copies=True)
    model = fit_label_model(votes, 2)
    assert model.voters.weights[:4].sum() < 2
    assert (model.voters.weights[4:] == 1).all()
    assert {(p.first, p.second) for p in model.voters.pairs} == {(i, j) for i in range(4) for j in range(i + 1, 4)}
    assert all(p.agreement > p.expected for p in model.voters.pairs)
    alone, _ = fit_label_model(np.ascontiguousarray(votes[:, [0, *range(4, 10)]]), 2).probabilities(votes[:, [0, *range(4, 10)]])
    together, _ = model.probabilities(votes)
    assert average_precision_score(truth, together[:, 1]) > average_precision_score(truth, alone[:, 1]) - 0.02


def test_shares_that_are_known_are_kept() -> None:
    votes, _ = alarms(0.05, 2, copies=False)
    model = fit_label_model(votes, 2, shares=np.array([0.9, 0.1]))
    assert np.allclose(model.voters.shares, [0.9, 0.1])
    assert model.shares_from == "given"
    assert not any("class_shares" in note for note in model.notes)


def test_half_of_the_windows_say_the_same_as_all_of_them() -> None:
    votes, _ = alarms(0.05, 3, copies=False)
    model = fit_label_model(votes, 2)
    whole, _ = model.probabilities(votes)
    assert (model.probabilities(votes[::2])[0] == whole[::2]).all()


def test_many_functions_and_windows_are_fitted_on_a_sample() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 100_000)
    votes = np.full((100_000, 24), -1, np.int8)
    for j in range(24):
        fires = random.random(len(truth)) < 0.3
        votes[fires, j] = np.where(random.random(fires.sum()) < 0.7, truth[fires], random.integers(0, 3, fires.sum()))
    model = fit_label_model(votes, 3)
    probabilities, _ = model.probabilities(votes)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.97
    assert np.allclose(model.voters.shares, 1 / 3, atol=0.02)


IN_ANOTHER_PROCESS = """
import hashlib, numpy as np
from components.labeling.model import fit_label_model
random = np.random.default_rng(5)
votes = random.integers(-1, 3, (5000, 14)).astype(np.int8)
gold = np.where(random.random(5000) < 0.02, random.integers(0, 3, 5000), -1).astype(np.int8)
model = fit_label_model(votes, 3, gold=gold, sequences=np.repeat(np.arange(50), 100))
said, _ = model.probabilities(votes, np.repeat(np.arange(50), 100), gold)
print(model.version, hashlib.sha256(said.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_two_processes_agree_to_the_bit() -> None:
    def run(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        return subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert run("1") == run("2")


BAD = {
    "a vote outside": (np.array([[0, 3, 1]], np.int8), {}, "vote 3 is outside -1..1"),
    "a vote below": (np.array([[0, -2, 1]], np.int8), {}, "vote -2 is outside"),
    "silence": (np.full((4, 3), -1, np.int8), {}, "every function abstains"),
    "no windows": (np.empty((0, 3), np.int8), {}, "votes have shape"),
    "shares of another task": (np.array([[0, 1, 1]], np.int8), {"shares": np.array([0.2, 0.3, 0.5])}, "class shares have shape"),
    "gold of other windows": (np.array([[0, 1, 1]], np.int8), {"gold": np.array([1, 1], np.int8)}, "gold has shape"),
    "gold outside": (np.array([[0, 1, 1]], np.int8), {"gold": np.array([2], np.int8)}, "gold label is outside"),
    "shares that are no numbers": (np.array([[0, 1, 1]], np.int8), {"shares": np.array([np.nan, 1.0])}, "shares must be numbers"),
    "negative shares": (np.array([[0, 1, 1]], np.int8), {"shares": np.array([-0.5, 1.5])}, "shares must be numbers"),
    "votes of another kind": (np.array([[0, 1, 1]], np.int64), {}, "votes are int64, wanted int8"),
    "other sequences": (np.array([[0, 1, 1]], np.int8), {"sequences": np.array([1, 1])}, "sequences has shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_do_not_fit_are_refused(case: str) -> None:
    votes, others, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        fit_label_model(votes, 2, **others)


def test_votes_for_one_class_only_are_said_to_teach_nothing() -> None:
    votes = np.where(np.random.default_rng(0).random((500, 4)) < 0.3, 1, -1).astype(np.int8)
    model = fit_label_model(votes, 2)
    assert any("one class" in note for note in model.notes)
    assert np.isfinite(model.probabilities(votes)[0]).all()


def test_a_vote_that_was_never_cast_before_counts_as_believed() -> None:
    """A function that voted for one class only while the model was fitted may vote for another later."""
    votes, _ = alarms(0.3, 4, copies=False, n=5000)
    model = fit_label_model(votes, 2)
    turned = np.full((1, 10), -1, np.int8)
    turned[0, 9] = 1
    assert model.probabilities(turned)[0][0, 1] > model.voters.shares[1]


def majority(votes: np.ndarray, classes: int) -> np.ndarray:
    """(windows, classes) shares of the votes, ties split."""
    cast = np.stack([(votes == v).sum(axis=1) for v in range(classes)], axis=1)
    top = cast == cast.max(axis=1, keepdims=True)
    return top / top.sum(axis=1, keepdims=True)


@pytest.mark.skipif(not MATRICES.is_dir(), reason="the published vote matrices are not on this machine")
@pytest.mark.parametrize("name", ["trec", "sms", "tennis"])
def test_on_published_matrices_it_does_not_lose_to_majority_vote(name: str) -> None:
    data = np.load(MATRICES / f"{name}.npz")
    test, gold = data["L_test"].astype(np.int8), data["Y_test"]
    classes = int(max(test.max(), gold.max())) + 1
    model = fit_label_model(test, classes)
    probabilities, covered = model.probabilities(test)
    decided = model.decided(probabilities, covered)
    decided[~covered] = model.voters.shares.argmax()
    assert (decided == gold).mean() >= majority(test, classes)[np.arange(len(gold)), gold].mean() - 0.01
    right = probabilities[np.arange(len(gold)), gold]
    theirs = np.maximum(majority(test, classes)[np.arange(len(gold)), gold], 1e-6)
    assert -np.log(right).mean() < -np.log(theirs).mean()
