"""One network knows the types of a fleet's devices; each device computes its own type's network and nothing more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from components.models.reference import forward
from components.models.selection import OWN_WINDOWS, held_out, normal_windows, own_windows, range_windows, vector_windows
from components.models.telemetry_electra import Encoder
from components.quantization.detectors import of_model
from components.quantization.prove import prove
from components.quantization.trained import answers
from components.training.dropout import TYPES_HIDDEN, without_types
from components.training.judging.detector import untyped
from components.training.judging.scoring import window_table
from components.training.normal import encode
from components.training.train import device_types
from components.training.vus import average_precision
from components.values import Architecture, ElectraModel, Head, TrainedModel, Windows
from components.values.architecture import TYPES
from tests.flows.running import muster
from tests.inputs import mixed_fleet, typed_fleet
from tests.inputs.typed_fleet import FALLING, FAULT, RISING
from tests.quantization import plant

pytestmark = pytest.mark.slow

STRANGE = "pump-never-seen"


@pytest.fixture(scope="module")
def fleet() -> tuple[Windows, NDArray[np.bool_]]:
    return typed_fleet.windows()


@pytest.fixture(scope="module")
def model(fleet: tuple[Windows, NDArray[np.bool_]], tmp_path_factory: pytest.TempPathFactory) -> ElectraModel:
    return typed_fleet.trained(tmp_path_factory.mktemp("typed"), *fleet, device_types=True)


def reached(model: ElectraModel, data: Windows, faulty: NDArray[np.bool_]) -> tuple[float, float]:
    """(average precision of the score, share of windows classed right) on held-out devices."""
    test = np.flatnonzero(data.test)
    said = answers(model, data.codes[test], data.profiles[test])
    right = said.logits["fault"].argmax(axis=1) == np.where(faulty[test], FAULT, 0)
    return average_precision(faulty[test].astype(np.int8), said.score), float(right.mean())


def test_what_is_a_fault_on_one_type_and_normal_on_the_other_is_told_apart(
    fleet: tuple[Windows, NDArray[np.bool_]], model: ElectraModel, tmp_path: Path
) -> None:
    without = typed_fleet.trained(tmp_path, *fleet, device_types=False)
    score, right = reached(model, *fleet)
    blind_score, blind_right = reached(without, *fleet)
    assert (score > 0.9, right > 0.95) == (True, True), (score, right)
    assert (blind_score < 0.5, blind_right < 0.8) == (True, True), (blind_score, blind_right)
    assert model.architecture.types == (FALLING, RISING)


def test_each_window_is_read_as_the_network_of_its_own_type_reads_it(
    fleet: tuple[Windows, NDArray[np.bool_]], model: ElectraModel
) -> None:
    """In the reference, when windows are judged and scored, and on devices; a type that training never saw adds nothing."""
    data, _ = fleet
    codes, profiles = data.codes[:400], data.profiles[:400].copy()
    profiles[::5], profiles[1::50] = STRANGE, None
    typed, scored = answers(model, codes, profiles), of_model(model).score(codes, profiles)
    assert np.array_equal(typed.score, scored.score)
    table = window_table(of_model(model), replace(data, codes=codes, index=data.index[:400].assign(hardware_profile=profiles)))
    assert np.array_equal(table["score"], typed.score)
    strange = int((~np.isin(profiles.astype(str), [RISING, FALLING])).sum())
    assert untyped(of_model(model), profiles) == [f"{strange} of 400 windows are from no device type that the model knows"]
    assert untyped(of_model(model.for_profile(RISING)), profiles) == []
    for profile in (RISING, FALLING, STRANGE):
        own = model.for_profile(profile)
        rows = profiles == profile if profile in model.architecture.types else ~np.isin(profiles.astype(str), [RISING, FALLING])
        assert rows.sum() > 50
        assert (own.architecture.types, TYPES in own.weights) == ((), False)
        alone = answers(own, codes[rows])
        np.testing.assert_allclose(alone.score, typed.score[rows], atol=1e-5)
        np.testing.assert_allclose(alone.residual, typed.residual[rows], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(alone.logits["fault"], typed.logits["fault"][rows], atol=1e-5)
        assert own.for_profile(RISING) is own
    assert np.abs(answers(model.for_profile(RISING), codes).score - answers(model.for_profile(FALLING), codes).score).max() > 0.1


def test_the_deploy_form_reads_types_as_the_trained_network_does() -> None:
    torch.manual_seed(0)
    heads = (Head("fault", plant.CLASSES), Head("life", unit="cycles", range=plant.LIFE))
    encoder = Encoder(Architecture(32, 5, 12, 2, 5, 6 / 127, heads, types=("a", "b", "c")))
    assert encoder.types is not None
    torch.nn.init.normal_(encoder.types)
    encoder.train()
    encoder(torch.randn(64, 32, 5) * 2 + 1, torch.ones(64, 32, 5, dtype=torch.bool), np.arange(64) % 4 - 1)
    codes, types = plant.windows(devices=2, per_device=20).codes, np.arange(40) % 4 - 1
    correction, embedding = encode(encoder, codes, types)
    deployed = forward(encoder.architecture, encoder.deploy_weights(), codes, types)
    np.testing.assert_allclose(deployed.correction, correction, atol=2e-5)
    np.testing.assert_allclose(deployed.embedding, embedding, atol=2e-5)
    np.testing.assert_allclose(
        forward(encoder.architecture, encoder.deploy_weights(), codes).correction, encode(encoder, codes)[0], atol=2e-5
    )


def test_training_hides_about_the_stated_share_of_types_and_draws_nothing_where_none_is_known() -> None:
    random, types = torch.Generator().manual_seed(1), np.arange(6000) % 3
    seen = without_types(types, random)
    assert ((seen == types) | (seen == -1)).all()
    assert (seen == -1).mean() == pytest.approx(TYPES_HIDDEN, abs=0.02)
    before = random.get_state()
    assert (without_types(np.full(100, -1), random) == -1).all()
    assert torch.equal(random.get_state(), before)


def test_without_the_setting_types_change_nothing(fleet: tuple[Windows, NDArray[np.bool_]], tmp_path: Path) -> None:
    """Weights have the bytes that they have with it where nobody knows a device's type."""
    data, faulty = fleet
    nameless = replace(data, index=data.index.assign(hardware_profile=""))
    made = []
    for number, (of, wanted) in enumerate(((data, False), (nameless, True))):
        model = typed_fleet.trained(tmp_path, of, faulty, device_types=wanted, pretrain_steps=5, finetune_steps=5)
        (folder := tmp_path / str(number)).mkdir()
        model.save(folder)
        assert model.architecture.types == ()
        assert model.for_profile(RISING) is model
        made.append((folder / "model.safetensors").read_bytes())
    assert made[0] == made[1]


