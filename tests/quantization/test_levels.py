"""A proof never claims more than the tools on this machine can show."""

from __future__ import annotations

import platform
import shutil

import numpy as np
import pytest

from components.quantization.boards import BOARDS
from components.quantization.levels import board, reach
from components.quantization.targets.c99.trial import try_c
from components.values import Proof
from components.workspace.errors import GateFailed, InputError

from . import forge, plant


def on_board(on):
    """A profile of the board's own processor."""
    return plant.profile(
        "c99", arch={"family": on.families[0], "cpu": on.cpus[0] if on.cpus else "any"}, proof={"machine": on.machine}
    )


def test_without_a_c_compiler_nothing_is_proven(only):
    only()
    got = reach(plant.profile("c99"))
    assert got.level == "none"
    assert "gcc" in got.missing
    assert not Proof("p", "c99", "", got.level, "", ()).passed


def test_a_trial_without_a_c_compiler_has_no_verdict(only):
    only()
    windows = plant.windows(devices=3, per_device=4)
    trial = try_c(plant.profile("c99"), forge.artefact(forge.graph()), windows, np.arange(2))
    assert (trial.level, trial.verdict, trial.self_test_mismatches) == ("none", None, None)


def test_without_emulator_or_arm_compiler_the_missing_packages_are_named(only):
    only("gcc", "arm-none-eabi-gcc")
    got = reach(plant.profile("c99"))
    assert got.level == "host-compiled"
    assert got.missing == "a run on mps2-an386 (not run: qemu-system-arm missing; Debian packages qemu-system-arm)"


@pytest.mark.parametrize("on", BOARDS, ids=lambda on: on.machine)
def test_whatever_a_board_needs_and_is_not_here_is_named_with_its_packages(on, only):
    only("gcc")
    got = reach(on_board(on))
    assert got.level == "host-compiled"
    for tool in on.tools:
        assert f"{tool.program}" in got.missing
        assert tool.packages in got.missing


def test_with_all_tools_the_board_is_emulated(only):
    only("gcc", "arm-none-eabi-gcc", "qemu-system-arm")
    assert reach(plant.profile("c99")).level == "emulated"


def test_c_on_the_processor_of_this_machine_is_native(monkeypatch, only):
    only("gcc")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    here = plant.profile("c99", arch={"family": "x86-64", "cpu": "any"}, proof={})
    assert reach(here).level == "native"
    assert reach(plant.profile("c99", proof={})).level == "host-compiled"


def test_what_no_emulator_covers_is_said():
    ethos = plant.profile(
        "c99",
        arch={"family": "armv8.1-m.main", "cpu": "cortex-m55", "features": ["ethos-u55"]},
        proof={"machine": "mps3-an547"},
    )
    assert all(tool.here for tool in board(ethos).tools) <= ("Ethos-U is not emulated" in reach(ethos).missing)
    assert "proof.machine (mps2-an386)" in reach(plant.profile("c99", proof={})).missing
    assert "Xtensa" in reach(plant.profile("c99", arch={"family": "xtensa", "cpu": "esp32"}, proof={})).missing
    arm64 = plant.profile("onnxruntime", arch={"family": "aarch64", "cpu": "any"})
    if platform.machine() != "aarch64":
        assert "does not run on under emulation" in reach(arm64).missing


@pytest.mark.parametrize(("machine", "family"), [("x86_64", "x86-64"), ("aarch64", "aarch64"), ("arm64", "aarch64")])
def test_only_the_same_processor_family_is_native(machine, family, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for wanted in ("x86-64", "aarch64"):
        profile = plant.profile("onnxruntime", arch={"family": wanted, "cpu": "any"})
        assert reach(profile).level == ("native" if wanted == family else "same-runtime")


@pytest.mark.parametrize(
    "proof", [{"machine": "mps2-an999"}, {"machine": "mps2-an385"}], ids=["unknown board", "other processor"]
)
def test_a_board_that_is_not_the_profiles_is_refused(proof):
    with pytest.raises(InputError, match="no emulated board"):
        board(plant.profile("c99", proof=proof))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (Debian: gcc libc6-dev)")
def test_sources_that_do_not_compile_fail_the_gate():
    broken = forge.artefact(forge.graph())
    broken.members["model.c"] = b"int main(void) { return missing; }"
    with pytest.raises(GateFailed, match="refuses the generated sources"):
        try_c(plant.profile("c99"), broken, plant.windows(devices=3, per_device=4), np.arange(2))
