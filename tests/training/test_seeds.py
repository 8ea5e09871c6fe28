"""Intervals over devices and seeds know both kinds of luck, and with one seed are those over devices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.training.judging.device import OnDevice
from components.training.judging.summary import Drawn, difference, draws_of, summarise
from components.training.judging.summary_numbers import summarise_numbers
from components.training.study.seed import MethodOutcome, SeedOutcome, check_held_out, check_truth
from components.training.study.seeds import OverSeeds, Seeds, both, over_seeds, two_way
from components.training.study.seeds_page import lead_rows, method_tables, note, seeds_page, shown
from components.values.curves import Point
from components.workspace.errors import InputError
from tests.training.quick import quick_windows, quick_workspace

UNITS = {"life": "cycles"}
SEEDS = st.integers(0, 2**31 - 1)


def _device(random: np.random.Generator, name: str) -> OnDevice:
    events, alarms = int(random.integers(1, 4)), int(random.integers(1, 5))
    found = int(random.integers(0, events + 1))
    return OnDevice(
        device=name,
        profile="gateway",
        windows=100,
        days=float(random.uniform(1, 3)),
        areas=(float(random.random()), float(random.random())),
        events=events,
        found=found,
        alarms=alarms,
        right=int(random.integers(0, alarms + 1)),
        delays=tuple(random.uniform(0, 1000, found).tolist()),
        hits=tuple((float(a), float(a)) for a in random.random(events)),
        confusion={"fault": random.integers(0, 20, (3, 3))},
        errors={"life": random.normal(0, 9, 5)},
    )


def _outcome(seed: int, draw: int | None = None, devices: int = 12) -> SeedOutcome:
    """A model and a baseline on devices about which everything is drawn; ``draw``: that of another seed."""
    random = np.random.default_rng(seed if draw is None else draw)
    methods = [MethodOutcome(name, True, tuple(_device(random, f"d{i}") for i in range(devices))) for name in ("model", "pca<b>")]
    curve = [
        Point("pre-train", step, part, 0.1, {"detection": 1.0 / step}) for step in (1, 2) for part in ("train", "validation")
    ]
    return SeedOutcome(seed, tuple(methods), UNITS, tuple(curve), ("a note",))


def _bounds(found: OverSeeds | None) -> tuple[float | None, ...]:
    assert found is not None
    return found.mean, found.low, found.high, found.devices


def _metric(areas: Sequence[Sequence[float]], seed: int = 7) -> OverSeeds:
    """A mean over devices; ``areas``: (seeds, devices)."""
    found = np.asarray(areas, float)
    draws = draws_of(found.shape[1], seed)
    metric = both([Drawn(draws @ row / found.shape[1], np.ones(len(row))) for row in found], seed)
    assert metric is not None
    return metric


def _width(metric: OverSeeds) -> float:
    assert metric.low is not None
    assert metric.high is not None
    return metric.high - metric.low


def test_with_one_seed_every_interval_is_the_one_over_devices_to_the_last_bit() -> None:
    outcome = _outcome(3)
    found = over_seeds("rig", [outcome], 7)
    for method, seen in zip(outcome.methods, found.methods, strict=True):
        wanted = summarise(method.devices, True, True, 7) | summarise_numbers(method.devices, UNITS, 7)
        assert {name: _bounds(metric) for name, metric in seen.metrics.items()} == {
            name: (m.value, m.low, m.high, m.devices) for name, m in wanted.items()
        }
        assert {metric.deviation for metric in seen.metrics.values()} == {None}
    assert {"vus_pr", "event_f1", "hit_rate_150", "fault/macro_f1", "life/rmse", "life/last_phm08"} < set(wanted)
    lead = difference(outcome.methods[0].devices, outcome.methods[1].devices, 7)
    assert lead is not None
    assert _bounds(found.methods[1].lead) == (lead.value, lead.low, lead.high, lead.devices)
    assert found.methods[0].lead is None


def test_seeds_that_are_the_same_add_no_spread() -> None:
    one = over_seeds("rig", [_outcome(3)], 7)
    same = over_seeds("rig", [_outcome(seed, draw=3) for seed in (3, 4, 5)], 7)
    for alone, together in zip(one.methods, same.methods, strict=True):
        for name, metric in together.metrics.items():
            assert _bounds(metric) == pytest.approx(_bounds(alone.metrics[name])), name
            assert metric.deviation == pytest.approx(0, abs=1e-9)


def test_seeds_that_differ_widen_the_interval() -> None:
    devices = np.random.default_rng(2).normal(0.5, 0.1, 20)
    same, other = _metric([devices] * 4), _metric([devices + shift for shift in (-0.1, -0.03, 0.03, 0.1)])
    assert other.mean == pytest.approx(same.mean)
    assert _width(other) > 1.5 * _width(same)
    assert other.deviation == pytest.approx(np.std([-0.1, -0.03, 0.03, 0.1], ddof=1))


def test_devices_that_agree_everywhere_leave_the_spread_of_seeds_alone() -> None:
    levels = (0.2, 0.6)
    found = _metric([[level] * 9 for level in levels])
    # of two seeds a quarter of the draws holds nothing but the lower, and a quarter nothing but the higher
    assert (found.low, found.high) == pytest.approx((min(levels), max(levels)))
    assert _width(_metric([[0.4] * 9])) == pytest.approx(0)


def test_the_width_is_that_of_two_independent_lucks() -> None:
    """Effects of devices and of seeds that add up: the variance of the mean is the sum of both, 95 % are 1.96 to both sides."""
    random = np.random.default_rng(4)
    devices, seeds = random.normal(0, 1, 100), random.normal(0, 0.5, 16)
    found = _metric(seeds[:, None] + devices)
    assert _width(found) == pytest.approx(2 * 1.96 * (devices.var() / 100 + seeds.var() / 16) ** 0.5, rel=0.15)


@given(SEEDS, st.integers(1, 16), st.integers(5, 30))
def test_bounds_are_ordered_and_hold_the_mean(seed: int, seeds: int, devices: int) -> None:
    found = _metric(np.random.default_rng(seed).random((seeds, devices)).tolist(), seed)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mean + 1e-12
    assert found.mean <= found.high + 1e-12
    assert min(v for v in found.of_seeds if v is not None) <= found.mean + 1e-12


@given(SEEDS, st.integers(1, 8))
def test_every_draw_lies_between_its_lowest_and_its_highest_seed(seed: int, seeds: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (seeds, 50))
    values[random.random(values.shape) < 0.3] = np.nan
    together = two_way(values, seed)
    silent = np.isnan(together)
    assert silent[np.isnan(values).all(axis=0)].all()
    said = values[:, ~silent]
    assert (np.nanmin(said, axis=0) - 1e-12 <= together[~silent]).all()
    assert (together[~silent] <= np.nanmax(said, axis=0) + 1e-12).all()


def test_a_seed_that_says_nothing_of_a_metric_is_left_out_of_its_mean() -> None:
    quiet, loud = _outcome(1), _outcome(2)
    silenced = tuple(replace(d, alarms=0, right=0, found=0, delays=()) for d in quiet.methods[0].devices)
    quiet = replace(quiet, methods=(replace(quiet.methods[0], devices=silenced), quiet.methods[1]))
    metric = over_seeds("rig", [quiet, loud], 7).methods[0].metrics["event_precision"]
    assert metric.of_seeds[0] is None
    assert metric.mean == metric.of_seeds[1]
    assert metric.deviation is None


def test_a_kept_outcome_says_the_same_as_the_one_that_was_kept() -> None:
    outcomes = [_outcome(seed) for seed in (3, 4)]
    again = [SeedOutcome.from_json(json.loads(json.dumps(outcome.to_json()))) for outcome in outcomes]
    assert over_seeds("rig", again, 7) == over_seeds("rig", outcomes, 7)


def test_a_model_that_cannot_be_judged_is_not_worth_a_training(tmp_path: Path) -> None:
    windows = quick_windows()
    check_held_out(windows)
    with pytest.raises(InputError, match="nothing is held out"):
        check_held_out(replace(windows, index=windows.index.assign(split="train")))
    workspace = quick_workspace(tmp_path)
    with pytest.raises(InputError, match="no truth of any task"):
        check_truth(workspace)
    evaluation = workspace.settings.evaluation.model_copy(update={"truth": "truth.csv"})
    declared = replace(workspace, settings=workspace.settings.model_copy(update={"evaluation": evaluation}))
    row = "d1,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z"
    for task, known in (("elsewhere", False), ("fault", True)):
        (tmp_path / "truth.csv").write_text(f"device_id,start,end,task,value\n{row},{task},leak\n")
        with nullcontext() if known else pytest.raises(InputError, match="no truth of any task"):
            check_truth(declared)


def _seeds(*numbers: int) -> Seeds:
    return over_seeds("rig", [_outcome(number) for number in numbers], 7)


def test_the_page_has_every_metric_and_seed_and_text_stays_text() -> None:
    found = _seeds(3, 4, 5)
    page = seeds_page(found)
    assert page == seeds_page(found)
    assert "pca<b>" not in page
    assert page.count("<svg") == 2, "intervals, and the curves of the one phase"
    for text in ("VUS-PR", "life RMSE", "fault macro-F1", "median delay, s", "a note", "seed 5"):
        assert text in page, text
    assert [row[0] for row in lead_rows(found)] == ["pca<b>"]
    assert all(len(columns) <= 5 for columns, _ in method_tables(found))


def test_one_seed_claims_nothing_about_luck() -> None:
    found = _seeds(3)
    assert "over 12 devices alone" in note(found)
    assert "±" not in seeds_page(found)


def test_curves_of_as_many_seeds_as_one_may_ask_for_have_their_names_inside_the_plot() -> None:
    page = seeds_page(_seeds(*range(16)))
    assert page.count(">seed ") == 16
    names = [float(part.split('y="')[1].split('"')[0]) for part in page.split("<text") if ">seed " in part]
    assert max(names) < 210
    assert len(set(names)) == 16


def test_numbers_are_shown_with_the_decimals_of_their_size() -> None:
    assert shown(OverSeeds(0.8712, 0.0041, 0.84, 0.9, 5, (0.8712,))) == "0.871 ± 0.004 (0.840 to 0.900)"
    assert shown(OverSeeds(45_540.0, 12.4, 99.0, 60_000.0, 5, (1.0,))) == "45,540 ± 12 (99 to 60,000)"
    assert shown(OverSeeds(0.5, None, None, None, 1, (0.5,))) == "0.500"
    assert shown(None) == ""
