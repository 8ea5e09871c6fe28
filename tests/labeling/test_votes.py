"""Votes by the million: look-ups say what adding up says, and equal rows are counted, not repeated."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from components.labeling.model.estimates import estimates
from components.labeling.model.naive_bayes import believed_rates
from components.labeling.model.votes import patterns_of, scored

matrices = st.tuples(st.integers(2, 5), st.integers(1, 25), st.integers(1, 80)).flatmap(
    lambda size: st.tuples(st.just(size[0]), arrays.arrays(np.int8, (size[2], size[1]), elements=st.integers(-1, size[0] - 1)))
)


@settings(deadline=None)
@given(matrices, st.integers(0, 1000))
def test_looking_up_is_adding_up(case: tuple[int, np.ndarray], seed: int) -> None:
    classes, votes = case
    evidence = np.random.default_rng(seed).normal(size=(votes.shape[1], classes + 1, 3))
    wanted = evidence[np.arange(votes.shape[1]), votes + 1].sum(axis=1)
    for part, total, covered in scored(votes, evidence):
        assert np.allclose(total, wanted[part], atol=1e-4)
        assert (covered == (votes[part] >= 0).any(axis=1)).all()


@settings(deadline=None)
@given(matrices)
def test_patterns_hold_every_voting_window_once(case: tuple[int, np.ndarray]) -> None:
    classes, votes = case
    voting = votes[(votes >= 0).any(axis=1)]
    patterns = patterns_of(votes, classes)
    assert patterns.counts.sum() == len(voting)
    assert {tuple(r) for r in patterns.rows} == {tuple(r) for r in voting}
    assert len(patterns.rows) == len({tuple(r) for r in patterns.rows})


@given(
    arrays.arrays(np.float64, (4, 3), elements=st.floats(0.001, 0.3)),
    arrays.arrays(np.float64, (3,), elements=st.floats(0.05, 1)),
)
def test_believed_functions_fire_as_often_as_they_do(firing: np.ndarray, raw: np.ndarray) -> None:
    shares = raw / raw.sum()
    rates = believed_rates(firing, shares)
    assert (rates > 0).all()
    assert (rates <= 0.95 + 1e-12).all()
    assert np.allclose(np.einsum("y,jyv->jv", shares, rates), firing, atol=0.06)


def test_a_function_that_fires_more_often_than_its_class_occurs_is_not_believed() -> None:
    rates = believed_rates(np.array([[0.0, 0.6]]), np.array([0.8, 0.2]))
    precision = 0.2 * rates[0, 1, 1] / 0.6
    assert precision <= 0.2 * 0.95 / 0.6 + 1e-9


def test_estimates_are_wide_where_few_devices_speak() -> None:
    """The same windows, of two devices or of two hundred: only the second say something about other devices."""
    random = np.random.default_rng(0)
    truth = np.repeat(random.random(200) < 0.5, 50)
    votes = np.where(random.random(10_000) < 0.5, 1, -1).astype(np.int8)[:, None]
    said = np.eye(2, dtype=np.float32)[truth.astype(int)]
    covered = votes[:, 0] >= 0
    by_device = estimates(votes, said, covered, np.repeat(np.arange(200), 50)).precision[0, 1]
    by_window = estimates(votes, said, covered, None).precision[0, 1]
    assert by_device[0] == by_window[0]
    assert by_device[1] <= 0.5 <= by_device[2]
    assert by_device[2] - by_device[1] > 4 * (by_window[2] - by_window[1])
    assert np.isnan(estimates(votes, said, covered, None).precision[0, 0]).all()
