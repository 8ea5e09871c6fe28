"""A fleet's mean hides a part that loses everything; slices show it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.quantization.estimates import estimates
from components.quantization.slices import Answers, slice_checks
from components.workspace.profiles import Budget

from . import plant


@pytest.fixture(scope="module")
def judged():
    """300 windows of three sites, the smallest of which is answered wrongly by the device."""
    windows = plant.windows(devices=3, per_device=100)
    site = np.repeat(["north", "south", "tiny"], [200, 90, 10])
    windows = replace(windows, index=windows.index.assign(site=site, hardware_profile="test"))
    right = np.tile(np.arange(5, dtype=np.int8), 60)
    return windows, right, site


def checks(workspace, judged, wrong, **accuracy):
    windows, right, site = judged
    got = np.where(site == wrong, (right + 1) % 5, right).astype(np.int8)
    profile = plant.profile("onnxruntime", accuracy={"slices": ["site"], "min_rows": 50} | accuracy)
    rows = np.arange(len(right))
    found = slice_checks(
        workspace, profile, windows, rows, Answers(None, {"fault": right}, {}), Answers(None, {"fault": got}, {})
    )
    return {c.name: c for c in found}


def test_a_site_that_loses_its_answers_fails_while_the_others_pass(workspace, judged):
    found = checks(workspace, judged, "south")
    assert found["fault/label_agreement [site=north]"].passed
    assert not found["fault/label_agreement [site=south]"].passed


def test_a_slice_too_small_to_judge_is_named_with_its_size(workspace, judged):
    found = checks(workspace, judged, "tiny")
    assert all(c.passed for c in found.values())
    assert found["windows [site=tiny]"].value == 10
    assert not checks(workspace, judged, "tiny", min_rows=10)["fault/label_agreement [site=tiny]"].passed


def test_a_slice_may_have_a_limit_of_its_own(workspace, judged):
    assert checks(workspace, judged, "south", min_label_agreement=0.0)["fault/label_agreement [site=south]"].passed


def test_classes_are_slices_too(workspace, judged):
    found = checks(workspace, judged, "south", slices=["class"])
    assert {f"fault/label_agreement [fault={name}]" for name in plant.CLASSES} == found.keys()
    assert not any(c.passed for c in found.values())


def test_a_metric_that_falls_in_one_site_fails_there(workspace, judged, tmp_path):
    windows, right, _ = judged
    truth = windows.index.assign(task="fault", value=[plant.CLASSES[c] for c in right])
    truth[["device_id", "start", "end", "task", "value"]].to_csv(tmp_path / "truth.csv", index=False)
    evaluation = workspace.settings.evaluation.model_copy(update={"truth": "truth.csv"})
    told = replace(workspace, root=tmp_path, settings=workspace.settings.model_copy(update={"evaluation": evaluation}))
    found = checks(told, judged, "south", max_metric_drop=0.1)
    assert found["fault/macro_f1/drop [site=north]"].value == 0
    assert not found["fault/macro_f1/drop [site=south]"].passed
    assert found["fault/macro_f1/drop [site=south]"].limit == 0.1


@pytest.mark.parametrize("slices", [[], ["firmware_version"], ["hardware_profile"]])
def test_slices_that_are_the_whole_or_none_change_nothing(workspace, judged, slices):
    assert all(c.passed for c in checks(workspace, judged, "nowhere", slices=slices).values())


@given(instructions=st.integers(1, 10**9), clock=st.floats(1, 1000), low=st.floats(0.5, 2), more=st.floats(0, 3))
def test_time_is_a_range_around_instructions_over_the_clock(instructions, clock, low, more):
    budget = Budget(clock_mhz=clock, cpi=(low, low + more), power_mw=10.0)
    found = {c.name: c for c in estimates(budget, instructions)}
    assert found["time_low"].value <= found["time_high"].value
    assert found["time_low"].value == pytest.approx(instructions * low / (clock * 1e6) * 1e3)
    assert found["energy_high"].value == pytest.approx(found["time_high"].value * 10)
    assert all(c.passed and c.limit is None for c in found.values())


def test_a_time_budget_binds_the_upper_end_of_the_estimate():
    tight = Budget(clock_mhz=100.0, cpi=(1.0, 2.0), latency_ms=15.0, power_mw=20.0, energy_uj=500.0)
    found = {c.name: c for c in estimates(tight, 1_000_000)}
    assert (found["time_low"].value, found["time_high"].value, found["energy_high"].value) == (10, 20, 400)
    assert not found["time_high"].passed
    assert found["energy_high"].passed


def test_without_a_count_a_clock_and_cycles_there_is_no_estimate():
    assert estimates(Budget(clock_mhz=80.0), 1000) == []
    assert estimates(Budget(clock_mhz=80.0, cpi=(1.0, 2.0)), None) == []
