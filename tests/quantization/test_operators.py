"""A network with an operator that a device's runtime lacks is refused before anything is proven."""

from __future__ import annotations

import pytest

from components.quantization.operators import check_operators, of_onnx, of_tflite
from components.quantization.quantize import quantize
from components.workspace.errors import GateFailed

from . import plant


def test_the_operators_of_an_onnx_file_are_named(build):
    assert {"Conv", "QuantizeLinear", "DequantizeLinear"} <= of_onnx(build("onnxruntime").members["model.onnx"])


def test_a_profile_without_a_list_allows_all():
    check_operators(plant.profile("onnxruntime"), frozenset({"Anything"}))


def test_what_is_not_listed_is_named():
    with pytest.raises(GateFailed, match="the network needs Add, Relu, which"):
        check_operators(plant.profile("onnxruntime", ops={"allow": ["Conv"]}), frozenset({"Relu", "Conv", "Add"}))


def test_quantize_refuses_a_network_that_the_runtime_cannot_run(workspace, windows, model, tmp_path):
    with pytest.raises(GateFailed, match="DequantizeLinear"):
        quantize(workspace, plant.profile("onnxruntime", ops={"allow": ["Conv"]}), model, windows, "d" * 64, tmp_path)


def test_a_runtime_that_rounds_cannot_promise_every_bit(workspace, windows, model, tmp_path):
    exact = plant.profile("onnxruntime", numeric={"contract": "exact"})
    with pytest.raises(GateFailed, match="rounds as each processor does"):
        quantize(workspace, exact, model, windows, "d" * 64, tmp_path)


@pytest.mark.slow
def test_c_and_litert_are_held_to_the_operators_of_their_tflite(build, workspace, windows, model, cache):
    found = of_tflite(build("litert").members["model.tflite"])
    assert {"CONV_2D", "DEPTHWISE_CONV_2D"} <= found
    quantize(workspace, plant.profile("c99", ops={"allow": sorted(found)}), model, windows, "d" * 64, cache)
    for runtime in ("c99", "litert"):
        with pytest.raises(GateFailed, match="DEPTHWISE_CONV_2D"):
            quantize(workspace, plant.profile(runtime, ops={"allow": ["CONV_2D"]}), model, windows, "d" * 64, cache)
