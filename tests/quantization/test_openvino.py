"""OpenVINO as a runtime of profiles: the same graphs, ranges and promises, proven in itself."""

from __future__ import annotations

import importlib.util
import json
from importlib.metadata import version

import numpy as np
import pytest
from typer.testing import CliRunner

from components.models.selection import range_windows
from components.quantization import levels
from components.quantization.package.bill import bill_of_materials
from components.quantization.package.build import build_package
from components.quantization.prove import prove
from components.quantization.recipes.fidelity import fidelity, judged
from components.quantization.recipes.search import search
from components.quantization.recipes.write import write
from components.quantization.selftest import mismatches
from components.quantization.targets import onnx_runtime, openvino
from components.runtime.engines import open_engine
from components.values.recipe import Recipe
from components.workspace.errors import BackendUnreachable, InputError
from components.workspace.profiles import Profile
from muster.app import app
from registry.contract.manifest import Runtime
from registry.device.facts import Facts

from . import boosted, plant

HERE = importlib.util.find_spec("openvino") is not None
INSTALLED = pytest.mark.skipif(not HERE, reason="no OpenVINO (pip install 'muster-mlops[openvino]')")


def profile(**changes):
    return plant.profile("openvino", **changes)


@pytest.mark.slow
@INSTALLED
@pytest.mark.parametrize("precision", ["int8", "float16", "float32"])
def test_every_precision_is_proven_in_openvino_itself(precision, workspace, windows, model, cache):
    wanted = profile(quantization={"precisions": [precision]})
    artefact = plant.built(workspace, wanted, model, windows, cache)
    assert (artefact.runtime, artefact.recipe.split()[0]) == ("openvino", precision)
    proof = prove(workspace, wanted, artefact, model, windows)
    assert proof.passed, proof
    assert proof.machine.startswith(f"openvino {version('openvino')} on ")
    assert {"latency", "flash", "ram"} <= {check.name for check in proof.checks}
    assert mismatches(artefact, open_engine("openvino", artefact.members, artefact.tensors)) == 0


@INSTALLED
def test_it_computes_in_integers_what_onnx_runtime_does_to_within_rounding(windows, model):
    """The file is the same to the byte, and the noise of its answers too: our ranges are heard."""
    written = write(model, Recipe("int8", "minmax"), range_windows(windows), onnx_runtime.WEIGHT_LIMIT)
    here, there = openvino.compile_network(written), onnx_runtime.compile_network(written)
    assert here.members == there.members
    wanted = judged(model, np.asarray(windows.codes[::4]))
    assert fidelity(model, here, wanted).noise == pytest.approx(fidelity(model, there, wanted).noise, rel=0.1)
    answers = (network.engine(wanted.codes).correction.astype(int) for network in (here, there))
    assert np.abs(np.subtract(*answers)).max() <= 4


@INSTALLED
def test_weights_of_16_bits_take_less_and_say_the_same(windows, model):
    codes, wanted = range_windows(windows), judged(model, np.asarray(windows.codes[::4]))
    half, whole = (openvino.compile_network(write(model, Recipe(p), codes, 127)) for p in ("float16", "float32"))
    assert len(half.members["model.onnx"]) < len(whole.members["model.onnx"]) - model.architecture.parameters
    assert fidelity(model, half, wanted).noise < 1.01 * fidelity(model, whole, wanted).noise


@INSTALLED
def test_the_search_compares_its_precisions(windows, model, tmp_path):
    found = search(profile(quantization={}), model, windows, tmp_path)
    compiled = {one.recipe.precision for one in found.tried if one.latency_ms is not None}
    assert compiled == {"int8", "float16", "float32"}


def test_without_the_extra_the_error_says_how_to_get_it(windows, model, monkeypatch, tmp_path):
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    with pytest.raises(BackendUnreachable, match="OpenVINO is not installed") as error:
        search(profile(), model, windows, tmp_path)
    assert "muster-mlops[openvino]" in error.value.hint


@INSTALLED
def test_a_proof_without_the_extra_says_the_same(workspace, windows, model, cache, monkeypatch):
    artefact = plant.built(workspace, profile(), model, windows, cache)
    for module in (openvino, levels):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(BackendUnreachable, match="OpenVINO is not installed"):
        prove(workspace, profile(), artefact, model, windows)
    assert levels.reach(profile()).level == "none"


def test_the_doctor_names_the_extra():
    told = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["data"]
    found = {one["what"]: one for one in (told if isinstance(told, list) else told["findings"])}
    assert found["openvino"]["install"] == "pip install 'muster-mlops[openvino]'"
    assert bool(found["openvino"]["found"]) == HERE


def test_trees_are_refused_with_what_runs_them(tmp_path, windows):
    with pytest.raises(InputError, match="OpenVINO has no trees") as error:
        search(profile(), boosted.model(), windows, tmp_path)
    assert "onnxruntime" in error.value.hint


@pytest.mark.parametrize("precision", ["dynamic", "int16x8"])
def test_a_profile_asks_for_precisions_that_it_has(precision):
    told = profile().model_dump()
    told["quantization"]["precisions"] = [precision]
    with pytest.raises(ValueError, match="openvino has no"):
        Profile.model_validate(told)


def test_a_manifest_and_a_device_know_the_runtime():
    assert Runtime(name="openvino", minimal="2026.4").name == "openvino"
    facts = {"device_id": "g1", "fleet": "f", "firmware_variant": "v", "hardware_profile": "g", "firmware_version": "1"}
    found = Facts.model_validate(facts | {"runtime": "openvino"}).version_of_runtime()
    assert found == (version("openvino") if HERE else None)


@INSTALLED
def test_a_package_names_it_in_its_bill(workspace, windows, model, cache):
    artefact = plant.built(workspace, profile(), model, windows, cache)
    made = build_package(artefact.to_bytes(), None, unproven=True)
    assert "openvino" in made.description.toolchain
    parts = json.loads(bill_of_materials(artefact, {}, made.description.toolchain, verifier=False))["components"]
    assert "openvino" in {part["name"] for part in parts}
