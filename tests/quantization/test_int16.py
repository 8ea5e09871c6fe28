"""int16 activations with int8 weights in C: the telemetry network by its recipe, and files from elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from components.models.selection import range_windows
from components.quantization.prove import prove
from components.quantization.quantize import quantize
from components.quantization.recipes.fidelity import fidelity, judged
from components.quantization.recipes.search import search
from components.quantization.recipes.write import write
from components.quantization.targets import c99
from components.quantization.targets.c99.graph import read_graph
from components.runtime.interpreter import infer
from components.values.recipe import Recipe
from components.workspace.errors import InputError
from muster.commands import artefact as artefacts
from muster.commands import model as models

from . import compiled, layouts16, plant
from .flat import Flat, tflm

BOARD = all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm")))
COMPILED = pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler (Debian: gcc libc6-dev)")
SIZE = 6 * 5 * 2


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def classifier(wide_out: bool = True) -> bytes:
    """(1, 6, 5, 2) through a convolution, a depthwise one, a mean and a dense layer."""
    rng, flat = np.random.default_rng(3), Flat()

    def layer(name: str, x: int, y: int, shape: tuple[int, ...], scale: float, axis: int, options: str, **fields: int) -> None:
        scales = rng.uniform(0.002, 0.01, shape[axis]).astype(np.float32)
        weights = flat.constant(rng.integers(-127, 128, shape).astype(np.int8), scales, axis=axis)
        bias = flat.constant(rng.integers(-(1 << 17), 1 << 17, shape[axis]), np.float32(scale) * scales)
        flat.add(name, [x, weights, bias], [y], options, **fields)

    image, first, second = ((1, 6, 5, n) for n in (2, 4, 4))
    x = flat.tensor(image, 3e-4, kind="int16", name="image")
    a, b = flat.tensor(first, 2e-4, kind="int16"), flat.tensor(second, 2e-4, kind="int16")
    mean, y = flat.tensor((1, 4), 1e-4, kind="int16"), flat.tensor((1, 3), 1e-4, kind="int16", name="scores")
    swept = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": 1}
    layer("CONV_2D", x, a, (4, 3, 3, 2), 3e-4, 0, "Conv2DOptions", **swept)
    layer("DEPTHWISE_CONV_2D", a, b, (1, 3, 3, 4), 2e-4, 3, "DepthwiseConv2DOptions", depthMultiplier=1, **swept)
    flat.add("MEAN", [b, flat.constant(np.asarray([1, 2], np.int32))], [mean], "ReducerOptions", keepDims=False)
    layer("FULLY_CONNECTED", mean, y, (3, 4), 1e-4, 0, "FullyConnectedOptions")
    if wide_out:
        return flat.done([x], [y])
    narrow = flat.tensor((1, 3), 1e-2)
    flat.add("QUANTIZE", [y], [narrow], "QuantizeOptions")
    return flat.done([x], [y, narrow])


@pytest.fixture
def profile(tmp_path):
    def of(machine: str = "native", **changes):
        value = {
            "name": "node",
            "description": "test",
            "arch": {"family": "armv7e-m", "cpu": "cortex-m4"},
            "memory": {"model_flash_kib": 64.0, "model_ram_kib": 16.0},
            "runtime": {"name": "c99", "minimal": "1.0"},
            "proof": {"machine": machine, "vectors": 8},
        }
        (tmp_path / "node.yaml").write_text(yaml.safe_dump(value | changes))
        return tmp_path / "node.yaml"

    return of


@pytest.fixture
def imported(tmp_path):
    (tmp_path / "m.tflite").write_bytes(classifier())
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(0, 2, (40, 6, 5, 2)).astype(np.float32))
    about = ("--name", "gesture", "--classes", "up,down,still", "--examples", tmp_path / "x.npy")
    run(models.app, "import", tmp_path / "m.tflite", *about, "--out", tmp_path / "kept")
    return tmp_path / "kept"


@COMPILED
@pytest.mark.parametrize("machine", ["native", pytest.param("mps2-an386", marks=[pytest.mark.slow])])
def test_a_file_of_16_bits_is_built_and_repeats_tensorflow_lite_micro(machine, imported, profile, tmp_path):
    """Sources, golden vectors and proof through the command line; every vector as TensorFlow Lite Micro has it."""
    pytest.importorskip("tflite_micro", reason="tflite-micro is in the extra dev")
    if machine != "native" and not BOARD:
        pytest.skip("no Arm compiler or emulator")
    out, chosen = tmp_path / "firmware", profile(machine)
    run(artefacts.app, "build", imported, "--profile", chosen, "--out", out)
    assert "typedef int16_t model_in;" in (out / "model.h").read_text()
    with np.load(out / "golden.npz") as golden:
        (wanted,) = tflm(classifier(), golden["inputs"])
        assert golden["outputs"].dtype == np.int16
        assert np.array_equal(golden["outputs"], wanted)
        assert len(np.unique(wanted)) > len(wanted)  # more than int8 could tell apart
    proof = json.loads(run(artefacts.app, "prove", out, "--profile", chosen, "--json").stdout)["data"]
    checks = {c["name"]: c["value"] for c in proof["checks"]}
    assert proof["passed"]
    assert checks["self_test_mismatches"] == checks["host_mismatches"] == 0
    assert proof["level"] == ("emulated" if machine != "native" else proof["level"])


@COMPILED
def test_the_sources_of_16_bits_need_no_heap_and_no_floating_point(imported, profile, tmp_path):
    run(artefacts.app, "build", imported, "--profile", profile(), "--out", tmp_path)
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        subprocess.run([compiler, *strict, "-c", "model.c", "model_selftest.c", "main.c"], cwd=tmp_path, check=True)
    code = (tmp_path / "model.c").read_text()
    assert not any(word in code for word in ("float ", "double", "malloc", "<math.h>"))
    assert "dot2x2" not in code and "write_codes" not in code  # kernels of int8


def test_outputs_of_both_widths_are_refused(profile, tmp_path):
    (tmp_path / "m.tflite").write_bytes(classifier(wide_out=False))
    run(models.app, "import", tmp_path / "m.tflite", "--name", "g", "--out", tmp_path / "kept")
    with pytest.raises(InputError, match="outputs of 8 and of 16 bits"):
        run(artefacts.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")


@COMPILED
def test_a_maximum_of_16_bits_is_that_of_tensorflow_lite(tmp_path):
    """TensorFlow Lite Micro has no maximum of int16."""
    from ai_edge_litert.interpreter import Interpreter

    flat = Flat()
    x, y = flat.tensor((1, 4, 5, 3), 1e-3, kind="int16"), flat.tensor((1, 3), 1e-3, kind="int16")
    flat.add("REDUCE_MAX", [x, flat.constant(np.asarray([1, 2], np.int32))], [y], "ReducerOptions", keepDims=False)
    data = flat.done([x], [y])
    codes = np.random.default_rng(0).integers(-32768, 32768, (3, 60)).astype(np.int16)
    oracle = Interpreter(model_content=data)
    oracle.allocate_tensors()
    wanted = []
    for row in codes:
        oracle.set_tensor(oracle.get_input_details()[0]["index"], row.reshape(1, 4, 5, 3))
        oracle.invoke()
        wanted.append(oracle.get_tensor(oracle.get_output_details()[0]["index"]).ravel())
    (ours,) = infer(read_graph(data), codes).values()
    assert np.array_equal(ours, wanted)
    assert np.array_equal(compiled.Library(tmp_path, [data]).run(0, codes, 3, np.int16), wanted)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"zero": 3}, "16 bits and zero point 3"),
        ({"kind": "int8"}, "8 and of 16 bits together"),
        ({"name": "HARD_SWISH"}, "codes of 16 bits"),
        ({"name": "LOGISTIC"}, "not in 1/32768"),
    ],
)
def test_what_has_no_meaning_in_16_bits_is_refused(changes, says):
    given = {"zero": 0, "kind": "int16", "name": "RELU"} | changes
    flat = Flat()
    x, y = flat.tensor((1, 8), 1e-3, given["zero"], kind="int16"), flat.tensor((1, 8), 1e-3, kind=given["kind"])
    flat.add(given["name"], [x], [y])
    with pytest.raises(InputError, match=says):
        read_graph(flat.done([x], [y]))


@pytest.mark.slow
def test_16_bits_are_nearer_to_the_float_network_than_8(windows, model, cache):
    pytest.importorskip("tensorflow")
    codes, wanted = range_windows(windows), judged(model, np.asarray(windows.codes[::3]))
    noise = {}
    for precision in ("int8", "int16x8"):
        written = write(model, Recipe(precision, "minmax"), codes, 127)
        noise[precision] = fidelity(model, c99.compile_network(plant.profile("c99"), written, cache), wanted).noise
    assert noise["int16x8"] < noise["int8"]


@COMPILED
@pytest.mark.slow
@pytest.mark.parametrize("machine", ["native", "mps2-an386"])
def test_the_recipe_of_16_bits_is_searched_for_and_proven(machine, workspace, windows, model, cache):
    """The search needs no converter for it; the proof runs on the emulated core and keeps the task metrics."""
    if machine != "native" and not BOARD:
        pytest.skip("no Arm compiler or emulator")
    profile = plant.profile("c99", quantization={"precisions": ["int16x8"]}, proof={"machine": machine, "vectors": 12})
    found = search(profile, model, windows, cache)
    assert found.recipe.precision == "int16x8"
    artefact = quantize(workspace, profile, model, windows, "d" * 64, found)
    assert "convolution16" in artefact.members["model.c"].decode()
    proof = prove(workspace, profile, artefact, model, windows)
    assert proof.passed, proof
    assert proof.level == ("emulated" if machine != "native" else proof.level)


def test_every_layout_of_16_bits_is_tried():
    assert {"LOGISTIC", "TANH", "LEAKY_RELU", "RELU", "RELU6", "QUANTIZE", "mean", "widths"} <= layouts16.KINDS.keys()
