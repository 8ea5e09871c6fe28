"""A Keras file becomes an int8 .tflite, in a process of its own: TensorFlow takes seconds to import, and prints."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.isolated import last_word
from components.workspace.errors import BackendUnreachable, InputError

_CONVERTER = "components.quantization.imported.keras_file"
_TIME_LIMIT_S = 1800


def convert(file: Path, values: NDArray[Any]) -> bytes:
    """``values``: (rows, ...) in the units of the model; their true least and greatest activations set the ranges.

    Raises:
        InputError: Keras does not load the file safely, or the converter refuses it.
        BackendUnreachable: TensorFlow is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "examples.npy", Path(folder) / "model.tflite"
        np.save(source, values.astype(np.float32), allow_pickle=False)
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
        command = [sys.executable, "-m", _CONVERTER, str(file), str(source), str(made)]
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False, timeout=_TIME_LIMIT_S)
        if done.returncode or not made.is_file():
            said = last_word(done.stderr) or f"exit code {done.returncode}"
            if "No module named" in said:
                raise BackendUnreachable(f"no TensorFlow: {said}", hint="pip install 'muster-mlops[pipeline]'")
            raise InputError(
                f"{file}: not converted: {said[:300]}", hint="convert it to an int8 .tflite yourself, and import that"
            )
        return made.read_bytes()
