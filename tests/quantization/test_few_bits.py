"""Weights of four bits and of one in C: packed and unpacked to the byte, tried where a profile names them, judged like all."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.models.selection import range_windows
from components.models.weights import bits_of, coded
from components.quantization.prove import prove
from components.quantization.quantize import quantize
from components.quantization.recipes.search import Search, search
from components.quantization.recipes.write import write
from components.quantization.targets import c99
from components.runtime import interpreter
from components.runtime.fixed_point import quantize_multiplier
from components.runtime.integers import Graph, Layer, Sweep, Tensor
from components.runtime.packing import packed
from components.values.recipe import Recipe

from . import compiled, plant

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
COMPILED = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")
BOARD = all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm")))
MOST = {4: 7, 1: 1}


def layer_graph(bits: int, seed: int) -> Graph:
    """One convolution, of a size at which rows of weights end anywhere within a byte."""
    rng = np.random.default_rng([bits, seed])
    channels, out, kernel = (int(rng.integers(1, n)) for n in (12, 9, 5))
    image, outputs = (int(rng.integers(1, 5)), int(rng.integers(kernel, 10)), channels), (0, 0)
    outputs = image[0], image[1] if rng.random() < 0.5 else image[1] - kernel + 1
    before = (0, (kernel - 1) // 2 if outputs[1] == image[1] else 0)
    codes = rng.integers(-7, 8, (out, 1, kernel, channels)) if bits == 4 else rng.choice([-1, 1], (out, 1, kernel, channels))
    factors = tuple(quantize_multiplier(float(rng.uniform(0.2, 3)) / (30 * np.sqrt(kernel * channels))) for _ in range(out))
    zero = int(rng.integers(-128, 128))
    bias = (rng.integers(-500, 500, out) - zero * codes.sum(axis=(1, 2, 3))).astype(np.int32)
    sweep = Sweep(image, outputs, (1, kernel), before=before)
    made = Layer(0, 1, False, codes.astype(np.int8), bias, factors, sweep, zero, 5, -128, 127, weight_bits=bits)
    return Graph({0: Tensor(image, 0.1, zero), 1: Tensor((*outputs, out), 0.1, 5)}, (made,), 0, {"y": 1})


@COMPILED
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("bits", [4, 1])
def test_c_unpacks_what_numpy_computes(bits, compiler, tmp_path):
    graphs = [layer_graph(bits, seed) for seed in range(25)]
    flags = ("-fsanitize=undefined", "-fno-sanitize-recover=undefined") if compiler == "gcc" else ()
    library = compiled.Library(tmp_path, graphs, compiler, *flags)
    for number, graph in enumerate(graphs):
        codes = np.random.default_rng(number).integers(-128, 128, (4, graph.tensors[0].size)).astype(np.int8)
        codes[0], codes[1] = -128, 127
        (wanted,) = interpreter.infer(graph, codes).values()
        assert np.array_equal(library.run(number, codes, wanted.shape[1]), wanted), number


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 1]))
def test_packed_weights_are_as_small_as_their_bits_say_and_hold_every_one(seed, bits):
    (layer,) = layer_graph(bits, seed).operations
    data, out = packed(layer), len(layer.weights)
    row = layer.weights[0].size
    assert data.nbytes == out * -(-row * bits // 8)
    values = np.unpackbits(data.view(np.uint8).reshape(out, -1), axis=1, bitorder="little")[:, : row * bits]
    if bits == 1:
        assert np.array_equal(values.astype(int) * 2 - 1, layer.weights.reshape(out, -1))
    else:
        nibbles = (values.reshape(out, row, 4) * [1, 2, 4, -8]).sum(axis=2)
        assert np.array_equal(nibbles, layer.weights.reshape(out, -1))


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 1]))
def test_no_other_scale_errs_less(seed, bits):
    """Of all scales near the one that is taken, for weights with a heavy tail; a channel of zeros has a scale, too."""
    rng = np.random.default_rng(seed)
    weight = (rng.standard_t(3, (3, 40)) * rng.uniform(0.01, 10, (3, 1))).astype(np.float32)
    weight[2] = 0
    scales, codes = coded(weight, bits)
    assert (scales > 0).all()
    assert np.abs(codes).max() <= MOST[bits]

    def error(factor: float) -> np.ndarray:
        s = scales[:2, None] * factor
        rounded = np.clip(np.rint(weight[:2] / s), -7, 7) if bits == 4 else codes[:2]
        return ((rounded * s - weight[:2]) ** 2).sum(axis=1)

    for factor in (0.8, 0.9, 1.1, 1.25):
        assert (error(factor) >= error(1.0) * 0.97).all()


def test_ends_and_depthwise_layers_keep_their_bits():
    layers = ("stem", "block0.depthwise", "block0.pointwise", "correct", "summary.life", "hidden.life", "head.life", "embedding")
    assert [bits_of("int4", name) for name in layers] == [4, 8, 4, 4, 8, 4, 4, 8]
    assert [bits_of("binary", name) for name in layers] == [8, 8, 1, 8, 8, 1, 8, 8]
    assert {bits_of("int8", name) for name in layers} == {8}


def test_few_bits_are_tried_only_where_they_are_named():
    assert plant.profile("c99", quantization={}).precisions == ("int8", "int16x8")
    assert plant.profile("c99", quantization={"precisions": ["int8", "int4", "binary"]}).precisions == ("binary", "int4", "int8")


@COMPILED
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int4", "binary"])
def test_the_board_repeats_networks_of_few_bits(precision, workspace, windows, model, cache):
    """Every vector, on the emulated core where it is here; int4 keeps its promises too."""
    machine = "mps2-an386" if BOARD else "native"
    profile = plant.profile("c99", quantization={"precisions": [precision]}, proof={"machine": machine, "vectors": 12})
    written = write(model, Recipe(precision, "minmax", corrected=True), range_windows(windows), 127)
    network = c99.compile_network(profile, written, cache)
    artefact = quantize(workspace, profile, model, windows, "d" * 64, Search(network, Recipe(precision)))
    proof = prove(workspace, profile, artefact, model, windows)
    checks = {check.name: check for check in proof.checks}
    assert checks["self_test_mismatches"].value == 0
    assert checks["fault/label_agreement"].passed
    assert proof.passed == (precision == "int4"), proof
    assert "model.blob" not in artefact.members


@pytest.mark.slow
@COMPILED
def test_the_gate_of_accuracy_decides(windows, model, cache):
    """Signs alone shift a regression's values too far; four bits do not, and are smaller than eight."""
    pytest.importorskip("tensorflow")
    profile = plant.profile("c99", quantization={"precisions": ["binary", "int4", "int8"], "calibrators": ["minmax"]})
    found = search(profile, model, windows, cache)
    assert found.recipe == Recipe("int4", "minmax", equalised=found.recipe.equalised, corrected=True)
    lost = {one.recipe.precision: one.lost for one in found.tried[:3]}
    assert "value shift" in lost["binary"]
    assert lost["int8"]
