"""The surprise of an artefact is a share of normal windows, in the artefact's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.models.calibration import knots
from components.models.selection import held_out, normal_windows, range_windows
from components.runtime.engines import open_engine
from components.workspace.errors import InputError

from . import plant


@given(st.lists(st.integers(-100, 10_000), min_size=2, max_size=500))
def test_knots_rise_whatever_the_scores(scores):
    pairs = np.asarray(knots(np.asarray(scores, np.int64)))
    assert len(pairs) >= 2
    assert (np.diff(pairs, axis=0) > 0).all()


def test_b_bits_of_surprise_are_reached_by_a_share_of_two_to_the_minus_b():
    scores = np.random.default_rng(1).permutation(4096)
    for score, surprise in knots(scores):
        share = (scores >= score).mean()
        assert abs(-256 * np.log2(share) - surprise) < 20


def test_the_stated_share_of_normal_windows_reaches_the_threshold(build, windows, model):
    artefact = build("onnxruntime")
    codes = normal_windows(model, windows)
    engine = open_engine(artefact.runtime, artefact.members, artefact.tensors)
    share = (artefact.scoring.verdict(codes, engine(codes)).surprise >= artefact.scoring.threshold).mean()
    assert share == pytest.approx(model.false_alarm_share, abs=2 / len(codes))


def test_ranges_are_set_by_the_wildest_windows_too(windows):
    chosen = range_windows(windows).astype(np.int64)
    train = windows.codes[windows.train].astype(np.int64)
    energy = np.where(train == -128, 0, train) ** 2
    wildest = train[energy.mean(axis=(1, 2)).argmax()]
    assert (chosen == wildest).all(axis=(1, 2)).any()


def test_held_out_windows_are_whole_devices_and_never_training_ones(windows):
    rows = held_out(windows, 130)
    devices = windows.index["device_id"].to_numpy()
    assert not windows.train[rows].any()
    assert set(devices[rows]) == {"d4"} or set(devices[rows]) == {"d5"}
    assert (devices == devices[rows][0]).sum() == len(rows) == 120
    assert len(held_out(windows, 10)) == 120, "at least one device, whatever the limit"
    assert len(held_out(windows, 10_000)) == 240


def test_windows_without_a_held_out_part_cannot_be_proven_on():
    windows = plant.windows(devices=2, per_device=4)
    windows.index["split"] = "train"
    with pytest.raises(InputError, match="held out"):
        held_out(windows, 100)