def test_types_are_those_of_training_devices(fleet: tuple[Windows, NDArray[np.bool_]]) -> None:
    data, _ = fleet
    index = data.index.assign(hardware_profile=np.where(data.test, STRANGE, data.profiles))
    assert device_types(replace(data, index=index)) == (FALLING, RISING)
    assert device_types(replace(data, index=data.index.assign(hardware_profile=None))) == ()


def test_a_typed_model_survives_its_files_and_one_from_before_types_has_none(model: ElectraModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = TrainedModel.load(tmp_path)
    assert isinstance(loaded, ElectraModel)
    assert loaded.architecture == model.architecture
    assert np.array_equal(loaded.weights[TYPES], model.weights[TYPES])
    assert loaded.weights[TYPES].shape == (2, model.architecture.width)
    facts = json.loads((tmp_path / "model.json").read_text())
    del facts["architecture"]["types"]
    (tmp_path / "model.json").write_text(json.dumps(facts))
    old = TrainedModel.load(tmp_path)
    assert isinstance(old, ElectraModel)
    assert old.architecture.types == ()


def test_artefacts_of_both_types_are_proven_and_are_networks_of_their_own(
    fleet: tuple[Windows, NDArray[np.bool_]], model: ElectraModel, tmp_path: Path
) -> None:
    data, _ = fleet
    made = typed_fleet.workspace(tmp_path, device_types=True)
    artefacts = {}
    for name in (RISING, FALLING, STRANGE):
        profile = plant.profile("onnxruntime", name=name)
        artefacts[name] = plant.built(made, profile, model, data, tmp_path)
        proof = prove(made, profile, artefacts[name], model, data)
        assert proof.passed, proof
    assert artefacts[RISING].members != artefacts[FALLING].members != artefacts[STRANGE].members
    swapped = replace(artefacts[RISING], profile=FALLING)
    assert not prove(made, plant.profile("onnxruntime", name=FALLING), swapped, model, data).passed


def test_an_artefact_is_calibrated_and_proven_on_windows_of_its_type_where_there_are_enough(
    fleet: tuple[Windows, NDArray[np.bool_]], model: ElectraModel
) -> None:
    data, _ = fleet
    mine = own_windows(model, data, RISING)
    assert mine is not None
    rows = held_out(data, 10_000, mine)
    assert set(data.profiles[rows]) == {RISING}
    assert len(rows) == (data.test & mine).sum()
    own = {window.tobytes() for window in data.codes[mine]}
    for chosen in (range_windows(data, mine), normal_windows(model, data, mine), vector_windows(data, mine)):
        assert len(chosen) >= OWN_WINDOWS
        assert {window.tobytes() for window in chosen} <= own
    few = mine & (np.cumsum(data.test & mine) < OWN_WINDOWS)
    assert np.array_equal(held_out(data, 10_000, few), held_out(data, 10_000))
    assert own_windows(model, data, STRANGE) is None
    assert own_windows(model.for_profile(RISING), data, RISING) is None


def test_a_fleet_is_trained_and_evaluated_under_its_devices_types(tmp_path: Path) -> None:
    """What is judged on the files of the fleet is what training said of the held-out devices."""
    root = mixed_fleet.make(tmp_path / "mixed", reversed_flow=True, device_types=True, pretrain_steps=60, finetune_steps=60)
    muster("train", root)
    trained = root / "out" / "train"
    assert json.loads((trained / "model.json").read_text())["architecture"]["types"] == sorted(mixed_fleet.PROFILES)
    said = json.loads((trained / "metrics.json").read_text())
    words = "--data", root / "raw", "--labels", root / "truth.csv", "--workspace", root, "--held-out", "--json"
    judged = json.loads(muster("model", "evaluate", trained, *words).stdout)["data"]["methods"][0]["metrics"]
    assert judged["vus_pr"]["value"] == pytest.approx(said["anomaly/electra/vus_pr"], abs=1e-6)
    assert judged["state/macro_f1"]["value"] == pytest.approx(said["state/electra/macro_f1"], abs=1e-6)
