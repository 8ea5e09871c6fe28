"""Whatever bytes come as a .tflite: a graph, or an error that says what is wrong."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.tensors import tensor_sources
from components.runtime.interpreter import infer
from components.workspace.errors import InputError

from . import layouts, layouts16
from .flat import Flat

FILES = [made.layout(kind, 7).data for made in (layouts, layouts16) for kind in made.KINDS]
NUMBERS = (0, 1, 2, 127, 128, 255, 0x7F, 0x80, 0xFF)


def survives(data: bytes) -> None:
    """Read it; what is accepted can be computed and written out."""
    try:
        graph = read_graph(data)
    except InputError as error:
        assert error.hint
        return
    size = graph.tensors[graph.input].size
    if graph.macs + size + sum(t.size for t in graph.tensors.values()) < 1 << 20:
        entry = np.zeros((1, size), np.int8 if graph.tensors[graph.input].bits == 8 else np.int16)
        outputs = np.concatenate(list(infer(graph, entry).values()), axis=1)
        if len({graph.tensors[t].bits for t in graph.outputs.values()}) == 1:
            assert tensor_sources(graph, "fuzzed", "0", entry, outputs)


@st.composite
def damaged(draw):
    """A file of one operator, cut, with bytes, words and whole stretches replaced."""
    data = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data[at] = draw(st.sampled_from(NUMBERS) | st.integers(0, 255))
        elif kind == 1:
            data[at : at + 4] = draw(
                st.sampled_from([b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\0", b"\0\0\xc0\x7f"])
            )
        elif kind == 2:
            data[at : at + 8] = data[draw(st.integers(0, len(data) - 1)) :][:8]
        elif len(data) > 64:
            del data[draw(st.integers(32, len(data) - 1)) :]
    return bytes(data)


@settings(max_examples=300, deadline=5000)
@given(data=damaged())
def test_a_damaged_file_is_refused_or_read(data):
    survives(data)


@pytest.mark.slow
@settings(max_examples=6000, deadline=5000)
@given(data=damaged())
def test_thousands_of_damaged_files_are_refused_or_read(data):
    survives(data)


@given(data=st.binary(max_size=200).map(lambda rest: b"\x1c\0\0\0TFL3" + rest) | st.binary(max_size=40))
def test_random_bytes_are_refused(data):
    with pytest.raises(InputError):
        read_graph(data)


def one_layer(**changes):
    """A fully connected layer of which single facts are wrong."""
    given_ = {"scale": 0.1, "zero": 3, "weight_scale": 0.01, "bias": 3, "out": (1, 3), "weight_zero": 0, "kind": "int8"} | changes
    flat = Flat()
    x = flat.tensor((1, 8), given_["scale"], given_["zero"], kind=given_["kind"])
    weights = flat.constant(np.ones((3, 8), np.int8), given_["weight_scale"], given_["weight_zero"])
    bias = flat.constant(np.ones(given_["bias"], np.int32))
    y = flat.tensor(given_["out"], 0.2, 0)
    flat.add("FULLY_CONNECTED", [x, weights, bias], [y], "FullyConnectedOptions")
    return flat.done([x], [y])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scale": float("nan")}, "scale that is not positive"),
        ({"scale": 0.0}, "scale that is not positive"),
        ({"scale": -0.1}, "scale that is not positive"),
        ({"scale": float("inf")}, "scale that is not positive"),
        ({"zero": 300}, "zero point 300"),
        ({"weight_zero": 1}, "zero point"),
        ({"weight_scale": [0.1, 0.2]}, "without a scale"),
        ({"bias": 4}, "bias of shape"),
        ({"out": (1, 4)}, "output of shape"),
        ({"kind": "uint8"}, "UINT8, not INT8"),
        ({"kind": "int16"}, "16 bits and zero point 3"),
        ({"kind": "float32", "scale": None}, "FLOAT32, not INT8"),
    ],
)
def test_a_wrong_fact_is_named(changes, says):
    with pytest.raises(InputError, match=says):
        read_graph(one_layer(**changes))


def relu(inputs, outputs, count=4, *, ends=(0, 2)):
    """Two functions in a row, with the tensors that each is said to read and write."""
    flat = Flat()
    for _ in range(count):
        flat.tensor((1, 8), 0.1, 0)
    for read, written in zip(inputs, outputs, strict=True):
        flat.add("RELU", [read], [written])
    return flat.done([ends[0]], [ends[1]])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (relu([0, 99], [1, 2]), "not there"),
        (relu([0, -7], [1, 2]), "not there"),
        (relu([2, 1], [1, 2]), "before it is written"),
        (relu([0, 0], [1, 1], ends=(0, 1)), "there already"),
        (relu([0, 1], [1, 2], ends=(0, 3)), "nothing writes"),
        (relu([0, 1], [1, 2], ends=(0, 50)), "not there"),
        (relu([0, 1], [1, 2], ends=(0, 0)), "gives back its input"),
    ],
)
def test_a_graph_that_does_not_hold_together_is_refused(data, says):
    with pytest.raises(InputError, match=says):
        read_graph(data)


def test_a_shape_of_gigabytes_is_refused_before_anything_is_made_of_it():
    flat = Flat()
    x, y = (flat.tensor((1, 1 << 15, 1 << 15, 1 << 15), 0.1, 0) for _ in range(2))
    flat.add("RELU", [x], [y])
    with pytest.raises(InputError, match="of shape"):
        read_graph(flat.done([x], [y]))


def test_a_small_file_whose_tensors_share_their_bytes_cannot_ask_for_hours():
    """Five hundred layers of 4 million weights each, in a file of 4 MB."""
    flat, size = Flat(), 1 << 11
    weights = flat.constant(np.ones((size, size), np.int8), 0.01)
    tensors = [flat.tensor((1, size), 0.1, 0) for _ in range(500)]
    for x, y in pairwise(tensors):
        flat.add("FULLY_CONNECTED", [x, weights, -1], [y], "FullyConnectedOptions")
    with pytest.raises(InputError, match="more than files may have"):
        read_graph(flat.done([tensors[0]], [tensors[-1]]))


def test_a_buffer_of_another_length_is_refused():
    flat = Flat()
    x, y = flat.tensor((1, 8), 0.1, 0), flat.tensor((1, 3), 0.1, 0)
    weights = flat.tensor((3, 8), 0.1, data=np.zeros(23, np.int8))
    flat.add("FULLY_CONNECTED", [x, weights, -1], [y], "FullyConnectedOptions")
    with pytest.raises(InputError, match="23 bytes for shape"):
        read_graph(flat.done([x], [y]))


def test_an_operator_without_a_kernel_is_named_with_those_that_have_one():
    flat = Flat()
    x, y = flat.tensor((1, 8), 0.1, 0), flat.tensor((1, 8), 0.1, 0)
    flat.add("COS", [x], [y])
    with pytest.raises(InputError, match=r"operator 0 \(COS\)") as error:
        read_graph(flat.done([x], [y]))
    assert "CONV_2D" in error.value.hint


@pytest.mark.parametrize("name", ["CONV_2D", "AVERAGE_POOL_2D"])
def test_an_operator_without_its_options_is_refused(name):
    flat = Flat()
    x, y = flat.tensor((1, 4, 4, 1), 0.1, 0), flat.tensor((1, 4, 4, 1), 0.1, 0)
    weights = [flat.constant(np.ones((1, 1, 1, 1), np.int8), 0.1), -1] if name == "CONV_2D" else []
    flat.add(name, [x, *weights], [y])
    with pytest.raises(InputError, match="no options"):
        read_graph(flat.done([x], [y]))


def test_options_of_another_operator_are_refused():
    flat = Flat()
    x, y = flat.tensor((1, 4, 4, 1), 0.1, 0), flat.tensor((1, 4, 4, 1), 0.1, 0)
    flat.add("AVERAGE_POOL_2D", [x], [y], "Conv2DOptions")
    with pytest.raises(InputError):
        read_graph(flat.done([x], [y]))
