"""Run an imported model in LiteRT; `python -m components.quantization.imported.litert FOLDER` measures a built one."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.alone import MODULES, Measured, resident
from components.runtime.quiet import without_notes
from components.values.compiled import CompiledModel
from components.values.imported import Codes, Port
from components.workspace.errors import BackendUnreachable

_RUNS, _WARM_UP = 300, 20
_TIME_LIMIT_S = 600


def answers(data: bytes, inputs: Codes, entry: Port, outputs: tuple[Port, ...]) -> Codes:
    """(vectors, size) codes -> (vectors, size of all outputs); floats and bytes at its ends become codes."""
    interpreter = _open(data)
    return np.stack([_run(interpreter, row, entry, outputs) for row in inputs])


def measure(made: CompiledModel) -> Measured:
    """Single inferences on one thread, in a process of its own.

    Raises:
        BackendUnreachable: LiteRT does not run it there.
    """
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder) / "artefact")
        command = [sys.executable, "-m", __spec__.name, str(Path(folder) / "artefact")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise BackendUnreachable(f"LiteRT did not run the artefact: {said[-1]}", hint="pip install 'muster-mlops[pipeline]'")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def main(folder: Path) -> Measured:
    made = CompiledModel.load(folder)
    importlib.import_module(MODULES["litert"])
    before, times = resident("VmRSS"), []
    interpreter = _open(made.members["model.tflite"])
    for i in range(_WARM_UP + _RUNS):
        row = made.golden.inputs[i % len(made.golden.inputs)]
        start = time.perf_counter_ns()
        _run(interpreter, row, made.input, made.outputs)
        times.append(time.perf_counter_ns() - start)
    peak = resident("VmHWM")
    ram = None if before is None or peak is None else max(peak - before, 0)
    return Measured(float(np.median(times[_WARM_UP:])) / 1e6, ram)


def _open(data: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with without_notes():
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Any, row: Codes, entry: Port, outputs: tuple[Port, ...]) -> Codes:
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], _entry(row, detail["dtype"], entry).reshape(detail["shape"]))
    interpreter.invoke()
    found = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    return np.concatenate([_codes(values.ravel(), port) for values, port in zip(found, outputs, strict=True)])


def _entry(row: Codes, kind: type[np.generic], port: Port) -> NDArray[Any]:
    """Codes as the file takes them."""
    if kind == np.float32:
        return (row.astype(np.float32) - port.zero) * np.float32(port.scale)
    return row if kind == port.kind else (row.astype(np.int16) + 128).astype(np.uint8)


def _codes(values: NDArray[Any], port: Port) -> Codes:
    if values.dtype == port.kind:
        return values
    if values.dtype == np.uint8:
        return (values.astype(np.int16) - 128).astype(np.int8)
    limits = np.iinfo(port.kind)
    return np.clip(np.rint(values / port.scale) + port.zero, limits.min, limits.max).astype(port.kind)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1])).__dict__) + "\n")
