"""Rewrites of imported ONNX networks: the same function in floats, and no worse in int8."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.models.weights import weight_scales
from components.quantization.imported.onnx_models.correcting import corrected
from components.quantization.imported.onnx_models.equalising import equalised
from components.quantization.imported.onnx_models.folding import folded
from components.quantization.imported.onnx_models.layers import layers_of, with_layers
from components.quantization.imported.onnx_models.session import answers
from components.quantization.targets.onnx_runtime import WEIGHT_LIMIT
from components.values.imported_onnx import Signal
from components.workspace.errors import InputError
from muster.commands import artefact, model

from . import onnx_drawn
from .onnx_graphs import proto

ENTRY = Signal("x", (1, 3, 6, 6))
PROFILE = {
    "name": "gateway",
    "description": "a gateway",
    "arch": {"family": "x86-64", "cpu": "any"},
    "memory": {"model_flash_kib": 4096, "model_ram_kib": 400_000},
    "runtime": {"name": "onnxruntime", "minimal": "1.16"},
    "numeric": {"min_label_agreement": 0.0, "max_value_shift": 9.0},
    "quantization": {"precisions": ["int8"]},
}


def rows(count=48, entry=ENTRY):
    return np.random.default_rng(2).normal(0, 1, (count, entry.size)).astype(np.float32)


def net(skew=1.0, groups=1, straight=True, shared=False, between="Relu", seed=0):
    """Two convolutions and a dense layer; channels of the first differ by ``skew`` at either end, and say the same."""
    draw = np.random.default_rng(seed)
    scale = np.geomspace(1 / skew, skew, 8).astype(np.float32)
    first, second = draw.normal(0, 0.3, (8, 3, 3, 3)), draw.normal(0, 0.3, (8, 8 // groups, 3, 3))
    reads = (np.arange(8) // (8 // groups))[:, None] * (8 // groups) + np.arange(8 // groups)
    dense = draw.normal(0, 0.3, (4, 8 * 9))
    arrays = {
        "a.w": first * scale[:, None, None, None],
        "a.b": draw.normal(0, 0.1, 8) * scale,
        "b.w": second / scale[reads][:, :, None, None],
        "d.w": dense if straight else dense.T,
        "d.b": draw.normal(0, 0.1, 4),
    }
    activation = {"Clip": ("Clip", ("a", "low", "high"), "r"), "Relu": ("Relu", ("a",), "r")}[between]
    nodes = [
        ("Conv", ("x", "a.w", "a.b"), "a", {"pads": [1] * 4}),
        activation,
        ("Conv", ("r", "b.w"), "b", {"pads": [1] * 4, "group": groups}),
        ("Relu", ("b",), "s"),
        ("MaxPool", ("s",), "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", ("p",), "f"),
        ("Gemm", ("f", "d.w", "d.b"), "y", {"transB": int(straight)}),
    ]
    exits = ("y",)
    if shared:
        nodes.insert(2, ("Conv", ("r", "b.w"), "c", {"pads": [1] * 4, "group": groups}))
        exits = ("y", "c")
    made = {name: array.astype(np.float32) for name, array in arrays.items()}
    if between == "Clip":
        made |= {"low": np.float32(0), "high": np.float32(1)}
    return folded(proto(nodes, made, ENTRY.shape, exits).SerializeToString(), ENTRY)


def said(graph, values, entry=ENTRY):
    return answers(graph.SerializeToString(), entry, values)


def changed(before, after):
    old = {layer.target: layer for layer in layers_of(before)}
    return {layer.target for layer in layers_of(after) if not np.array_equal(layer.weights, old[layer.target].weights)}


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("straight", [True, False])
def test_equalised_channels_say_the_same(groups, straight):
    """Plain, grouped and depthwise; a dense layer that reads flattened channels, stored either way."""
    before, values = net(20.0, groups, straight), rows()
    after = equalised(before, ENTRY, values)
    assert changed(before, after) == {"a", "b", "y"}
    assert np.allclose(said(before, values), said(after, values), atol=1e-4)
    reach = np.abs(next(layer for layer in layers_of(after) if layer.target == "a").weights).max(axis=(1, 2))
    assert reach.max() / reach.min() < 20 * 20 / 4, "the channels have come nearer to each other"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(onnx_drawn.graphs())
def test_whatever_the_graph_its_function_stays(drawn):
    made, shape = drawn
    entry = Signal("x", shape)
    values = rows(6, entry)
    try:
        before = folded(made.SerializeToString(), entry)
    except InputError:  # pooling that ONNX Runtime itself refuses, and import with it
        reject()
    after = equalised(before, entry, values)
    if after is not None:
        wanted, got = said(before, values, entry), said(after, values, entry)
        assert np.allclose(wanted, got, atol=1e-4 * max(1.0, float(np.abs(wanted).max())), equal_nan=True)
    mended = corrected(before, entry, values)
    if mended is not None:
        assert np.isfinite(said(mended, values, entry)).all() or not np.isfinite(said(before, values, entry)).all()


def test_what_does_not_let_factors_through_is_left_alone():
    """A ceiling does not grow with its channel; weights that two layers share are no one's."""
    values = rows()
    before = net(20.0, between="Clip")
    assert changed(before, equalised(before, ENTRY, values)) == {"b", "y"}
    before = net(20.0, shared=True)
    after = equalised(before, ENTRY, values)
    assert after is None or np.allclose(said(before, values), said(after, values), atol=1e-4)
    assert "b" not in {layer.target for layer in layers_of(before)}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 8]))
