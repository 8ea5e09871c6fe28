"""LiteRT: .tflite files of any precision from TensorFlow's converter, with our weights and our ranges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
from filelock import FileLock

from components.models.reference import inputs
from components.quantization.operators import of_tflite
from components.quantization.targets import Network, Written
from components.runtime.engines import open_engine
from components.runtime.quiet import without_notes
from components.runtime.scoring import Quantized
from components.workspace.errors import BackendUnreachable
from components.workspace.files import sha256_bytes, sha256_file, write_bytes

_TWIN = "components.quantization.targets.keras_twin"


def compile_networks(written: Sequence[Written], cache: Path) -> list[Network]:
    return [_network(*both) for both in zip(written, tflites(written, cache), strict=True)]


def tflites(written: Sequence[Written], cache: Path) -> list[bytes]:
    """Each network as a .tflite, from ``cache`` when it has been made from the same bytes before; the rest in one go.

    Raises:
        BackendUnreachable: TensorFlow is not there or its converter failed.
    """
    jobs = [_job(one) for one in written]
    kept = [cache / f"{sha256_bytes(sha256_bytes(job).encode() + _twin_digest().encode())}.tflite" for job in jobs]
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "converting.lock"):
        if missing := {file: job for file, job in zip(kept, jobs, strict=True) if not file.is_file()}:
            _convert(missing)
    return [file.read_bytes() for file in kept]


def signature_tensors(data: bytes) -> dict[str, Quantized]:
    """Scale and zero point of 'input' and of each output, by their names in the file's signature."""
    from ai_edge_litert.interpreter import Interpreter

    with without_notes():
        interpreter = Interpreter(model_content=data, num_threads=1)
    runner = interpreter.get_signature_runner()
    details = runner.get_input_details() | runner.get_output_details()
    return {name: Quantized(float(d["quantization"][0]), int(d["quantization"][1])) for name, d in sorted(details.items())}


def _network(written: Written, data: bytes) -> Network:
    members = {"model.tflite": data}
    tensors = signature_tensors(members["model.tflite"]) if written.recipe.precision == "int8" else written.ends
    engine = open_engine("litert", members, tensors, written.architecture.optional)
    return Network(members, tensors, engine, operators=of_tflite(data))


def _job(written: Written) -> bytes:
    """What the twin reads."""
    precision = written.recipe.precision
    spans = dict(written.spans) if precision == "int8" else {}
    told = {"architecture": asdict(written.architecture), "precision": precision, "spans": spans}
    arrays = {f"w.{name}": weight for name, weight in sorted(written.weights.items())}
    if precision == "int16x8":
        arrays["inputs"] = inputs(written.architecture, written.codes)
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, told=np.array(json.dumps(told, sort_keys=True)), **arrays)
    return buffer.getvalue()


def _convert(jobs: dict[Path, bytes]) -> None:
    """Each job into its file."""
    with tempfile.TemporaryDirectory() as folder:
        sources = [Path(folder) / f"{number}.npz" for number in range(len(jobs))]
        for source, job in zip(sources, jobs.values(), strict=True):
            source.write_bytes(job)
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
        command = [sys.executable, "-m", _TWIN, *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
        made = [source.with_suffix(".tflite") for source in sources]
        if done.returncode or not all(file.is_file() for file in made):
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise BackendUnreachable(
                f"TensorFlow did not convert the model: {said[-1]}",
                hint="install the pipeline extra: pip install 'muster-mlops[pipeline]'",
            )
        for source, target in zip(made, jobs, strict=True):
            write_bytes(target, source.read_bytes())


def _twin_digest() -> str:
    return sha256_file(Path(__file__).with_name("keras_twin.py"))
