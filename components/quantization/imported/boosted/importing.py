"""Take in boosted trees that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.boosted.grid import random_rows, sampling_for
from components.quantization.imported.boosted.integers import integer_trees
from components.quantization.imported.boosted.ubjson import MAGIC, as_json
from components.quantization.imported.boosted.xgboost_file import read_ensemble
from components.quantization.imported.examples import read_examples
from components.runtime.ensemble import Ensemble
from components.runtime.sampling import SampleBits
from components.values.imported_trees import ImportedTrees
from components.workspace.errors import InputError
from components.workspace.files import sha256_bytes

_MOST_ROWS, _MOST_BYTES = 10_000, 32 << 20


def import_trees(
    file: Path,
    name: str,
    classes: tuple[str, ...] = (),
    examples: Path | None = None,
    lsb: tuple[float, ...] = (),
    offset: tuple[float, ...] = (),
    bits: SampleBits = 16,
) -> ImportedTrees:
    """Read XGBoost's JSON or UBJSON. ``examples``: rows of numbers, NaN for missing; ``lsb``, ``offset``, ``bits``: see
    `grid.sampling_for`.

    Raises:
        NotFound, InputError: no such file, a damaged one, a model that is not covered, or numbers that do not fit it.
        BackendUnreachable: XGBoost, which reads UBJSON, is not there.
    """
    data = file.read_bytes()
    digest = sha256_bytes(data)
    if data.startswith(MAGIC):
        data = as_json(file)
    ensemble = read_ensemble(data)
    if classes and (len(classes) != ensemble.classes or len(set(classes)) != len(classes) or not all(classes)):
        raise InputError(
            f"--classes: {len(classes)} names for {ensemble.classes} classes of {ensemble.objective}",
            hint="name each class once, in the order of its number" if ensemble.classes else "a regression has none",
        )
    given = None if examples is None else _rows(read_examples(examples), ensemble, examples)
    sampling = sampling_for(ensemble, lsb, offset, given, bits)
    integer_trees(ensemble, sampling)  # refuses here what could not be built later
    return ImportedTrees(
        name=name,
        data=data,
        sampling=sampling,
        classes=classes,
        examples=random_rows(ensemble, sampling) if given is None else given,
        drawn="random" if given is None else "given",
        origin=file.name,
        origin_sha256=digest,
        about=_about(ensemble),
    )


def _rows(values: NDArray[Any], ensemble: Ensemble, file: Path) -> NDArray[np.float32]:
    rows = values.reshape(len(values), -1)
    if rows.shape[1] != ensemble.features:
        raise InputError(
            f"{file}: rows of {rows.shape[1]} numbers, the model has {ensemble.features} features", hint="give an input a row"
        )
    most = max(2, min(_MOST_ROWS, _MOST_BYTES // (4 * ensemble.features)))
    with np.errstate(over="ignore"):
        kept = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)].astype(np.float32)
    if np.isinf(kept).any():
        raise InputError(f"{file}: holds infinite numbers", hint="leave such rows out; NaN says that a number is missing")
    return kept


def _about(ensemble: Ensemble) -> dict[str, Any]:
    return {
        "format": "xgboost-json",
        "objective": ensemble.objective,
        "features": ensemble.features,
        "names": list(ensemble.names),
        "outputs": len(ensemble.bias),
        "trees": len(ensemble.roots),
        "nodes": int(ensemble.inner.sum()),
        "depth": ensemble.depth,
    }
