"""However windows are parted and threads run, votes are the same; and a function that fails abstains where it fails."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.columns import FileColumns, FrameColumns, save_statistics
from components.labeling.functions.apply import Applied, apply_functions
from components.labeling.functions.calling import Fault
from components.labeling.functions.declaring import LabelingFunction
from components.labeling.functions.view import WindowView
from components.workspace.errors import InputError
from tests.labeling.made import function, view

CLASSES = ("good", "bad")


def high(w: WindowView) -> Any:
    return w.mean("pressure") > 0.5


def above_own_median(w: WindowView) -> Any:
    value = pd.Series(w.mean("pressure"))
    return (value > value.groupby(w.index["device_id"].to_numpy()).transform("median")).to_numpy()


def lasts(w: WindowView) -> Any:
    return w.lasting(w.mean("pressure") > 0, 1200)


def above_fleet_median(w: WindowView) -> Any:
    return w.mean("pressure") > np.nanmedian(w.mean("pressure"))


def odd_among_peers(w: WindowView) -> Any:
    return abs(w.against_peers(w.mean("pressure"))) > 1


def fails_on_large(w: WindowView) -> Any:
    if (w.mean("pressure") > 2).any():
        raise ValueError("too large")
    return w.mean("pressure") > 0


FUNCTIONS = [
    function(high, "window", "high"),
    function(above_own_median, "device", "above_own_median"),
    function(lasts, "device", "lasts"),
    function(above_fleet_median, "fleet", "above_fleet_median"),
    function(odd_among_peers, "fleet", "odd_among_peers"),
    function(fails_on_large, "window", "fails_on_large"),
]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    seed=st.integers(0, 99),
    part=st.integers(1, 40),
    threads=st.sampled_from([1, 3]),
)
def test_votes_and_faults_are_the_same_however_windows_are_parted(sizes: list[int], seed: int, part: int, threads: int) -> None:
    values = np.random.default_rng(seed).standard_normal(sum(sizes)).round(1)
    values[1::7] = np.nan
    w = view([(f"d{n}", range(size)) for n, size in enumerate(sizes)], {"pressure_mean": values})
    every = function(lambda w: np.ones(len(w), bool), "window", "every")
    whole = apply_functions([*FUNCTIONS, every], CLASSES, w, part=10**9, threads=1)
    parted = apply_functions([*FUNCTIONS, every], CLASSES, w, part=part, threads=threads)
    assert (whole.votes == parted.votes).all()
    assert whole.faults == parted.faults
    with np.errstate(invalid="ignore"):
        large = values > 2
    assert (whole.votes[:, 5] == np.where(~large & (values > 0), 1, -1)).all()
    assert sum(f.windows for f in whole.faults) == large.sum()


def test_columns_of_a_file_are_those_of_the_frame_in_any_slice(tmp_path: Any) -> None:
    frame = pd.DataFrame({"a": np.arange(70_000, dtype=np.float32), "b": np.ones(70_000, np.float32)})
    save_statistics(frame, tmp_path)
    on_file, in_memory = FileColumns(tmp_path), FrameColumns(frame)
    assert on_file.names == in_memory.names
    assert len(on_file) == len(in_memory)
    for begin, end in ((0, 70_000), (0, 1), (65_535, 65_537), (65_536, 65_536), (66_000, 70_000), (10, 65_536)):
        assert (on_file.read("a", begin, end) == in_memory.read("a", begin, end)).all()


def applied(*functions: LabelingFunction, values: Any = (0.0, 1.0, 3.0, 1.0)) -> Applied:
    return apply_functions(functions, CLASSES, view([("a", (0, 1)), ("b", (0, 1))], {"pressure_mean": values}), threads=1)


def test_a_function_that_raises_abstains_on_the_windows_that_make_it_raise_and_says_why() -> None:
    got = applied(function(fails_on_large, "window"), function(high, "window", "high"))
    assert got.votes[:, 0].tolist() == [-1, 1, -1, 1]
    (fault,) = got.faults
    line = fails_on_large.__code__.co_firstlineno + 2
    assert fault == Fault("f", 1, f"test_apply.py, line {line}: ValueError: too large")


def test_a_function_that_sees_devices_abstains_on_whole_devices() -> None:
    got = applied(function(fails_on_large, "device"), function(high, "window", "high"))
    assert got.votes[:, 0].tolist() == [-1, 1, -1, -1]
    assert got.faults[0].windows == 2


def test_a_function_that_sees_the_fleet_abstains_everywhere() -> None:
    got = applied(function(fails_on_large, "fleet"), function(high, "window", "high"))
    assert got.votes[:, 0].tolist() == [-1] * 4
    assert got.faults[0].windows == 4


def test_the_search_for_failing_windows_is_bounded() -> None:
    calls = 0

    def always(w: WindowView) -> Any:
        nonlocal calls
        calls += 1
        raise ValueError("no")

    w = view([("a", range(20_000))], {"pressure_mean": np.ones(20_000)})
    got = apply_functions([function(always, "window"), function(high, "window", "high")], CLASSES, w, threads=1)
    assert got.faults[0].windows == 20_000
    assert calls < 1100


def test_where_every_function_fails_or_abstains_the_first_fault_is_told() -> None:
    with pytest.raises(InputError, match=r"abstains on every window: f; .*too large"):
        applied(function(fails_on_large, "fleet"))


@pytest.mark.parametrize(
    ("body", "sees", "message"),
    [
        (lambda w: w.against_site(w.mean("pressure")) > 0, "window", 'against_site compares .* sees="window" does not see'),
        (lambda w: w.against_site(w.mean("pressure")) > 0, "device", "against_site compares"),
        (lambda w: w.against_peers(w.mean("pressure")) > 0, "device", "against_peers compares"),
        (lambda w: w.against_calibration(w.mean("pressure")) > 0, "window", "against_calibration compares"),
        (lambda w: w.lasting(w.mean("pressure") > 0, 60), "window", "lasting compares"),
        (lambda w: np.array([True]), "window", r"returned shape \(1,\), wanted \(4,\)"),
        (lambda w: np.arange(len(w)) > 1, "window", 'is declared sees="window", but what it votes depends on more'),
        (lambda w: np.arange(len(w)) > 1, "device", 'is declared sees="device", but what it votes depends on more'),
    ],
)
def test_a_function_that_looks_at_more_than_it_declared_is_refused(body: Any, sees: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        applied(function(body, sees))


def test_a_function_without_a_class_votes_in_numbers() -> None:
    got = applied(function(lambda w: np.where(w.mean("pressure") > 0.5, 0, -1), "window", votes=None))
    assert got.votes[:, 0].tolist() == [-1, 0, 0, 0]
    with pytest.raises(InputError, match="returned vote 2"):
        applied(function(lambda w: np.full(len(w), 2), "window", votes=None))


def test_statistics_alone_are_enough_for_functions_that_look_at_nothing_else() -> None:
    w = WindowView.of_statistics(pd.DataFrame({"pressure_mean": np.array([0, 1], np.float32)}))
    got = apply_functions([function(high, "window")], CLASSES, w)
    assert got.votes.tolist() == [[-1], [1]]


def test_changing_a_column_in_place_changes_it_for_nobody_else() -> None:
    def spoils(w: WindowView) -> Any:
        value = w.mean("pressure")
        value += 100
        return value < 0

    got = applied(function(spoils, "window", "spoils"), function(high, "window"))
    assert got.votes[:, 1].tolist() == [-1, 1, 1, 1]


class Watched(FrameColumns):
    """Columns that remember what was read of them."""

    def read(self, name: str, begin: int, end: int) -> Any:
        reads.append((name, end - begin))
        return super().read(name, begin, end)


reads: list[tuple[str, int]] = []


def test_functions_hold_no_more_than_a_part_of_the_columns_they_ask_for() -> None:
    reads.clear()
    frame = pd.DataFrame({f"{c}_mean": np.ones(1000, np.float32) for c in ("pressure", "flow", "level")})
    w = replace(view([("a", range(1000))]), columns=Watched(frame))
    functions = [function(high, "window", "high"), function(lambda w: w.mean("pressure") + w.mean("flow") > 0, "window")]
    apply_functions(functions, CLASSES, w, part=100, threads=2)
    assert {name for name, _ in reads} == {"pressure_mean", "flow_mean"}
    assert max(rows for _, rows in reads) == 100
    assert len(reads) == 20  # once a part, whatever the number of functions


@pytest.mark.slow
def test_ten_thresholds_on_a_million_windows_take_a_blink(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{n}_mean": rng.standard_normal(1_000_000, np.float32) for n in range(10)})
    functions = [function(lambda w, n=n: w.mean(f"c{n}") > 1.5, "window", f"f{n}") for n in range(10)]
    w = WindowView.of_statistics(frame)
    took = []
    for _ in range(3):
        before = time.process_time()
        got = apply_functions(functions, CLASSES, w, threads=1)
        took.append(time.process_time() - before)
    assert (got.votes == np.where(frame.to_numpy(np.float64) > 1.5, 1, -1)).all()
    assert min(took) < 0.2  # a quarter of it on an idle machine; a call a row takes tens of seconds


VANDALS = {
    "index": lambda w: w.index.__setitem__("device_id", "a"),
    "a column of the index": lambda w: w.index["device_id"].to_numpy().__setitem__(slice(None), "a"),
    "statistics": lambda w: w.mean("pressure").fill(0),
    "samples": lambda w: w.values("pressure").fill(9),
    "all samples": lambda w: w.samples.fill(9),
    "spans": lambda w: w.spans.clear(),
    "starts": lambda w: w.starts.fill(0),
    "ends": lambda w: w.ends.fill(0),
}


@pytest.mark.parametrize("case", VANDALS)
@pytest.mark.parametrize("sees", ["device", "fleet"])
def test_what_one_function_does_to_its_view_no_other_sees(case: str, sees: Any) -> None:
    """Else the order of the functions would decide what they vote."""

    def vandal(w: WindowView) -> Any:
        try:
            VANDALS[case](w)
        except ValueError as error:
            assert "read-only" in str(error)
        return np.zeros(len(w), bool)

    def honest(w: WindowView) -> Any:
        names = w.index["device_id"].to_numpy()
        late = np.concatenate([np.arange(b - a) > 0 for _, a, b in w.spans])
        return late & (names == "b") & (w.mean("pressure") > 0) & (w.values("pressure")[:, 0] == 0) & (w.ends > w.starts)

    devices = [("a", range(3)), ("b", range(3))]
    both = [function(vandal, sees, "vandal"), function(honest, sees, "honest")]
    made = view(devices, {"pressure_mean": np.ones(6)})
    votes = apply_functions(both, CLASSES, made, threads=1).votes
    assert (votes[:, 1] == 1).tolist() == [False, False, False, False, True, True]
    assert made.index["device_id"].tolist() == ["a"] * 3 + ["b"] * 3
    assert not made.samples.any()


def test_a_function_that_exits_fails_like_any_other() -> None:
    """Else the step would end there with exit code 0 and nothing done."""

    def leaves(w: WindowView) -> Any:
        raise SystemExit(0)

    applied = apply_functions([function(leaves, "window", "leaves"), function(high, "window", "high")], CLASSES, pressures())
    assert [(f.function, f.windows) for f in applied.faults] == [("leaves", 4)]
    assert "SystemExit" in applied.faults[0].message
    assert (applied.votes[:, 1] == 1).any()


def test_an_interrupt_is_the_persons_and_no_fault() -> None:
    def interrupted(w: WindowView) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_functions([function(interrupted, "window")], CLASSES, pressures(), threads=1)


@pytest.mark.parametrize(("votes", "said"), [("bad", True), (None, 1), (None, np.uint8(1))])
def test_what_a_masked_array_hides_is_no_vote(votes: str | None, said: Any) -> None:
    def masked(w: WindowView) -> Any:
        return np.ma.masked_array(np.full(len(w), said), mask=[False, True, False, True])

    applied = apply_functions([function(masked, "fleet", votes=votes)], CLASSES, pressures())
    assert applied.votes[:, 0].tolist() == [1, -1, 1, -1]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    w = pressures()
    with pytest.raises(InputError, match="no length of time"):
        w.lasting(w.mean("pressure") > 0, seconds)
    with pytest.raises(InputError, match="no time before a window's end"):
        w.reach(seconds)


def pressures() -> WindowView:
    return view([("a", range(4))], {"pressure_mean": [0, 1, 2, 0]})
