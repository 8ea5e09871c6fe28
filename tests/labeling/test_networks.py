"""Functions may ask a trained model, whose file says what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.labeling.functions import networks
from components.labeling.functions.networks import Network
from components.workspace.errors import InputError, NotFound
from tests.labeling.made import view


def model(file: Path, shape: list[Any], *, operator: str = "ReduceMean", kind: int = 1, keep: int = 0) -> Path:
    """A model with one input of ``shape`` that takes the mean over steps."""
    from onnx import TensorProto, helper

    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node(operator, ["x", "axes"], ["y"], keepdims=keep)
    x = helper.make_tensor_value_info("x", kind, shape)
    y = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([node], "g", [x], [y], [axes])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    file.write_bytes(made.SerializeToString())
    return file


def test_a_model_gives_numbers_for_each_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_CHUNK", 3)
    samples = np.random.default_rng(0).standard_normal((7, 10, 2)).astype(np.float32)
    samples[2, 4, 1] = np.nan
    file = model(tmp_path / "mean.onnx", ["n", 10, 2])
    w = view([("a", range(7))], samples=samples, channels=("p", "f"), models={"mean": file})
    got = w.model("mean")
    assert got.shape == (7, 2)
    assert got.dtype == np.float64
    assert np.isnan(got[2, 1])
    np.testing.assert_allclose(np.delete(got, 2, 0), np.delete(samples, 2, 0).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(w.model("mean", missing=0)[2], np.nan_to_num(samples[2]).mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(w.part(3, 6, "window").model("mean"), got[3:6])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (["n", 8, 2], r"takes \(n, 8, 2\), windows are \(any number, 10, 2\)"),
        ([1, 10, 2], r"takes \(1, 10, 2\)"),
        (["n", 10], "takes x tensor"),
    ],
)
def test_a_model_for_other_windows_is_refused(tmp_path: Path, shape: list[Any], message: str) -> None:
    file = model(tmp_path / "mean.onnx", shape)
    samples = np.zeros((4, 10, 2), np.float32)
    w = view([("a", range(4))], samples=samples, channels=("p", "f"), models={"mean": file})
    with pytest.raises(InputError, match=message):
        w.model("mean")


def test_outputs_that_are_no_row_a_window_and_names_that_are_not_there_are_refused(tmp_path: Path) -> None:
    samples = np.zeros((4, 10, 2), np.float32)
    files = {"cube": model(tmp_path / "cube.onnx", ["n", 10, 2], keep=1)}
    w = view([("a", range(4))], samples=samples, channels=("p", "f"), models=files)
    with pytest.raises(InputError, match=r"output y has shape \(4, 1, 2\) for 4 windows"):
        w.model("cube")
    with pytest.raises(InputError, match="no output 'z'"):
        w.model("cube", output="z")
    with pytest.raises(InputError, match=r"no 'detector' under labeling\.models"):
        w.model("detector")


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"bad\.onnx: no ONNX model"):
        Network(tmp_path / "bad.onnx")
    with pytest.raises(NotFound, match=r"none\.onnx"):
        Network(tmp_path / "none.onnx")
