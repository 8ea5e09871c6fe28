"""Measure an artefact alone in a fresh process: `python -m components.quantization.targets.alone ARTEFACT CODES.npy`.

Prints one JSON object: median latency of single windows on one thread, and by how much the peak of resident memory
stands above what the bare runtime took (Linux only, else null).
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.runtime.engines import open_engine
from components.values import Artefact
from components.workspace.errors import BackendUnreachable

MODULES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert.interpreter"}
_RUNS, _WARM_UP = 300, 20
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Measured:
    latency_ms: float
    ram: int | None  # bytes


def measure(artefact: Artefact, codes: NDArray[np.int8]) -> Measured:
    """Run ``artefact`` on single windows of ``codes`` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file, windows = artefact.save(Path(folder)), Path(folder) / "codes.npy"
        np.save(windows, codes[:_RUNS])
        command = [sys.executable, "-m", __spec__.name, str(file), str(windows)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise BackendUnreachable(
            f"{artefact.runtime} could not run the artefact of {artefact.profile}: {said[-1]}",
            hint="install the pipeline extra: pip install 'muster-mlops[pipeline]'",
        )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def main(file: Path, windows: Path) -> Measured:
    artefact, codes = Artefact.load(file), np.load(windows)
    importlib.import_module(MODULES[artefact.runtime])
    before = resident("VmRSS")
    engine = open_engine(artefact.runtime, artefact.members, artefact.tensors, artefact.optional)
    times = []
    for i in range(_WARM_UP + _RUNS):
        window = codes[i % len(codes)][None]
        start = time.perf_counter_ns()
        engine(window)
        times.append(time.perf_counter_ns() - start)
    peak = resident("VmHWM")
    ram = None if before is None or peak is None else max(peak - before, 0)
    return Measured(float(np.median(times[_WARM_UP:])) / 1e6, ram)


def resident(key: str) -> int | None:
    """Bytes by the ``key`` of Linux: 'VmRSS' now, 'VmHWM' at the peak; None elsewhere."""
    if not _STATUS.is_file():
        return None
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith(key))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2])).__dict__) + "\n")
