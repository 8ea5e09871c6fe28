"""A good release is halted by chance no more often than promised, however often and however late one looks."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.rollout.eprocess import above, better_than, more_often, needed, worse_than

RUNS = 4000


def product(n: int, f: int, null: Fraction, alternative: Fraction) -> Fraction:
    return (alternative / null) ** f * ((1 - alternative) / (1 - null)) ** (n - f)


@given(st.integers(0, 60), st.data())
def test_evidence_is_the_mean_of_likelihood_ratios(n: int, data: st.DataObject) -> None:
    """Against exact fractions."""
    f = data.draw(st.integers(0, n))
    p0 = Fraction(2, 100)
    worse = [p0 * k for k in (2, 4, 6, 10, 20)] + [Fraction(95, 100)]
    mean = sum(stake * product(n, f, p0, q) for stake, q in zip((2, 6, 6, 3, 2, 1), worse, strict=True)) / 20
    assert float(worse_than(n, f, 0.02)) == pytest.approx(log(mean), abs=1e-9)
    pmax = Fraction(1, 10)
    better = [pmax * Fraction(k, 100) for k in (0, 2, 10, 25, 50)]
    mean = sum(product(n, f, pmax, q) for q in better) / len(better)
    assert float(better_than(n, f, 0.1)) == pytest.approx(log(mean), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("lag", ["none", "failures first", "successes first"])
def test_looking_at_every_report_halts_a_good_release_no_more_often_than_promised(lag: str) -> None:
    rng = np.random.default_rng(11)
    failed = rng.random((RUNS, 400)) < 0.02
    known = np.cumsum(failed, axis=1)
    enrolled = np.arange(1, 401)
    if lag == "failures first":  # every failure of the next fifty devices is known before they are counted as fine
        known = np.take_along_axis(known, np.minimum(enrolled + 49, 399)[None, :].repeat(RUNS, 0), 1)
        enrolled = np.minimum(enrolled + 50, 400)
    elif lag == "successes first":
        known = np.concatenate([np.zeros((RUNS, 50), int), known[:, :-50]], axis=1)
    halted = (worse_than(enrolled, known, 0.02) >= log(100)).any(1)
    assert halted.mean() <= 0.01


@pytest.mark.slow
def test_a_bad_release_is_seen_early() -> None:
    rng = np.random.default_rng(12)
    known = np.cumsum(rng.random((RUNS, 400)) < 0.1, axis=1)
    reached = worse_than(np.arange(1, 401), known, 0.02) >= log(100)
    assert reached[:, -1].mean() > 0.97
    assert np.median(reached.argmax(1)) < 75


@pytest.mark.slow
def test_a_release_at_the_intolerable_rate_is_promoted_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(13)
    known = np.cumsum(rng.random((RUNS, 2000)) < 0.1, axis=1)
    assert (better_than(np.arange(1, 2001), known, 0.1) >= log(20)).any(1).mean() <= 0.05


@given(n=st.integers(1, 5000), failures=st.integers(0, 200), pending=st.integers(0, 200))
def test_what_is_not_known_yet_never_speaks_for_a_step(n: int, failures: int, pending: int) -> None:
    """Pending as fine makes halting harder, pending as failed makes promotion harder."""
    total = n + failures + pending
    assert worse_than(total, failures, 0.02) <= worse_than(total, failures + pending, 0.02) + 1e-9
    assert better_than(total, failures + pending, 0.1) <= better_than(total, failures, 0.1) + 1e-9


def test_a_million_devices_neither_overflow_nor_underflow() -> None:
    assert worse_than(1_000_000, 20_000, 0.02) < -1000
    assert np.isfinite(worse_than(1_000_000, 900_000, 0.02))
    assert better_than(1_000_000, 0, 0.1) > 1000


@pytest.mark.parametrize(("intolerable", "failures"), [(0.01, 0), (0.05, 1), (0.1, 2), (0.5, 0)])
def test_the_size_that_a_gate_needs_is_the_least_that_can_decide(intolerable: float, failures: int) -> None:
    n = needed(intolerable, 0.05, failures)
    assert better_than(n, failures, intolerable) >= log(20) > better_than(n - 1, failures, intolerable)


def test_failing_as_often_as_the_control_group_is_no_reason_to_halt() -> None:
    rng = np.random.default_rng(14)
    values = [more_often(np.full(n, 0.8), rng.random(n) < 0.8) for n in rng.integers(1, 200, RUNS)]
    assert np.mean(np.array(values) >= log(100)) <= 0.01
    assert more_often(np.full(40, 0.5), np.ones(40, bool)) > log(100)


def test_readings_as_high_as_the_control_groups_are_no_reason_to_halt() -> None:
    rng = np.random.default_rng(15)
    wins = np.cumsum(rng.random((RUNS, 300)) < 0.5, axis=1)
    assert (above(wins, np.arange(1, 301)) >= log(100)).any(1).mean() <= 0.01
    assert above(60, 60) > log(100)
