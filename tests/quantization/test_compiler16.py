"""int16 activations with int8 weights: numpy, the compiled C and TensorFlow Lite Micro give equal bytes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from components.quantization.targets.c99.graph import read_graph
from components.runtime.interpreter import infer

from . import compiled, layouts16
from .flat import tflm

pytest.importorskip("tflite_micro", reason="tflite-micro is in the extra dev")
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")


def codes_for(graph, seed: int, rows: int = 4) -> np.ndarray:
    """Random codes, and both ends of the range."""
    entry = graph.tensors[graph.input]
    codes = np.random.default_rng(seed).integers(entry.low, entry.high + 1, (rows, entry.size))
    codes[0], codes[1] = entry.low, entry.high
    return codes.astype(f"int{entry.bits}")


def check(folder, kind: str, seeds: range, compiler: str, *flags: str) -> None:
    made = [layouts16.layout(kind, seed) for seed in seeds]
    library = compiled.Library(folder, [layout.data for layout in made], compiler, *flags)
    for number, (layout, seed) in enumerate(zip(made, seeds, strict=True)):
        graph = read_graph(layout.data)
        codes = codes_for(graph, seed)
        (wanted,) = tflm(layout.data, codes)
        (ours,) = infer(graph, codes).values()
        assert ours.dtype == wanted.dtype
        assert np.array_equal(ours, wanted), f"numpy, {layout.name}"
        got = library.run(number, codes, wanted.shape[1], wanted.dtype)
        assert np.array_equal(got, wanted), f"{compiler}, {layout.name}"


@pytest.mark.parametrize("kind", layouts16.KINDS)
def test_operators_of_16_bits_answer_as_tensorflow_lite_micro_does(kind, tmp_path):
    check(tmp_path, kind, range(6), COMPILERS[0])


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("kind", layouts16.KINDS)
def test_hundreds_of_layouts_of_16_bits_answer_as_tensorflow_lite_micro_does(kind, compiler, tmp_path):
    """With gcc under the sanitizer of undefined behaviour; odd and even seeds, so that no layout is tried twice."""
    flags = ("-fsanitize=undefined", "-fno-sanitize-recover=undefined") if compiler == "gcc" else ()
    seeds = range(100, 160, 2) if compiler == COMPILERS[0] else range(101, 160, 2)
    check(tmp_path, kind, seeds, compiler, *flags)
