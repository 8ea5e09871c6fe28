"""Run an imported model in LiteRT."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.imported import Port

_RUNS, _WARM_UP = 300, 20


def answers(data: bytes, inputs: NDArray[np.int8], entry: Port, outputs: tuple[Port, ...]) -> NDArray[np.int8]:
    """(vectors, size) codes -> (vectors, size of all outputs); float ends are quantized by the ports' scales."""
    interpreter = _open(data)
    return np.stack([_run(interpreter, row, entry, outputs) for row in inputs])


def latency_ms(data: bytes, inputs: NDArray[np.int8], entry: Port, outputs: tuple[Port, ...]) -> float:
    """Median of single inferences on one thread."""
    interpreter, times = _open(data), []
    for i in range(_WARM_UP + _RUNS):
        start = time.perf_counter_ns()
        _run(interpreter, inputs[i % len(inputs)], entry, outputs)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times[_WARM_UP:])) / 1e6


def _open(data: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Any, row: NDArray[np.int8], entry: Port, outputs: tuple[Port, ...]) -> NDArray[np.int8]:
    detail = interpreter.get_input_details()[0]
    x = row if detail["dtype"] == np.int8 else (row.astype(np.float32) - entry.zero) * np.float32(entry.scale)
    interpreter.set_tensor(detail["index"], x.reshape(detail["shape"]))
    interpreter.invoke()
    found = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    return np.concatenate([_codes(values.ravel(), port) for values, port in zip(found, outputs, strict=True)])


def _codes(values: NDArray[Any], port: Port) -> NDArray[np.int8]:
    if values.dtype == np.int8:
        return values
    return np.clip(np.rint(values / port.scale) + port.zero, -128, 127).astype(np.int8)
