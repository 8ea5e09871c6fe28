"""The integer score: close to its formula, monotone, and an alarm that does not flicker."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.runtime.scaling import MISSING_CODE
from components.runtime.scoring import Scoring
from components.runtime.surprise import Outputs, isqrt, log2_q8

STEPS, CHANNELS, WIDTH = 6, 2, 3
SCORING = Scoring(
    core=(1, 5),
    residual_input=3000,
    residual_output=2500,
    correction_zero=-7,
    channel_weight=(256, 512),
    knots=((-500, 0), (0, 128), (100, 512), (4000, 2000)),
    threshold=1000,
    raise_after=2,
    clear_after=3,
)


@given(st.integers(1, 2**62))
def test_log2_is_within_two_units(value):
    assert abs(int(log2_q8(np.asarray([value]))[0]) - 256 * np.log2(float(value))) < 2.0


@given(st.integers(-(2**62), 0))
def test_log2_of_nothing_is_zero(value):
    assert log2_q8(np.asarray([value]))[0] == 0


@given(st.lists(st.integers(0, 2**62), min_size=2, max_size=30))
def test_log2_rises(values):
    assert (np.diff(log2_q8(np.sort(np.asarray(values, np.int64)))) >= 0).all()


@given(st.integers(0, 2**62 - 1))
def test_the_integer_root_is_the_largest_whose_square_fits(value):
    root = int(isqrt(np.asarray([value]))[0])
    assert root**2 <= value < (root + 1) ** 2


@given(st.lists(st.integers(0, 16000), min_size=2, max_size=30))
def test_surprise_rises_and_stays_in_sixteen_bits(scores):
    surprise = SCORING.surprise(np.sort(np.asarray(scores, np.int64)))
    assert (np.diff(surprise) >= 0).all()
    assert surprise.min() >= 0
    assert surprise.max() <= 65535


def test_surprise_meets_its_knots():
    assert SCORING.surprise(np.asarray([k[0] for k in SCORING.knots])).tolist() == [k[1] for k in SCORING.knots]


@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2, 1.0]))
def test_the_score_is_the_formula_to_within_its_rounding(seed, missing):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (20, STEPS, CHANNELS)).astype(np.int8)
    codes[rng.random(codes.shape) < missing] = MISSING_CODE
    outputs = Outputs(
        rng.integers(-128, 128, codes.shape).astype(np.int8), rng.integers(-128, 128, (20, WIDTH)).astype(np.int8), {}
    )
    there = (codes != MISSING_CODE)[:, 1:5]
    difference = (codes * (3000 / 65536) - (outputs.correction.astype(float) + 7) * (2500 / 65536))[:, 1:5]
    squares = np.where(there, difference**2 * np.asarray([1.0, 2.0]), 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    residual = np.sqrt(squares).sum(axis=1) / np.maximum(there.any(axis=1).sum(axis=1), 1)
    exact = 1024 * residual
    got = 2 ** (SCORING.raw_score(codes, outputs) / 256)
    # Rounded down at 2^-10 from factors kept to 2^-10, and the logarithm to 1/256.
    assert (np.abs(got - np.maximum(exact, 1)) <= 4 + 0.01 * exact + 0.15 * np.sqrt(np.maximum(exact, 0))).all()


@given(st.lists(st.booleans(), max_size=60))
def test_an_alarm_needs_two_hot_windows_and_leaves_after_three_calm_ones(hot):
    surprise = np.where(np.asarray(hot, bool), SCORING.threshold, SCORING.threshold - 1).astype(np.int32)
    alarms = SCORING.alarms(surprise)
    for i in range(len(hot)):
        before = bool(alarms[i - 1]) if i else False
        if alarms[i] and not before:
            assert hot[i - 1]
            assert hot[i]
        if before and not alarms[i]:
            assert not any(hot[i - 2 : i + 1])
        if before and alarms[i] and i >= 2 and not any(hot[i - 2 : i + 1]):
            raise AssertionError("three calm windows did not clear the alarm")


def test_a_scoring_survives_json():
    assert Scoring.from_json(json.loads(json.dumps(SCORING.to_json()))) == SCORING
