"""LiteRT: an int8 .tflite from TensorFlow's converter, fed with the weights and windows that set true ranges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from components.models import reference
from components.quantization.targets import Network
from components.runtime.engines import open_engine
from components.runtime.scoring import Quantized
from components.values import Architecture, ElectraModel
from components.workspace.errors import BackendUnreachable
from components.workspace.files import sha256_bytes, sha256_file, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_TWIN = "components.quantization.targets.keras_twin"


def compile_network(model: ElectraModel, codes: NDArray[np.int8], cache: Path) -> Network:
    """``codes``: (windows, steps, channels) whose activations set the ranges."""
    members = {"model.tflite": int8_tflite(model, codes, cache)}
    tensors = signature_tensors(members["model.tflite"])
    return Network(members, tensors, open_engine("litert", members, tensors, model.architecture.optional))


def int8_tflite(model: ElectraModel, codes: NDArray[np.int8], cache: Path) -> bytes:
    """The model as a full-integer .tflite, from ``cache`` when it has been built from the same bytes before.

    Raises:
        BackendUnreachable: TensorFlow is not there or its converter failed.
    """
    job = _job(model.architecture, model.weights, codes)
    kept = cache / f"{sha256_bytes(sha256_bytes(job).encode() + _twin_digest().encode())}.tflite"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):
        if not kept.is_file():
            _convert(job, kept)
    return kept.read_bytes()


def signature_tensors(data: bytes) -> dict[str, Quantized]:
    """Scale and zero point of 'input' and of each output, by their names in the file's signature."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    runner = interpreter.get_signature_runner()
    details = runner.get_input_details() | runner.get_output_details()
    return {name: Quantized(float(d["quantization"][0]), int(d["quantization"][1])) for name, d in sorted(details.items())}


def _job(architecture: Architecture, weights: Mapping[str, NDArray[np.float32]], codes: NDArray[np.int8]) -> bytes:
    """What the twin reads. One window touches both ends of the input range, so that an input code is a network code."""
    from io import BytesIO

    x = reference.inputs(architecture, np.concatenate([codes, np.zeros_like(codes[:1])]))
    x[-1, 0, 0], x[-1, -1, -1] = -128 * architecture.input_scale, 127 * architecture.input_scale
    arrays = {"architecture": np.array(json.dumps(asdict(architecture), sort_keys=True)), "inputs": x}
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **(arrays | {f"w.{name}": w for name, w in sorted(weights.items())}))
    return buffer.getvalue()


def _convert(job: bytes, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "job.npz", Path(folder) / "model.tflite"
        source.write_bytes(job)
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
        command = [sys.executable, "-m", _TWIN, str(source), str(made)]
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
        if done.returncode or not made.is_file():
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise BackendUnreachable(
                f"TensorFlow did not convert the model: {said[-1]}",
                hint="install the pipeline extra: pip install 'muster-mlops[pipeline]'",
            )
        write_bytes(target, made.read_bytes())


def _twin_digest() -> str:
    return sha256_file(Path(__file__).with_name("keras_twin.py"))
