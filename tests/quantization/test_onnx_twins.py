"""The Keras twin of an ONNX graph, and the int8 .tflite that becomes of it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.quantization.imported.onnx_models.folding import folded
from components.quantization.imported.onnx_models.session import answers
from components.quantization.imported.onnx_models.twin.node import Node
from components.quantization.imported.onnx_models.twin.padding import window
from components.values.imported_onnx import Signal
from components.workspace.errors import GateFailed, InputError
from muster.commands import artefact, model

from .onnx_drawn import graphs
from .onnx_graphs import CLASSES, classifier, inputs, proto

PROFILE = {
    "name": "node",
    "description": "a sensor node",
    "arch": {"family": "armv7e-m", "cpu": "cortex-m4"},
    "memory": {"model_flash_kib": 64, "model_ram_kib": 16},
    "runtime": {"name": "c99", "minimal": "1.0"},
    "numeric": {"min_label_agreement": 0.8},
    "proof": {"machine": "native", "vectors": 8},
}
LITERT = {
    "runtime": {"name": "litert", "minimal": "2.0"},
    "arch": {"family": "x86-64", "cpu": "any"},
    "memory": {"model_flash_kib": 64, "model_ram_kib": 200_000},
}
COMPILED = pytest.mark.skipif(not any(map(shutil.which, ("gcc", "clang"))), reason="no C compiler (Debian: gcc libc6-dev)")


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def data(result):
    return json.loads(result.stdout)["data"]


@pytest.fixture
def build(tmp_path):
    """Import an ONNX model and build it for a profile; the folder of the artefact, and the profile."""

    def build(made, rows, *more, **changes):
        (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
        (tmp_path / "node.yaml").write_text(yaml.safe_dump(PROFILE | changes))
        np.save(tmp_path / "x.npy", rows)
        run(
            model.app,
            "import",
            tmp_path / "m.onnx",
            "--name",
            "m",
            "--out",
            tmp_path / "kept",
            "--examples",
            tmp_path / "x.npy",
            *more,
        )
        run(artefact.app, "build", tmp_path / "kept", "--profile", tmp_path / "node.yaml", "--out", tmp_path / "made", "--json")
        return tmp_path / "made", tmp_path / "node.yaml"

    return build


@given(
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]),
)
def test_automatic_padding_gives_as_many_outputs_as_it_says(size, kernel, stride, dilation, automatic):
    about = {"auto_pad": automatic, "strides": [stride], "dilations": [dilation]}
    over = window(Node("Conv", "c", ("x", "w"), ("y",), about, {}, 17), (size,), (kernel,))
    reach, (sides,) = (kernel - 1) * dilation + 1, over.sides
    outputs = (size + sum(sides) - reach) // stride + 1
    if automatic == "VALID":
        assert sides == (0, 0)
    else:
        assert outputs == -(-size // stride)
        assert 0 <= (sides[1] - sides[0]) * (1 if automatic == "SAME_UPPER" else -1) <= 1


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs())
def test_a_twin_says_what_onnx_runtime_says(drawn):
    from components.quantization.imported.onnx_models.twin.network import twin
    from components.quantization.imported.onnx_models.twin.writing import said

    made, shape = drawn
    source, given_data = Signal("x", shape), made.SerializeToString()
    rows = np.random.default_rng(0).normal(0, 1, (3, source.size)).astype(np.float32)
    wanted = answers(given_data, source, rows)
    got = said(twin(folded(given_data, source), source), source, rows)
    assert np.abs(got - wanted).max() <= 1e-4 * max(1.0, float(np.abs(wanted).max()))


@pytest.mark.slow
@COMPILED
def test_an_onnx_file_becomes_c_that_repeats_every_vector(build):
    out, profile = build(classifier(), inputs(64), "--classes", ",".join(CLASSES))
    assert {"model.c", "model.h", "golden.npz"} < {p.name for p in out.iterdir()}
    described = json.loads((out / "artefact.json").read_text())
    assert described["input"]["shape"] == [1, 8, 6, 2]  # channels last
    assert [described["input"]["name"], described["outputs"][0]["name"]] == ["x", "logits"]
    proof = data(run(artefact.app, "prove", out, "--profile", profile, "--json"))
    checks = {c["name"]: c["value"] for c in proof["checks"]}
    assert proof["passed"]
    assert checks["self_test_mismatches"] == checks["host_mismatches"] == 0


@pytest.mark.slow
@COMPILED
def test_a_graph_of_an_old_opset_becomes_c(build):
    """Attributes where later ones have inputs."""
    draw = np.random.default_rng(0)
    weights = {"w": draw.normal(0, 0.4, (8, 2, 3, 3)).astype(np.float32), "g": draw.normal(0, 1, (8, 3)).astype(np.float32)}
    nodes = [
        ("Pad", ("x",), "p", {"pads": [0, 0, 1, 1, 0, 0, 1, 1]}),
        ("Conv", ("p", "w"), "c"),
        ("Clip", ("c",), "r", {"min": 0.0, "max": 6.0}),
        ("MaxPool", ("r",), "m", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("ReduceMean", ("m",), "a", {"axes": [2, 3], "keepdims": 1}),
        ("Squeeze", ("a",), "s", {"axes": [2, 3]}),
        ("MatMul", ("s", "g"), "logits"),
    ]
    out, profile = build(proto(nodes, weights, opset=9, ir=4), inputs(40), numeric={"max_value_shift": 0.05})
    assert data(run(artefact.app, "prove", out, "--profile", profile, "--json"))["passed"]


@pytest.mark.slow
@COMPILED
def test_one_spatial_axis_and_steps_first_need_no_transpose(build):
    """As code for time series writes it: (steps, channels), turned before the convolution."""
    draw = np.random.default_rng(0)
    weights = {"w": draw.normal(0, 0.4, (6, 3, 5)).astype(np.float32), "g": draw.normal(0, 0.4, (6 * 16, 2)).astype(np.float32)}
    nodes = [
        ("Transpose", ("x",), "t", {"perm": [0, 2, 1]}),
        ("Conv", ("t", "w"), "c", {"pads": [2, 2], "strides": [2]}),
        ("Relu", ("c",), "r"),
        ("Flatten", ("r",), "f"),
        ("Gemm", ("f", "g"), "logits"),
        ("Transpose", ("c",), "turned", {"perm": [0, 2, 1]}),
    ]
    made = proto(nodes, weights, ("n", 32, 3), exits=("logits", "turned"))
    out, profile = build(made, inputs(40, (32, 3)), numeric={"max_value_shift": 0.05})
    described = json.loads((out / "artefact.json").read_text())
    assert described["input"]["shape"] == [1, 32, 3]
    assert [port["shape"] for port in described["outputs"]] == [[1, 2], [1, 16, 6]]
    assert data(run(artefact.app, "prove", out, "--profile", profile, "--json"))["passed"]


@pytest.mark.slow
def test_every_output_keeps_its_place(build):
    """Also of outputs whose sizes do not tell them apart."""
    draw = np.random.default_rng(0)
    weights = {name: draw.normal(0, 0.4, (96, 4)).astype(np.float32) for name in ("a", "b", "c")}
    nodes = [("Flatten", ("x",), "f"), *(("Gemm", ("f", name), f"{'zyx'[i]}out") for i, name in enumerate(weights))]
    exits = ("zout", "yout", "xout")
    out, profile = build(proto(nodes, weights, exits=exits), inputs(40), **LITERT)
    with np.load(out / "golden.npz") as golden:
        found, codes = golden["outputs"], golden["inputs"]
    described = json.loads((out / "artefact.json").read_text())
    port = described["input"]
    x = ((codes.astype(np.float32) - port["zero"]) * port["scale"]).reshape(-1, *port["shape"][1:])
    x = x if port["shape"][1:] == [2, 8, 6] else x.transpose(0, 3, 1, 2)
    for i, (name, told) in enumerate(zip(weights, described["outputs"], strict=True)):
        values = (found[:, 4 * i : 4 * i + 4].astype(np.float32) - told["zero"]) * told["scale"]
        assert np.abs(values - x.reshape(len(x), -1) @ weights[name]).max() < 0.2
    assert data(run(artefact.app, "prove", out, "--profile", profile, "--json"))["passed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "weights", "says"),
    [
        ([("Elu", ("x",), "logits")], {}, "operator Elu at node 'Elu.logits'"),
        ([("Conv", ("x", "w"), "logits", {"group": 2})], {"w": np.ones((4, 2, 1, 1), np.float32)}, "2 groups of 4 channels"),
        ([("Clip", ("x", "a", "b"), "logits")], {"a": np.float32(-2), "b": np.float32(2)}, "from -2 to 2"),
        ([("MatMul", ("x", "x"), "logits")], {}, "operator MatMul at node 'MatMul.logits': input 'x' is not constant"),
        ([("MaxPool", ("x",), "logits", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]})], {}, "pads"),
    ],
)
def test_what_has_no_twin_is_refused_with_its_node(nodes, weights, says, build, tmp_path):
    with pytest.raises(InputError, match=says) as error:
        build(proto(nodes, weights, ("n", 4, 6, 6)), inputs(9, (4, 6, 6)))
    assert "onnxruntime" in error.value.hint
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_a_network_that_needs_a_real_transpose_is_refused(build):
    weights = {"w": np.ones((4, 4, 1, 1), np.float32), "s": np.asarray([1, 4, 36], np.int64), "m": np.ones((36, 2), np.float32)}
    nodes = [("Conv", ("x", "w"), "c"), ("Reshape", ("c", "s"), "r"), ("MatMul", ("r", "m"), "logits")]
    with pytest.raises(InputError, match="mixes channels with space"):
        build(proto(nodes, weights, (1, 4, 6, 6)), inputs(9, (4, 6, 6)))


@pytest.mark.slow
def test_int8_that_breaks_a_promise_of_the_profile_is_not_built(build, tmp_path):
    with pytest.raises(GateFailed, match="value shift"):
        build(classifier(), inputs(40), numeric={"max_value_shift": 1e-6})
    assert not (tmp_path / "made").exists()
