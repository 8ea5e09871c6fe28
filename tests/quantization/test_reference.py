"""The float reference computes what the deploy form says."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from components.models import reference
from components.quantization.recipes.write import write
from components.quantization.targets import onnx_runtime
from components.quantization.targets.onnx_runtime import float_graph
from components.values.recipe import Recipe

from . import plant


@pytest.mark.parametrize("kernel", [3, 4, 7])
def test_the_reference_and_the_float_graph_agree(windows, kernel):
    """Two independent implementations of the architecture, numpy and ONNX Runtime, to single precision."""
    model = plant.model(windows, kernel=kernel, blocks=2)
    codes = windows.codes[::7]
    session = ort.InferenceSession(float_graph(write(model, Recipe("float32"), codes, 127)).SerializeToString())
    correction, embedding, logits, number = session.run(None, {"input": reference.inputs(model.architecture, codes)})
    floats = reference.forward(model.architecture, model.weights, codes)
    assert np.allclose(floats.correction, correction, atol=1e-4)
    assert np.allclose(floats.embedding, embedding, atol=1e-4)
    assert np.allclose(floats.logits["fault"], logits, atol=1e-4)
    assert np.allclose(floats.numbers["life"], number[:, 0], atol=1e-4)


def test_a_missing_sample_is_read_as_the_middle_and_not_counted_in_the_score(windows, model):
    codes = np.array(windows.codes[:1])
    codes[:] = -128
    floats = reference.forward(model.architecture, model.weights, codes)
    still = reference.forward(model.architecture, model.weights, np.zeros_like(codes))
    assert np.array_equal(floats.correction, still.correction)
    assert reference.raw_score(model, codes, floats)[0] <= reference.raw_score(model, np.zeros_like(codes), still)[0]


def test_batches_do_not_change_the_result(windows, model, monkeypatch):
    whole = reference.forward(model.architecture, model.weights, windows.codes[:20])
    monkeypatch.setattr(reference, "_BATCH", 7)
    parts = reference.forward(model.architecture, model.weights, windows.codes[:20])
    assert np.allclose(whole.embedding, parts.embedding, atol=1e-6)


def test_fused_kernels_of_onnx_runtime_say_what_the_graph_says(windows):
    """Sums of two products in 16 bits, as processors without VNNI have them, must hold the largest weights and activations."""
    model, codes = plant.model(windows), np.asarray(windows.codes)
    for name in ("summary.life.weight", "hidden.life.weight"):
        model.weights[name][:] = 0.1  # all of them the largest code
    network = onnx_runtime.compile_network(write(model, Recipe("int8", "minmax"), codes, onnx_runtime.WEIGHT_LIMIT))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = ort.InferenceSession(network.members["model.onnx"], options)
    (number,) = plain.run(["number.life"], {"input": reference.inputs(model.architecture, codes)})
    q = network.tensors["number.life"]
    wanted = np.rint(number[:, 0] / q.scale) + q.zero
    assert np.abs(network.engine(codes).numbers["life"] - wanted).max() <= 2
