"""A device stands apart from its neighbours by their median and deviation, its own value left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.labeling.functions.peers import LEAST_PEERS, against_peers
from components.workspace.errors import InputError
from tests.labeling.made import view

VALUE = st.one_of(st.just(float("nan")), st.integers(-5, 5).map(float), st.floats(-100, 100).map(lambda x: round(x, 3)))


def one_by_one(values: list[float], start: list[int], group: list[int]) -> list[float]:
    """The definition, a window at a time."""
    said = []
    for i, value in enumerate(values):
        others = [v for j, v in enumerate(values) if j != i and start[j] == start[i] and group[j] == group[i] and not np.isnan(v)]
        if np.isnan(value) or len(others) < LEAST_PEERS:
            said.append(np.nan)
            continue
        middle = float(np.median(others))
        spread = 1.4826 * float(np.median(np.abs(np.asarray(others) - middle)))
        away = value - middle
        said.append(0.0 if away == 0 else away / spread if spread else np.inf * np.sign(away))
    return said


@given(st.lists(st.tuples(VALUE, st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=30))
def test_deviations_are_those_of_the_definition(rows: list[tuple[float, int, int]]) -> None:
    values, start, group = (list(column) for column in zip(*rows, strict=True))
    got = against_peers(np.asarray(values), np.asarray(start), np.asarray(group))
    np.testing.assert_allclose(got, one_by_one(values, start, group), rtol=1e-9, atol=1e-12)


def test_groups_are_sites_profiles_or_the_whole_fleet() -> None:
    w = view([(f"d{n}", [0]) for n in range(8)], site=["a"] * 4 + ["b"] * 4)
    column = np.array([1.0, 1.1, 0.9, 3.0, 5.1, 5.0, 2.0, 4.0])
    assert w.against_peers(column, by="site")[3] > 10
    assert abs(w.against_peers(column, by="fleet")[3]) < 1
    assert np.allclose(w.against_peers(column, by="fleet"), w.against_peers(column, by="hardware_profile"))


def test_an_unknown_group_is_named() -> None:
    try:
        view([("a", [0])]).against_peers(np.zeros(1), by="town")
    except InputError as error:
        assert "no group 'town'" in error.message
    else:
        raise AssertionError


def test_windows_that_start_at_other_times_are_no_peers() -> None:
    w = view([(f"d{n}", [n]) for n in range(5)])
    assert np.isnan(w.against_peers(np.arange(5.0), by="fleet")).all()


def test_a_thousand_devices_take_no_longer_than_sorting_them() -> None:
    devices, starts = 1000, 50
    rng: Any = np.random.default_rng(0)
    start = np.tile(np.arange(starts), devices)
    got = against_peers(rng.standard_normal(devices * starts), start, np.zeros_like(start))
    assert abs(np.std(got) - 1) < 0.05
