"""Metrics equal their references and know nothing of luck."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.training.evaluation import macro_f1, window_classes
from components.training.placing import placed, step_truth
from components.training.vus import vus_pr
from components.workspace.errors import InputError

REFERENCE = json.loads((Path(__file__).parent / "vus_reference.json").read_text())
"""Values of the authors' implementation (TSB-AD 1.5, `generate_curve`, version 'opt', 250 thresholds)."""


@pytest.mark.parametrize("case", REFERENCE, ids=range(len(REFERENCE)))
def test_vus_pr_equals_the_authors_implementation(case: dict) -> None:
    labels = np.zeros(case["steps"], int)
    for first, last in case["anomalies"]:
        labels[first:last] = 1
    assert vus_pr(labels, np.asarray(case["scores"]), case["buffer_steps"]) == pytest.approx(case["vus_pr"], abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 2**31))
def test_a_perfect_score_beats_chance_and_both_stay_in_bounds(buffer: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.zeros(300, int)
    start = int(random.integers(0, 260))
    labels[start : start + int(random.integers(5, 40))] = 1
    perfect, chance = vus_pr(labels, labels + 0.0, buffer), vus_pr(labels, random.random(300), buffer)
    assert 0 <= chance < perfect <= 1 + 1e-9


def _index(starts: list[int], steps: int, device: str = "a") -> pd.DataFrame:
    start = pd.to_datetime(np.asarray(starts) * 60, unit="s", utc=True)
    return pd.DataFrame({"device_id": device, "start": start, "end": start + pd.Timedelta(minutes=steps)})


def _segments(*rows: tuple[int, int, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "device_id": ["a"] * len(rows),
            "start": pd.to_datetime([r[0] * 60 for r in rows], unit="s", utc=True),
            "end": pd.to_datetime([r[1] * 60 for r in rows], unit="s", utc=True),
            "value": [r[2] for r in rows],
        }
    )


def test_a_window_has_the_class_that_covers_half_of_it_and_else_the_first() -> None:
    index = _index([0, 10, 20, 30], 10)
    classes = window_classes(index, _segments((4, 20, "leak"), (26, 40, "wear")), ("normal", "wear", "leak"))
    assert classes.tolist() == [2, 2, 0, 1]


def test_a_class_the_task_does_not_know_is_an_input_error() -> None:
    with pytest.raises(InputError, match="none of the classes"):
        window_classes(_index([0], 10), _segments((0, 10, "rust")), ("normal", "leak"))


def test_a_step_scores_the_mean_of_the_windows_over_it_and_gaps_score_lowest() -> None:
    index = _index([0, 5, 20], 10)
    scores = placed(index, 60.0, (0, 10)).mean(np.asarray([1.0, 3.0, 5.0]))
    assert scores.tolist() == [1.0] * 5 + [2.0] * 5 + [3.0] * 5 + [1.0] * 5 + [5.0] * 10


def test_a_window_speaks_for_its_core_and_where_no_other_does_for_all_that_it_has() -> None:
    place = placed(_index([0, 4, 8, 30], 12), 60.0, (4, 8))
    scores = place.mean(np.asarray([1.0, 2.0, 3.0, 4.0]))
    assert scores.tolist() == [1.0] * 8 + [2.0] * 4 + [3.0] * 8 + [1.0] * 10 + [4.0] * 12
    assert np.flatnonzero(place.covered(np.asarray([False, True, False, False]))).tolist() == [8, 9, 10, 11]


@given(
    steps=st.integers(1, 12),
    strides=st.lists(st.integers(1, 15), min_size=1, max_size=8),
    core=st.tuples(st.integers(0, 11), st.integers(1, 12)),
)
def test_all_windows_together_speak_for_exactly_what_they_cover(steps: int, strides: list[int], core: tuple[int, int]) -> None:
    first = min(core[0], steps - 1)
    starts = np.cumsum([0, *strides])
    place = placed(_index(starts.tolist(), steps), 60.0, (first, max(first + 1, min(core[1], steps))))
    covered = np.zeros(place.steps, bool)
    covered[(starts[:, None] + np.arange(steps)).ravel()] = True
    assert np.array_equal(place.covered(np.ones(len(starts), bool)), covered)


def test_truth_is_read_on_the_sampling_grid_with_exclusive_ends() -> None:
    truth = step_truth(placed(_index([0, 10], 10), 60.0, (0, 10)), _segments((3, 5, "x"), (18, 99, "x")), 60.0)
    assert np.flatnonzero(truth).tolist() == [3, 4, 18, 19]


def test_macro_f1_counts_only_classes_that_occur() -> None:
    wanted, got = np.asarray([0, 0, 1, 1], np.int8), np.asarray([0, 1, 1, 1], np.int8)
    assert macro_f1(wanted, got, 5) == pytest.approx((2 / 3 + 4 / 5) / 2)
