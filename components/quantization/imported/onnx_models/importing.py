"""Take in a float model that comes as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.classes import check_classes
from components.quantization.imported.examples import rows_of, spread_rows
from components.quantization.imported.onnx_models.examining import examine
from components.values.imported_onnx import ImportedOnnx
from components.workspace.errors import InputError
from components.workspace.files import sha256_file

LEAST_ROWS = 8
"""Half of them set ranges, half judge what comes of it."""


def import_onnx(file: Path, origin: Path, name: str, classes: tuple[str, ...], values: NDArray[Any]) -> ImportedOnnx:
    """The ONNX ``file``, made of ``origin``. ``values``: (rows, ...) inputs in the unit of the model.

    Raises:
        InputError: see `examining.examine`; too few examples, or examples that are no numbers.
    """
    if len(values) < LEAST_ROWS:
        raise InputError(f"{len(values)} examples", hint=f"give at least {LEAST_ROWS}: half set ranges, half judge them")
    rows = spread_rows(values.reshape(len(values), -1), 4).astype(np.float32)
    if not np.isfinite(rows).all():
        raise InputError("the examples hold values that are no numbers", hint="leave such rows out")
    found = examine(file, rows, str(origin))
    rows_of(values, found.input.shape)
    check_classes(classes, [port.size for port in found.outputs])
    return ImportedOnnx(
        name=name,
        data=file.read_bytes(),
        input=found.input,
        outputs=found.outputs,
        operators=found.operators,
        macs=found.macs,
        classes=classes,
        examples=rows,
        origin=origin.name,
        origin_sha256=sha256_file(origin),
    )
