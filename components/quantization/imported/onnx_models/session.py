"""ONNX Runtime on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.imported_onnx import Signal
from components.workspace.errors import InputError

Floats = NDArray[np.float32]


def open_session(data: bytes, *, optimised: Path | None = None, as_is: bool = False) -> Any:
    """``optimised``: where to write the graph with what is constant computed; ``as_is``: run it without that.

    Raises:
        InputError: ONNX Runtime does not take the model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if as_is:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimised is not None:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(optimised)
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its classes derive from Exception and from nothing else
        raise refused(error) from None


def run(session: Any, entry: Signal, row: Floats) -> list[NDArray[Any]]:
    """All outputs for one (size,) input.

    Raises:
        InputError: it fails while it runs.
    """
    try:
        return [np.asarray(v) for v in session.run(None, {entry.name: row.reshape(entry.shape)})]
    except Exception as error:  # noqa: BLE001 - as above
        raise refused(error) from None


def answers(data: bytes, entry: Signal, rows: Floats) -> Floats:
    """(rows, size) -> (rows, size of all outputs)."""
    session = open_session(data)
    return np.stack([np.concatenate([v.ravel() for v in run(session, entry, row)]) for row in rows]).astype(np.float32)


def refused(error: Exception) -> InputError:
    said = " ".join(str(error).split())
    return InputError(f"ONNX Runtime does not run it: {said[:300]}", hint="check that it runs in the pinned onnxruntime")
