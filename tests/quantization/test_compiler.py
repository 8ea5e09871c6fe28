"""Any int8 network: numpy, the compiled C and TensorFlow Lite Micro give equal bytes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from components.quantization.targets.c99.graph import OPERATORS, read_graph
from components.runtime.interpreter import infer
from components.workspace.errors import InputError

from . import compiled, layouts
from .flat import Flat, tflm

pytest.importorskip("tflite_micro", reason="tflite-micro is in the extra dev")
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")


def codes_for(layout: layouts.Layout, seed: int, rows: int = 4) -> np.ndarray:
    """Random codes, both ends of the range, and all 256 where one code comes in at a time."""
    if layout.size == 256:
        return np.arange(-128, 128).astype(np.int8)[None]
    codes = np.random.default_rng(seed).integers(-128, 128, (rows, layout.size)).astype(np.int8)
    codes[0], codes[1] = -128, 127
    return codes


def check(folder, kind: str, seeds: range, compiler: str, *flags: str) -> None:
    made = [layouts.layout(kind, seed) for seed in seeds]
    library = compiled.Library(folder, [layout.data for layout in made], compiler, *flags)
    for number, (layout, seed) in enumerate(zip(made, seeds, strict=True)):
        codes = codes_for(layout, seed)
        (wanted,) = tflm(layout.data, codes)
        (ours,) = infer(read_graph(layout.data), codes).values()
        assert np.array_equal(ours, wanted), f"numpy, {layout.name}"
        assert np.array_equal(library.run(number, codes, wanted.shape[1]), wanted), f"{compiler}, {layout.name}"


@pytest.mark.parametrize("kind", layouts.KINDS)
def test_operators_answer_as_tensorflow_lite_micro_does(kind, tmp_path):
    check(tmp_path, kind, range(3), COMPILERS[0])


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("kind", layouts.KINDS)
def test_hundreds_of_layouts_answer_as_tensorflow_lite_micro_does(kind, compiler, tmp_path):
    """With gcc under the sanitizer of undefined behaviour; odd and even seeds, so that no layout is tried twice."""
    flags = ("-fsanitize=undefined", "-fno-sanitize-recover=undefined") if compiler == "gcc" else ()
    seeds = range(100, 150, 2) if compiler == COMPILERS[0] else range(101, 150, 2)
    check(tmp_path, kind, seeds, compiler, *flags)


def test_every_operator_that_is_promised_is_tried():
    tried = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2", "ADD", "SUB"}
    tried |= {
        "MUL",
        "MEAN",
        "REDUCE_MAX",
        "CONCATENATION",
        "SOFTMAX",
        "SPLIT",
        "STRIDED_SLICE",
        "TRANSPOSE",
        "RESHAPE",
        "SQUEEZE",
        "EXPAND_DIMS",
        *layouts.FUNCTIONS,
    }
    assert tried == set(OPERATORS)


def test_a_chain_of_reshapes_and_shape_arithmetic_is_nothing_to_compute(tmp_path):
    """As converters write it: with and without a shape as input, squeezed, expanded, with the shape computed at run time."""
    flat = Flat()
    x = flat.tensor((1, 4, 6), 0.1, 3)
    shape, part, packed = (flat.tensor((n,), None, kind="int32") for n in (3, 1, 2))
    edges = [flat.constant(np.asarray([n], np.int32)) for n in (0, 1, 1)]
    flat.add("SHAPE", [x], [shape], "ShapeOptions", outType=2)
    flat.add("STRIDED_SLICE", [shape, *edges], [part], "StridedSliceOptions")
    flat.add("PACK", [part, part], [packed], "PackOptions", valuesCount=2)
    image, flatter, squeezed, expanded = (flat.tensor(s, 0.1, 3) for s in ((1, 4, 6, 1), (1, 24), (24,), (1, 24)))
    flat.add("RESHAPE", [x, packed], [image], "ReshapeOptions")
    flat.add("RESHAPE", [image], [flatter], "ReshapeOptions", newShape=[1, 24])
    flat.add("SQUEEZE", [flatter], [squeezed], "SqueezeOptions")
    flat.add("EXPAND_DIMS", [squeezed, flat.constant(np.asarray(0, np.int32))], [expanded], "ExpandDimsOptions")
    weights = flat.constant(np.arange(-36, 36).reshape(3, 24).astype(np.int8), 0.01)
    y = flat.tensor((1, 3), 0.2, -5)
    flat.add("FULLY_CONNECTED", [expanded, weights, -1], [y], "FullyConnectedOptions")
    graph = read_graph(flat.done([x], [y]))
    assert len(graph.operations) == 1
    codes = np.random.default_rng(0).integers(-128, 128, (5, 24)).astype(np.int8)
    sums = (codes.astype(float) - 3) @ np.arange(-36, 36).reshape(3, 24).T
    (answered,) = infer(graph, codes).values()
    assert np.abs(answered - np.clip(sums * 0.1 * 0.01 / 0.2 - 5, -128, 127)).max() <= 1


def test_a_model_with_floats_at_its_ends_takes_and_gives_codes(tmp_path):
    flat = Flat()
    x, entry = flat.tensor((1, 8), None, kind="float32"), flat.tensor((1, 8), 0.1, -4)
    y, out = flat.tensor((1, 8), 0.2, 6), flat.tensor((1, 8), None, kind="float32")
    flat.add("QUANTIZE", [x], [entry], "QuantizeOptions")
    flat.add("RELU", [entry], [y])
    flat.add("DEQUANTIZE", [y], [out], "DequantizeOptions")
    graph = read_graph(flat.done([x], [out]))
    codes = np.arange(-4, 4).astype(np.int8)[None]
    (answered,) = infer(graph, codes).values()
    assert answered.tolist() == [[6, 7, 7, 8, 8, 9, 9, 10]]
    assert graph.tensors[graph.input].zero == -4


def test_a_model_with_bytes_at_its_ends_takes_and_gives_codes_that_lie_128_below():
    flat = Flat()
    x, entry = flat.tensor((1, 9), 0.1, 124, kind="uint8"), flat.tensor((1, 9), 0.1, -4)
    y, out = flat.tensor((1, 9), 1 / 256, -128), flat.tensor((1, 9), 1 / 256, 0, kind="uint8")
    flat.add("QUANTIZE", [x], [entry], "QuantizeOptions")
    flat.add("LOGISTIC", [entry], [y])
    flat.add("QUANTIZE", [y], [out], "QuantizeOptions")
    data = flat.done([x], [out])
    codes = np.random.default_rng(0).integers(-128, 128, (6, 9)).astype(np.int8)
    (wanted,) = tflm(data, (codes.astype(int) + 128).astype(np.uint8))
    (answered,) = infer(read_graph(data), codes).values()
    assert np.array_equal(answered.astype(int) + 128, wanted)


def test_bytes_of_another_scale_than_the_codes_behind_them_are_refused():
    flat = Flat()
    x, entry, y = flat.tensor((1, 9), 0.2, 124, kind="uint8"), flat.tensor((1, 9), 0.1, -4), flat.tensor((1, 9), 0.1, 0)
    flat.add("QUANTIZE", [x], [entry], "QuantizeOptions")
    flat.add("RELU", [entry], [y])
    with pytest.raises(InputError, match="another scale"):
        read_graph(flat.done([x], [y]))


def test_several_outputs_come_one_after_the_other(tmp_path):
    flat = Flat()
    x = flat.tensor((1, 16), 0.1, 0)
    first, second = flat.tensor((1, 16), 1 / 256, -128, name="b"), flat.tensor((1, 16), 1 / 128, 0, name="a")
    flat.add("LOGISTIC", [x], [first])
    flat.add("TANH", [x], [second])
    data = flat.done([x], [first, second])
    graph = read_graph(data)
    codes = np.random.default_rng(0).integers(-128, 128, (3, 16)).astype(np.int8)
    wanted = tflm(data, codes, outputs=2)
    ours = infer(graph, codes)
    assert list(ours) == ["b", "a"]
    assert all(np.array_equal(a, b) for a, b in zip(ours.values(), wanted, strict=True))
    got = compiled.Library(tmp_path, [data], COMPILERS[0]).run(0, codes, 32)
    assert np.array_equal(got, np.concatenate(wanted, axis=1))
