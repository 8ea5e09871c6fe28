"""A Keras file becomes an int8 .tflite, in a process of its own: TensorFlow takes seconds to import, and prints."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.isolated import run_isolated

_CONVERTER = "components.quantization.imported.keras_file"


def convert(file: Path, values: NDArray[Any]) -> bytes:
    """``values``: (rows, ...) in the units of the model; their true least and greatest activations set the ranges.

    Raises:
        InputError: Keras does not load the file safely, or the converter refuses it.
        BackendUnreachable: TensorFlow is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "examples.npy", Path(folder) / "model.tflite"
        np.save(source, values.astype(np.float32), allow_pickle=False)
        run_isolated(_CONVERTER, file, source, made, about=str(file))
        return made.read_bytes()
