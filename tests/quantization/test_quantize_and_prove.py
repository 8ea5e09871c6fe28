"""What the steps quantize and prove promise, on the runtime that needs no converter process."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from components.quantization.prove import prove, rank_correlation
from components.quantization.quantize import quantize
from components.quantization.selftest import mismatches
from components.runtime.engines import open_engine
from components.values import Artefact
from components.workspace.errors import InputError, VerificationFailed

from . import plant


def test_two_builds_give_equal_bytes(build, workspace, windows, model, tmp_path):
    again = quantize(workspace, plant.profile("onnxruntime"), model, windows, "d" * 64, tmp_path)
    assert again.to_bytes() == build("onnxruntime").to_bytes()


def test_an_artefact_survives_its_file(build, tmp_path):
    artefact = build("onnxruntime")
    loaded = Artefact.load(artefact.save(tmp_path))
    assert loaded.sha256 == artefact.sha256
    assert loaded.to_bytes() == artefact.to_bytes()
    assert loaded.scoring.to_json() == artefact.scoring.to_json()
    assert np.array_equal(loaded.self_test.raw, artefact.self_test.raw)


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-30], lambda d: b"PK" + d[100:], lambda d: d.replace(b"artefact.json", b"../../ct.json")]
)
def test_a_damaged_artefact_is_refused(build, damage):
    with pytest.raises(VerificationFailed, match="not an artefact"):
        Artefact.from_bytes(damage(build("onnxruntime").to_bytes()))


def test_a_changed_byte_changes_the_digest_or_is_refused(build):
    data = bytearray(build("onnxruntime").to_bytes())
    data[len(data) // 2] ^= 1
    with contextlib.suppress(VerificationFailed):
        assert Artefact.from_bytes(bytes(data)).sha256 != build("onnxruntime").sha256


def test_the_proof_holds_on_this_machine(build, workspace, windows, model):
    proof = prove(workspace, plant.profile("onnxruntime"), build("onnxruntime"), model, windows)
    names = {c.name for c in proof.checks}
    assert {"self_test_mismatches", "flash", "latency", "fault/label_agreement", "anomaly/rank_correlation"} <= names
    assert proof.passed, proof
    assert proof.artefact_sha256 == build("onnxruntime").sha256


@pytest.mark.parametrize(
    ("section", "check"),
    [
        ({"memory": {"model_flash_kib": 1.0, "model_ram_kib": 65536.0}}, "flash"),
        ({"memory": {"model_flash_kib": 1024.0, "model_ram_kib": 1.0}}, "ram"),
        ({"budget": {"latency_ms": 1e-6}}, "latency"),
    ],
)
def test_a_profile_that_cannot_hold_the_model_fails_just_that_check(section, check, build, workspace, windows, model):
    profile = plant.profile("onnxruntime", **section)
    proof = prove(workspace, profile, build("onnxruntime"), model, windows)
    assert not proof.passed
    assert [c.name for c in proof.checks if not c.passed] == [check]


def test_the_slices_that_a_profile_names_are_checks_of_its_proof(build, workspace, windows, model):
    sliced = plant.profile("onnxruntime", accuracy={"slices": ["site", "class"], "min_rows": 20})
    proof = prove(workspace, sliced, build("onnxruntime"), model, windows)
    named = {c.name for c in proof.checks if "[" in c.name}
    assert "fault/label_agreement [site=north]" in named
    assert any("[fault=" in name for name in named)
    plain = prove(workspace, plant.profile("onnxruntime"), build("onnxruntime"), model, windows)
    assert [c.name for c in plain.checks] == [c.name for c in proof.checks if "[" not in c.name]


def test_an_artefact_of_other_weights_fails_on_parity(build, workspace, windows, model):
    """The proof compares with the model it is given, not with itself."""
    other = plant.model(windows, seed=99)
    proof = prove(workspace, plant.profile("onnxruntime"), build("onnxruntime"), other, windows)
    assert {"fault/label_agreement", "anomaly/rank_correlation"} & {c.name for c in proof.checks if not c.passed}


def test_a_broken_network_fails_its_self_test(build):
    artefact = build("onnxruntime")
    engine = open_engine(artefact.runtime, artefact.members, artefact.tensors)

    def broken(codes):
        outputs = engine(codes)
        return replace(outputs, correction=np.roll(outputs.correction, 3, axis=1))

    assert mismatches(artefact, engine) == 0
    assert mismatches(artefact, broken) > 0


def test_self_test_vectors_reach_from_calm_to_alarm_with_missing_samples_and_both_ends(build):
    test, threshold = build("onnxruntime").self_test, build("onnxruntime").scoring.threshold
    assert test.surprise.min() == 0
    assert (test.surprise >= threshold).sum() >= 2
    codes = test.scaling.codes(test.raw)
    assert {-128, -127, 127} <= set(codes.ravel().tolist())


def test_windows_of_other_channels_are_refused(workspace, windows, model, tmp_path):
    other = replace(windows, channels=("a", "b", "c", "d", "e"))
    with pytest.raises(InputError, match="train again"):
        quantize(workspace, plant.profile("onnxruntime"), model, other, "d" * 64, tmp_path)


def test_an_artefact_is_proven_for_its_own_profile_only(build, workspace, windows, model):
    with pytest.raises(InputError, match="its own profile"):
        prove(workspace, plant.profile("litert"), build("onnxruntime"), model, windows)


def test_a_model_without_an_anomaly_task_is_compiled_and_judged_on_classes(workspace, windows, model, tmp_path):
    plain = replace(model, has_anomaly=False)
    artefact = quantize(workspace, plant.profile("onnxruntime"), plain, windows, "d" * 64, tmp_path)
    names = [c.name for c in prove(workspace, plant.profile("onnxruntime"), artefact, plain, windows).checks]
    assert artefact.tasks == {"fault": plant.CLASSES}
    assert not any(n.startswith("anomaly") for n in names)


@pytest.mark.parametrize(
    ("a", "b", "rho"),
    [([1, 2, 3], [10, 20, 90], 1.0), ([1, 2, 3], [3, 2, 1], -1.0), ([1, 1, 2, 2], [5, 5, 9, 9], 1.0), ([1, 2], [7, 7], 0.0)],
)
def test_rank_correlation_is_spearmans(a, b, rho):
    assert rank_correlation(np.asarray(a), np.asarray(b)) == pytest.approx(rho)
