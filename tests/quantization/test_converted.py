"""LiteRT and C99, which start from TensorFlow's converter; and the emulated board."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest

from components.models.selection import range_windows
from components.models.simulation import simulate
from components.quantization.prove import prove
from components.quantization.recipes.search import search
from components.quantization.recipes.write import write
from components.quantization.targets import litert
from components.quantization.targets.c99 import graph
from components.runtime import interpreter
from components.runtime.engines import open_engine
from components.runtime.integers import Layer
from components.values.recipe import Recipe

from . import plant

pytestmark = pytest.mark.slow


def written(model, windows):
    return write(model, Recipe("int8", "minmax"), range_windows(windows), 127)


@pytest.fixture(scope="module")
def tflite(model, windows, cache):
    return litert.tflites([written(model, windows)], cache)[0]


def test_every_output_byte_is_that_of_tensorflow_lite_micro(tflite, windows):
    """Real windows and random ones through the numpy arithmetic and through TFLM's reference kernels."""
    tflm = pytest.importorskip("tflite_micro", reason="tflite-micro is in the extra dev")
    codes = np.concatenate([windows.codes[::5], np.random.default_rng(0).integers(-127, 128, (200, 32, 5)).astype(np.int8)])
    codes[codes == -128] = 0
    ours = interpreter.engine(graph.read_graph(tflite))(codes)
    arrays = {"correction": ours.correction, "embedding": ours.embedding} | {f"logits.{t}": v for t, v in ours.logits.items()}
    arrays |= {f"number.{t}": v for t, v in ours.numbers.items()}
    oracle = tflm.runtime.Interpreter.from_bytes(tflite)
    for i, window in enumerate(codes):
        oracle.set_input(window[None, None], 0)
        oracle.invoke()
        for k, name in enumerate(_order(tflite)):
            assert np.array_equal(oracle.get_output(k).ravel(), arrays[name][i].ravel()), (i, name)


def test_input_codes_are_network_codes(tflite, model):
    entry = litert.signature_tensors(tflite)["input"]
    assert entry.zero == 0
    assert entry.scale == pytest.approx(model.architecture.input_scale, rel=1e-6)


def test_what_training_simulates_is_what_the_converter_makes(tflite, model, windows):
    """Ranges in single precision round a code in many thousands the other way, never by more than one."""
    codes = range_windows(windows)
    simulated = simulate(model.architecture, model.weights, codes)
    converted = graph.read_graph(tflite)
    for ours, theirs in zip(simulated.graph.operations, converted.operations, strict=True):
        if isinstance(ours, Layer):
            assert np.array_equal(ours.weights, theirs.weights)
            assert np.array_equal(ours.bias, theirs.bias)
    ours, theirs = simulated.engine(windows.codes[::2]), interpreter.engine(converted)(windows.codes[::2])
    pairs = [(ours.correction, theirs.correction), (ours.embedding, theirs.embedding)]
    pairs += [(ours.logits["fault"], theirs.logits["fault"]), (ours.numbers["life"], theirs.numbers["life"])]
    for a, b in pairs:
        assert (a == b).mean() > 0.999
        assert np.abs(a.astype(int) - b).max() <= 1


def test_litert_and_tflm_arithmetic_differ_by_a_code_at_most_in_most_outputs(tflite, windows):
    codes = np.asarray(windows.codes[:100])
    fast = open_engine("litert", {"model.tflite": tflite}, litert.signature_tensors(tflite))(codes)
    exact = interpreter.engine(graph.read_graph(tflite))(codes)
    gap = np.abs(fast.correction.astype(int) - exact.correction)
    assert np.quantile(gap, 0.99) <= 2


@pytest.mark.parametrize("kind", ["litert", "c99"])
def test_two_builds_from_nothing_give_equal_bytes(kind, build, workspace, windows, model, tmp_path):
    again = plant.built(workspace, plant.profile(kind), model, windows, tmp_path)
    assert again.to_bytes() == build(kind).to_bytes()


def test_litert_is_proven(build, workspace, windows, model):
    proof = prove(workspace, plant.profile("litert"), build("litert"), model, windows)
    assert proof.passed, proof
    assert proof.machine.startswith("ai-edge-litert")


@pytest.mark.skipif(not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))), reason="no Arm compiler or emulator")
@pytest.mark.parametrize(
    ("cpu", "machine"), [("cortex-m3", "mps2-an385"), ("cortex-m4", "mps2-an386"), ("cortex-m7", "mps2-an500")]
)
def test_the_emulated_board_repeats_every_vector(cpu, machine, build, workspace, windows, model):
    profile = plant.profile("c99", arch={"family": "armv7e-m", "cpu": cpu}, proof={"machine": machine, "vectors": 12})
    proof = prove(workspace, profile, build("c99"), model, windows)
    assert proof.level == "emulated"
    assert proof.check("self_test_mismatches").value == 0
    assert 10_000 < proof.check("instructions").value < 3_000_000
    assert proof.passed, proof


def test_too_small_a_microcontroller_fails_its_checks(build, workspace, windows, model):
    tight = {"memory": {"model_flash_kib": 4.0, "model_ram_kib": 1.0}, "budget": {"max_instructions": 1000}}
    proof = prove(workspace, plant.profile("c99", **tight), build("c99"), model, windows)
    failed = {c.name for c in proof.checks if not c.passed}
    assert {"flash", "ram"} <= failed <= {"flash", "ram", "instructions"}


def test_the_compiled_c_judges_held_out_windows_as_the_arithmetic_does(build, windows, model, cache):
    """From raw samples under each device's own scaling, over all held-out windows."""
    from components.quantization.targets.c99.trial import try_c

    rows = np.flatnonzero(windows.test)
    got = try_c(plant.profile("c99", proof={"machine": "native"}), build("c99"), windows, rows)
    codes = np.asarray(windows.codes[rows])
    wanted = build("c99").scoring.verdict(codes, search(plant.profile("c99"), model, windows, cache).network.engine(codes))
    assert got.level == "host-compiled"
    assert np.array_equal(got.verdict.surprise, wanted.surprise)
    assert np.array_equal(got.verdict.classes["fault"], wanted.classes["fault"])


def test_a_file_is_the_same_whatever_was_converted_before_it(model, windows, tmp_path):
    alone, after = (write(model, Recipe(p, "minmax" * (p == "int8")), range_windows(windows), 127) for p in ("dynamic", "int8"))
    first = litert.tflites([alone], tmp_path / "first")
    assert litert.tflites([after, alone], tmp_path / "second")[1] == first[0]


def test_two_builders_convert_once(model, windows, tmp_path, monkeypatch):
    calls = []
    convert = litert._convert
    monkeypatch.setattr(litert, "_convert", lambda *a: (calls.append(1), convert(*a)))
    one, made = written(model, windows), []
    builders = [threading.Thread(target=lambda: made.append(litert.tflites([one], tmp_path)[0])) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(calls) == 1
    assert made[0] == made[1]


def _order(tflite):
    from ai_edge_litert.interpreter import Interpreter

    interpreter_ = Interpreter(model_content=tflite)
    names = {d["index"]: n for n, d in interpreter_.get_signature_runner().get_output_details().items()}
    return [names[d["index"]] for d in interpreter_.get_output_details()]
