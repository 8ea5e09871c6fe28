"""`muster profile fit` says which hardware a trained model fits, and by how much it misses the rest."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from components.quantization.boards import BOARDS
from components.quantization.fit import fit
from components.quantization.targets.c99.trial import WITH_STACK, WITHOUT_STACK, try_self_test
from components.workspace.errors import GateFailed, NotFound
from muster.commands import profile

from . import forge, plant
from .test_boards import needs
from .test_levels import on_board

ARM = next(on for on in BOARDS if on.machine == "mps2-an386")


@pytest.fixture
def trained(workspace, windows, model, tmp_path):
    """A workspace on disk with a trained model, and a profile that it fits beside one that it does not."""
    roomy = plant.profile("onnxruntime", name="roomy")
    tight = plant.profile("onnxruntime", name="tight", memory={"model_flash_kib": 1.0, "model_ram_kib": 65536.0})
    settings = workspace.settings.model_dump(mode="json", exclude_defaults=True) | {"profiles": ["roomy", "tight"]}
    (tmp_path / "profiles").mkdir()
    (tmp_path / "muster.yaml").write_text(yaml.safe_dump(settings))
    for one in (roomy, tight):
        (tmp_path / "profiles" / f"{one.name}.yaml").write_text(yaml.safe_dump(one.model_dump(mode="json")))
    for step, value in (("train", model), ("features", windows)):
        (tmp_path / "out" / step).mkdir(parents=True)
        value.save(tmp_path / "out" / step)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(profile.app, ["fit", *map(str, arguments), "-q"], catch_exceptions=False)


@pytest.mark.slow
def test_a_profile_that_fits_and_one_that_does_not_stand_beside_each_other(trained):
    table = run(trained / "out" / "train").stdout
    assert "memory.model_flash_kib" in table
    rows = {r["profile"]: r for r in json.loads(run(trained, "--json").stdout)["data"]}
    assert rows["roomy"]["fits"]
    assert rows["roomy"]["lacking"] == []
    assert not rows["tight"]["fits"]
    assert [("bytes > 1,024 of memory.model_flash_kib" in line) for line in rows["tight"]["lacking"]] == [True]


def test_a_model_that_fits_nothing_fails_after_it_said_why(trained):
    with pytest.raises(GateFailed, match="fits none of tight"):
        run(trained, "--profile", "tight")


def test_a_profile_of_the_library_may_be_named(trained):
    assert [r["profile"] for r in json.loads(run(trained, "--profile", "gateway-x86-64", "--json").stdout)["data"]] == [
        "gateway-x86-64"
    ]
    with pytest.raises(NotFound, match="not in the library"):
        run(trained, "--profile", "toaster")


def test_without_a_workspace_or_a_model_the_next_command_is_named(trained, tmp_path_factory):
    with pytest.raises(NotFound, match="no workspace and no trained model"):
        run(tmp_path_factory.mktemp("empty"))
    (trained / "out" / "train").rename(trained / "out" / "elsewhere")
    with pytest.raises(NotFound, match="muster train"):
        run(trained)


def test_operators_that_a_runtime_lacks_are_what_is_lacking(workspace, windows, model, tmp_path):
    found = fit(workspace, plant.profile("onnxruntime", ops={"allow": ["Conv"]}), model, windows, "d" * 64, tmp_path)
    assert not found.fits
    assert "ops.allow" in found.lacking[0]
    assert found.checks == ()


@needs(ARM)
def test_without_the_emulator_sizes_are_still_those_of_the_processor(only):
    made, profile = forge.artefact(forge.graph()), on_board(ARM)
    tools = only("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm", "gcc", "as", "ld", "size")
    emulated = try_self_test(profile, made)
    (tools / "qemu-system-arm").unlink()
    compiled = try_self_test(profile, made)
    assert (emulated.level, emulated.note, emulated.self_test_mismatches) == ("emulated", WITH_STACK, 0)
    assert (compiled.level, compiled.note, compiled.self_test_mismatches) == ("host-compiled", WITHOUT_STACK, None)
    assert compiled.flash == emulated.flash
    assert "not run" in compiled.machine


def test_without_the_processors_compiler_the_hosts_code_is_measured_and_named(only):
    only("gcc", "as", "ld", "size")
    trial = try_self_test(on_board(ARM), forge.artefact(forge.graph()))
    assert (trial.level, trial.self_test_mismatches) == ("host-compiled", 0)
    assert trial.machine == "native (gcc)"
    assert "arm-none-eabi-gcc" in trial.missing


def test_without_any_compiler_nothing_is_measured(only):
    only()
    assert try_self_test(on_board(ARM), forge.artefact(forge.graph())).level == "none"


@pytest.mark.slow
@needs(ARM)
def test_a_c_profile_is_fitted_with_the_instructions_of_its_board(workspace, windows, model, cache):
    found = fit(workspace, plant.profile("c99", budget={"max_instructions": 100}), model, windows, "d" * 64, cache)
    assert found.level == "emulated"
    assert [line.partition(":")[0] for line in found.lacking] == ["instructions"]
