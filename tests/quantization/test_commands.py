"""`muster profile` and `muster artefact` print one table or one JSON document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.workspace.errors import GateFailed, NotFound, VerificationFailed
from muster.commands import artefact, profile

PUMPS = str(Path(__file__).parents[2] / "examples" / "pumps")
SHIPPED = {"gateway-x86-64", "gateway-arm64", "phone-litert", "mcu-cortex-m4"}


def run(app, *arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def data(result):
    return json.loads(result.stdout)["data"]


def test_the_shipped_profiles_are_valid_and_listed():
    assert {p["name"] for p in data(run(profile.app, "list", PUMPS, "--json"))} == SHIPPED
    table = run(profile.app, "list", PUMPS).stdout
    assert "cortex-m4" in table
    assert "3,000,000 instructions" in table


def test_one_profile_is_shown_with_its_defaults():
    shown = data(run(profile.app, "show", "mcu-cortex-m4", PUMPS, "--json"))
    assert shown["numeric"]["min_label_agreement"] == 0.95
    assert "mps2-an386" in run(profile.app, "show", "mcu-cortex-m4", PUMPS).stdout


def test_an_unknown_profile_is_not_found():
    with pytest.raises(NotFound, match="not in this workspace"):
        run(profile.app, "show", "toaster", PUMPS)


def test_check_fails_when_a_proof_would_be_too_weak_to_release(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GateFailed, match="mcu-cortex-m4"):
        run(profile.app, "check", PUMPS)


def test_an_artefact_is_described(build, tmp_path):
    file = build("onnxruntime").save(tmp_path)
    shown = data(run(artefact.app, "show", str(file), "--json"))
    assert shown["sha256"] == build("onnxruntime").sha256
    assert shown["tensors"].keys() == build("onnxruntime").tensors.keys()
    assert "model.onnx" in run(artefact.app, "show", str(file)).stdout


def test_a_file_that_is_no_artefact_fails_verification(tmp_path):
    (tmp_path / "x.artefact").write_bytes(b"hello")
    with pytest.raises(VerificationFailed):
        run(artefact.app, "show", str(tmp_path / "x.artefact"))
    with pytest.raises(NotFound):
        run(artefact.app, "show", str(tmp_path / "y.artefact"))
