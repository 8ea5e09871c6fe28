"""`python -m components.quantization.imported.onnx_models.alone MODEL.onnx INPUTS.npy OUTPUTS.npy MEASURED.json`.

An artefact alone in a fresh process: its answers, the median latency of single inferences on one thread, and by how much the
peak of resident memory stands above what the bare runtime took (Linux only, else null).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from components.quantization.imported.isolated import ends, run_isolated
from components.quantization.imported.onnx_models.session import Floats, open_session, run
from components.quantization.targets.alone import resident
from components.values.compiled_onnx import CompiledOnnx
from components.values.imported_onnx import Signal
from components.workspace.files import write_json

_RUNS, _WARM_UP = 300, 20


@dataclass(frozen=True)
class Measured:
    """``outputs``: (vectors, size of all outputs); ``ram`` in bytes."""

    outputs: Floats
    latency_ms: float
    ram: int | None


def measure(made: CompiledOnnx) -> Measured:
    """Raises:
    InputError: ONNX Runtime does not run it.
    BackendUnreachable: it is not there.
    """
    with tempfile.TemporaryDirectory() as name:
        model, inputs, outputs, measured = (Path(name) / n for n in ("model.onnx", "inputs.npy", "outputs.npy", "measured.json"))
        model.write_bytes(made.data)
        np.save(inputs, made.golden.inputs.reshape(-1, *made.input.shape), allow_pickle=False)
        run_isolated(str(__spec__.name), model, inputs, outputs, measured, about=f"the artefact of {made.profile}")
        return Measured(np.load(outputs, allow_pickle=False), **json.loads(measured.read_bytes()))


@dataclass(frozen=True)
class _Cost:
    latency_ms: float
    ram: int | None


def main(model: Path, inputs: Path, outputs: Path, measured: Path) -> None:
    import onnxruntime  # noqa: F401 - what it takes by itself is not the model's

    rows, data = np.load(inputs, allow_pickle=False), model.read_bytes()
    before = resident("VmRSS")
    session = open_session(data)
    entry = Signal(session.get_inputs()[0].name, rows.shape[1:])
    times = []
    for i in range(_WARM_UP + _RUNS):
        start = time.perf_counter_ns()
        run(session, entry, rows[i % len(rows)])
        times.append(time.perf_counter_ns() - start)
    peak = resident("VmHWM")
    ram = None if before is None or peak is None else max(peak - before, 0)
    write_json(measured, asdict(_Cost(float(np.median(times[_WARM_UP:])) / 1e6, ram)))
    found = [np.concatenate([value.ravel() for value in run(session, entry, row)]) for row in rows]
    np.save(outputs, np.stack(found).astype(np.float32), allow_pickle=False)


if __name__ == "__main__":
    ends(main)
    sys.exit(0)
