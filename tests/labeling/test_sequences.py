"""Windows in sequence: the chain is exact, learns how long states last, and cuts long sequences without a trace."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from components.labeling.model import fit_label_model, sequences
from components.labeling.model.sequences import fit_stay, forward_backward, smoothed
from tests.labeling.test_label_model import alarms

SHARES = {2: np.array([0.8, 0.2]), 3: np.array([0.5, 0.3, 0.2])}


@settings(deadline=None)
@given(st.integers(2, 3), st.integers(1, 5), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_the_chain_says_what_summing_over_all_paths_says(classes: int, steps: int, stay: float, seed: int) -> None:
    likelihood = np.random.default_rng(seed).uniform(0.05, 1, (steps, classes, 1)).astype(np.float32)
    shares = SHARES[classes]
    wanted = np.zeros((steps, classes))
    for path in itertools.product(range(classes), repeat=steps):
        weight = shares[path[0]]
        for before, after in itertools.pairwise(path):
            weight *= stay * (before == after) + (1 - stay) * shares[after]
        for t, c in enumerate(path):
            weight *= likelihood[t, c, 0]
        for t, c in enumerate(path):
            wanted[t, c] += weight
    wanted /= wanted.sum(axis=1, keepdims=True)
    assert np.allclose(forward_backward(likelihood, shares, stay)[:, :, 0], wanted, atol=1e-4)


def states(stay: float, seed: int, devices: int = 60, steps: int = 200) -> np.ndarray:
    random = np.random.default_rng(seed)
    truth = np.empty((devices, steps), np.int64)
    truth[:, 0] = random.random(devices) < 0.2
    for t in range(1, steps):
        fresh = random.random(devices) < 0.2
        truth[:, t] = np.where(random.random(devices) < stay, truth[:, t - 1], fresh)
    return truth


@pytest.mark.parametrize("stay", [0.8, 0.9, 0.98])
def test_how_long_states_last_is_learned(stay: float) -> None:
    truth = states(stay, 1).ravel()
    sure = np.log(np.where(np.eye(2)[truth] == 1, 0.98, 0.02)) / sequences.TEMPER  # as if not tempered
    assert abs(fit_stay(sure, SHARES[2], np.repeat(np.arange(60), 200)) - stay) < 0.04


def test_the_order_of_devices_and_their_lengths_do_not_matter() -> None:
    random = np.random.default_rng(2)
    lengths = random.integers(1, 40, 50)
    ids = np.repeat(np.arange(50), lengths)
    evidence = random.normal(0, 2, (len(ids), 2)).astype(np.float32)
    own = random.dirichlet([1, 1], len(ids)).astype(np.float32)
    together = smoothed(evidence, own, SHARES[2], 0.9, ids)
    for device in (0, 17, 49):
        mine = ids == device
        assert np.allclose(together[mine], smoothed(evidence[mine], own[mine], SHARES[2], 0.9, ids[mine]), atol=1e-5)


def test_a_very_long_sequence_is_cut_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    evidence = random.normal(0, 2, (6000, 2)).astype(np.float32)
    own, ids = np.full((6000, 2), 0.5, np.float32), np.zeros(6000, np.int64)
    cut = smoothed(evidence, own, SHARES[2], 0.9, ids)
    monkeypatch.setattr(sequences, "_LONGEST", 10**9)
    assert np.abs(cut - smoothed(evidence, own, SHARES[2], 0.9, ids)).max() < 1e-5


def test_neighbours_lift_what_single_windows_cannot_tell() -> None:
    truth = states(0.95, 4).ravel()
    random = np.random.default_rng(4)
    votes = np.full((len(truth), 6), -1, np.int8)
    for j in range(6):
        fires = random.random(len(truth)) < np.where(truth == 1, 0.25, 0.05)
        votes[fires if j < 3 else random.random(len(truth)) < np.where(truth == 1, 0.2, 0.5), j] = int(j < 3)
    ids = np.repeat(np.arange(60), 200)
    single, _ = fit_label_model(votes, 2).probabilities(votes)
    model = fit_label_model(votes, 2, sequences=ids)
    followed, covered = model.probabilities(votes, ids)
    assert model.chosen == "temporal"
    assert average_precision_score(truth, followed[:, 1]) > average_precision_score(truth, single[:, 1]) + 0.05
    assert (covered == (votes >= 0).any(axis=1)).all(), "a window without a vote stays unlabelled whatever its neighbours are"


def test_windows_out_of_sequence_are_judged_by_themselves() -> None:
    votes, _ = alarms(0.1, 5, copies=False, n=2000)
    each = np.arange(2000)
    model = fit_label_model(votes, 2, sequences=each)
    assert np.abs(model.probabilities(votes, each)[0] - model.probabilities(votes)[0]).max() < 0.5
