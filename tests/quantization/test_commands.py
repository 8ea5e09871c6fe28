"""`muster profile` and `muster artefact` print one table or one JSON document."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.workspace.errors import Conflict, GateFailed, InputError, NotFound, VerificationFailed
from components.workspace.profile_library import new_profile
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


def test_the_library_is_listed_and_shown_without_a_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"mcu-esp32-c3", "gateway-arm64-c99"} <= {p["name"] for p in data(run(profile.app, "list", "--library", "--json"))}
    assert data(run(profile.app, "show", "mcu-cortex-m33", "--library", "--json"))["arch"]["family"] == "armv8-m.main"
    with pytest.raises(NotFound, match="not in the library"):
        run(profile.app, "show", "toaster", "--library")


def test_a_new_profile_is_checked_by_its_file_and_not_written_twice(tmp_path):
    shutil.copytree(PUMPS, tmp_path / "pumps", ignore=shutil.ignore_patterns("out", ".muster"))
    made = run(profile.app, "new", "node", "--from", "gateway-x86-64", str(tmp_path / "pumps"))
    assert "list 'node' under profiles:" in made.stdout
    assert "hardware_profile" in made.stdout
    file = str(tmp_path / "pumps" / "profiles" / "node.yaml")
    (row,) = data(run(profile.app, "check", file, "--json"))
    assert (row["profile"], row["accepted"]) == ("node", True)
    with pytest.raises(Conflict, match="is there already"):
        run(profile.app, "new", "node", "--from", "mcu-cortex-m3", str(tmp_path / "pumps"))


def test_a_profile_file_is_refused_with_its_line_or_for_its_proof(tmp_path, monkeypatch):
    file = new_profile(tmp_path, "node", "mcu-cortex-m33")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GateFailed, match=r"node: .*release.proof_levels"):
        run(profile.app, "check", str(file))
    file.write_text(file.read_text().replace("cpi:", "cycles:"))
    with pytest.raises(InputError, match=r"node.yaml, line \d+, key budget.cycles"):
        run(profile.app, "check", str(file))


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
