"""The kernels for single processors, with their dual multiply-accumulates, answer on emulated boards as numpy does."""

from __future__ import annotations

import pytest

from components.quantization.boards import BOARDS
from components.quantization.imported.building import build_imported
from components.quantization.imported.importing import import_model
from components.quantization.imported.proving import prove_compiled
from components.workspace.profiles import Profile

from . import layouts
from .networks import classifier

pytestmark = pytest.mark.slow
PLACES = {
    "mps2-an386": "cortex-m4",
    "microbit": "cortex-m0",
    "mps2-an505": "cortex-m33",
    "virt-rv32": "rv32",
    "qemu-aarch64": "a53",
}


def proof_of(data: bytes, machine: str, folder):
    board = next(b for b in BOARDS if b.machine == machine)
    lacking = [tool.program for tool in board.tools if not tool.here]
    if lacking:
        pytest.skip(f"no {', '.join(lacking)}")
    (folder / "m.tflite").write_bytes(data)
    about = {
        "name": "board",
        "description": "a board",
        "arch": {"family": board.families[0], "cpu": PLACES[machine]},
        "memory": {"model_flash_kib": 256, "model_ram_kib": 64},
        "runtime": {"name": "c99", "minimal": "1.0"},
        "proof": {"machine": machine, "vectors": 16},
    }
    profile = Profile.model_validate(about)
    return prove_compiled(build_imported(import_model(folder / "m.tflite", "m"), profile), profile)


@pytest.mark.parametrize("machine", PLACES)
def test_a_small_network_is_exact_on_every_processor(machine, tmp_path):
    proof = proof_of(classifier(), machine, tmp_path)
    assert proof.level == "emulated", proof.missing
    assert proof.passed, proof


@pytest.mark.parametrize("kind", ["convolution", "depthwise", "dense"])
@pytest.mark.parametrize("seed", range(4))
def test_layers_of_any_layout_are_exact_with_dual_multiply_accumulates(kind, seed, tmp_path):
    """Rows and channels that words of four codes do not divide."""
    proof = proof_of(layouts.layout(kind, 500 + seed).data, "mps2-an386", tmp_path)
    assert proof.level == "emulated"
    assert proof.passed, proof
