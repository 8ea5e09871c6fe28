"""Devices of one fleet lack channels: one network knows which, on every runtime, and a fleet that lacks none pays nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.windows import cut_unseen, make_windows
from components.models.reference import forward
from components.runtime.presence import ABSENT, entry
from components.runtime.scaling import MISSING_CODE
from components.training.dropout import without_channels
from components.training.train import optional_channels
from components.values import Artefact, Windows
from components.workspace.errors import InputError
from tests.features.test_windows import dataset
from tests.flows.running import muster
from tests.ingestion import small
from tests.inputs import mixed_fleet
from tests.quantization import plant


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), optional=st.sets(st.integers(0, 3)).map(sorted).map(tuple))
def test_the_inputs_of_optional_channels_say_just_where_they_are_missing(seed: int, optional: tuple[int, ...]) -> None:
    codes = np.random.default_rng(seed).integers(-128, 128, (3, 8, 4)).astype(np.int8)
    codes[:, :, seed % 4] = MISSING_CODE
    read = entry(codes, optional)
    assert read.shape == (3, 8, 4 + len(optional))
    assert read.dtype == np.int8
    assert np.array_equal(read[..., :4] == codes, codes != MISSING_CODE)
    for place, channel in enumerate(optional):
        assert np.array_equal(read[..., 4 + place], np.where(codes[..., channel] == MISSING_CODE, ABSENT, 0))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), rate=st.floats(0, 1))
def test_training_takes_out_whole_optional_channels_and_never_all(seed: int, rate: float) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(-127, 128, (64, 8, 4)).astype(np.int8)
    codes[:32, :, 1] = MISSING_CODE
    seen = without_channels(codes, (0, 2, 3), rate, torch.Generator().manual_seed(seed))
    gone = (seen == MISSING_CODE).all(axis=1)
    assert np.array_equal(np.where(gone[:, None], codes, seen), codes)
    assert not gone[32:, 1].any()
    assert not gone.all(axis=1).any()
    assert np.array_equal(without_channels(codes, (), rate, torch.Generator()), codes)


def test_about_the_stated_share_is_taken_out() -> None:
    codes = np.zeros((4000, 8, 3), np.int8)
    seen = without_channels(codes, (1, 2), 0.2, torch.Generator().manual_seed(1))
    assert (seen == MISSING_CODE).all(axis=1).mean(axis=0) == pytest.approx([0, 0.2, 0.2], abs=0.02)


def cut(tmp_path: Path, *, optional: bool = False) -> tuple[Windows, tuple[int, ...]]:
    """Windows of a fleet in which d1 and d4 have no flow and d2 a gap, and the channels that its network may miss."""
    telemetry = small.settings()["telemetry"]
    telemetry = telemetry | {"channels": [telemetry["channels"][0], telemetry["channels"][1] | {"optional": optional}]}
    frame = small.telemetry()
    frame.loc[frame["device_id"].isin(["d1", "d4"]) | ((frame["device_id"] == "d2") & (frame.index % 9 == 0)), "flow"] = np.nan
    windows = {"steps": 8, "stride": 4, "calibration_steps": 20, "max_missing": 0.4}
    evaluation = {"split": "period", "after": "2026-03-01T01:20:00Z"}
    made = small.workspace(tmp_path / "w", telemetry=telemetry, windows=windows, evaluation=evaluation)
    windows_ = make_windows(made, dataset(tmp_path / "data", frame))
    rows = frame.sort_values(["device_id", "time"], ignore_index=True)
    again, _ = cut_unseen(rows, made.settings.telemetry, made.settings.windows, windows_.converter, windows_.calibration)
    assert len(again) == len(windows_)
    return windows_, optional_channels(made, windows_)


def test_what_an_optional_channel_misses_is_not_counted_against_devices_that_lack_it(tmp_path: Path) -> None:
    windows, optional = cut(tmp_path, optional=True)
    assert optional == (1,)
    assert set(windows.index["device_id"]) == {f"d{n}" for n in range(6)}
    strict, found = cut(tmp_path / "strict")
    assert set(strict.index["device_id"]) == {"d0", "d2", "d3", "d5"}
    assert found == ()


def test_a_channel_that_a_training_device_lacks_is_optional_undeclared(tmp_path: Path) -> None:
    data = plant.windows(devices=6, per_device=20)
    made = plant.workspace(tmp_path)
    assert optional_channels(made, data) == ()
    data.codes[20:40, :, 3] = MISSING_CODE
    data.codes[60:70, :, 2] = MISSING_CODE
    assert optional_channels(made, data) == (3,)


@pytest.mark.slow
def test_files_of_old_hardware_may_leave_the_column_out(tmp_path: Path) -> None:
    root = mixed_fleet.make(tmp_path / "mixed")
    for step in ("ingest", "validate", "features"):
        muster("step", step, root)
    windows = Windows.load(root / "out" / "features")
    lacking = (windows.codes[:, :, 2] == MISSING_CODE).all(axis=(1))
    assert 0.3 < lacking.mean() < 0.6
    frame = pd.read_parquet(root / "raw" / "00.parquet").drop(columns="flow")
    frame.to_parquet(root / "raw" / "00.parquet", index=False)
    assert "no column flow" in muster("step", "ingest", root, check=2).stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optional": True, "nullable": False}, "is optional: it must be nullable, measured"),
        ({"optional": True, "role": "condition"}, "and no operating condition"),
        ({"optional": True}, "all channels are optional"),
    ],
)
def test_an_optional_channel_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    telemetry = small.settings()["telemetry"]
    telemetry["channels"] = [telemetry["channels"][0] | change]
    with pytest.raises(InputError, match=message):
        small.workspace(tmp_path / "w", telemetry=telemetry)


@pytest.mark.slow
def test_a_mixed_fleet_is_trained_and_proven_on_every_runtime(tmp_path: Path) -> None:
    """Devices without the sensor are judged nearly as well, and each artefact says what its own network says."""
    root = mixed_fleet.make(tmp_path / "mixed")
    muster("train", root)
    assert json.loads((root / "out" / "train" / "metrics.json").read_text())["state/electra/macro_f1"] > 0.9
    assert json.loads((root / "out" / "train" / "model.json").read_text())["architecture"]["optional"] == [2]
    for step in ("quantize", "prove"):
        muster("step", step, root)
    for profile in mixed_fleet.PROFILES:
        proof = json.loads((root / "out" / "prove" / profile / f"{profile}.proof.json").read_text())
        checks = {check["name"]: check for check in proof["checks"]}
        assert all(check["passed"] for check in checks.values()), (profile, proof)
        assert checks["state/label_agreement"]["value"] > 0.97
        assert Artefact.load(root / "out" / "quantize" / profile / f"{profile}.artefact").optional == (2,)


def test_the_deploy_form_reads_what_is_missing_as_the_trained_network_does() -> None:
    from components.models.telemetry_electra import Encoder
    from components.training.normal import encode
    from components.values import Architecture

    torch.manual_seed(0)
    encoder = Encoder(Architecture(32, 5, 12, 2, 5, 6 / 127, (), optional=(1, 4)))
    encoder.train()
    encoder(torch.randn(64, 32, 5), torch.rand(64, 32, 5) < 0.7)
    codes = np.array(plant.windows(devices=2, per_device=20).codes)
    codes[::3, :, 1] = codes[1::4, :, 4] = MISSING_CODE
    correction, _ = encode(encoder, codes)
    deployed = forward(encoder.architecture, encoder.deploy_weights(), codes)
    np.testing.assert_allclose(deployed.correction, correction, atol=2e-5)
    zeroed = forward(encoder.architecture, encoder.deploy_weights(), np.where(codes == MISSING_CODE, 0, codes).astype(np.int8))
    assert np.abs(zeroed.correction - correction)[::3].max() > 0.01