def test_corrected_biases_take_the_mean_error_of_rounding_away(seed, groups):
    """Of a layer that reads what it read before: rounded weights and the new bias give the mean that there was."""
    before, values = net(1.0, groups, seed=seed), rows()
    after = corrected(before, ENTRY, values)
    old, new = ({layer.target: layer for layer in layers_of(graph)} for graph in (before, after))
    dense = old["y"]
    scales = weight_scales(dense.weights.astype(np.float32), WEIGHT_LIMIT)
    coarse = np.rint(dense.weights[:, :, 0] / scales[:, None]) * scales[:, None]
    rounded = replace(dense, weights=coarse[:, :, None])

    def mean(layer):
        return said(with_layers(before, {"y": layer}), values).mean(axis=0, dtype=np.float64)

    wanted, plain = mean(dense), mean(rounded)
    mended = mean(replace(rounded, bias=new["y"].bias))
    assert np.abs(mended - wanted).max() < max(np.abs(plain - wanted).max() / 20, 1e-5)


def test_a_bias_is_made_where_there_was_none():
    before = net()
    after = corrected(before, ENTRY, rows())
    bias = {layer.target: layer.bias for layer in layers_of(after)}
    assert not next(layer for layer in layers_of(before) if layer.target == "b").bias.any()
    assert bias["b"].any()


def _built(graph, tmp_path, **quantization):
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    np.save(tmp_path / "x.npy", rows())
    told = PROFILE | {"quantization": PROFILE["quantization"] | quantization}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(told))
    takes = ("--name", "m", "--out", str(tmp_path / "kept"), "--examples", str(tmp_path / "x.npy"))
    CliRunner().invoke(model.app, ["import", str(tmp_path / "m.onnx"), *takes], catch_exceptions=False)
    makes = ("--profile", str(tmp_path / "gateway.yaml"), "--out", str(tmp_path / "made"), "--json")
    done = CliRunner().invoke(artefact.app, ["build", str(tmp_path / "kept"), *makes], catch_exceptions=False)
    return json.loads(done.stdout)["data"]["recipes"]


def _noise(tried):
    return next(one["fidelity"]["noise"] for one in tried if not one["lost"])


def test_channels_that_differ_a_hundredfold_are_mended_by_the_search(tmp_path):
    """Through the command line: taken with the rewrite, and with a fraction of the noise that int8 has without."""
    graph = net(10.0)
    plain, mended = _built(graph, tmp_path, rewrites=[]), _built(graph, tmp_path)
    taken = next(one for one in mended if not one["lost"])
    assert "equalised" in taken["name"]
    assert _noise(mended) < _noise(plain) / 2


@pytest.mark.parametrize("seed", range(4))
def test_int8_is_never_worse_for_the_rewrites(seed, tmp_path):
    graph = net(1.0 + seed, groups=(1, 2, 8, 1)[seed], seed=seed)
    tried = _built(graph, tmp_path)
    assert _noise(tried) <= min(one["fidelity"]["noise"] for one in tried)
    assert _noise(tried) <= _noise(_built(graph, tmp_path, rewrites=[]))


def test_a_profile_can_do_without(tmp_path):
    assert not any("ed" in one["name"].split()[-1] for one in _built(net(), tmp_path, rewrites=[]))
