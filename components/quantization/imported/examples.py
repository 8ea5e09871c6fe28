"""Codes to try an imported model on: of the examples that came with it, or random ones."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.imported import Codes, Port
from components.workspace.errors import InputError, NotFound

MOST_ROWS = 1000
_MOST_BYTES = 32 << 20  # of the codes that are kept
_MOST_FILE = 1 << 30
_RANDOM_ROWS = 128


def read_examples(file: Path) -> NDArray[Any]:
    """The array of a .npy, or the one in a .npz; (rows, ...) of numbers.

    Raises:
        NotFound, InputError: no such file, or no plain array of numbers in it.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="name a .npy or .npz with --examples")
    try:
        _check_size(file)
        found = np.load(file, allow_pickle=False, mmap_mode="r")
        values = np.asarray(found if isinstance(found, np.ndarray) else found[_only(found.files)])
    except (ValueError, OSError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: no array of numbers: {error}", hint="write it with numpy.save or numpy.savez") from None
    if values.dtype.kind not in "iufb" or values.ndim < 1 or not len(values):
        raise InputError(f"{file}: {values.dtype} of shape {values.shape}", hint="give rows of numbers, an input a row")
    return values


def example_codes(values: NDArray[Any], port: Port) -> Codes:
    """(rows, size). Arrays of the input's own width are codes already, all others are values that its scale makes codes of.

    Raises:
        InputError: rows of another size than the input's, or values that are no numbers.
    """
    kept = spread_rows(rows_of(values, port.shape), port.bits // 8)
    if kept.dtype == port.kind:
        return np.ascontiguousarray(kept)
    if not np.isfinite(kept).all():
        raise InputError("the examples hold values that are no numbers", hint="leave such rows out")
    limits = np.iinfo(port.kind)
    return np.clip(np.rint(kept.astype(np.float64) / port.scale) + port.zero, limits.min, limits.max).astype(port.kind)


def rows_of(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """(rows, ...) -> (rows, size) where a row is flat, or of the ``shape`` of an input, axes of one left out or not.

    Raises:
        InputError: rows of another size, or of the same in another shape, such as channels first where they come last.
    """
    rows = values.reshape(len(values), -1)
    size = int(np.prod(shape))
    if rows.shape[1] != size:
        raise InputError(f"examples: rows of {rows.shape[1]} numbers, the input has {size}", hint=f"its shape is {shape}")
    given = values.shape[1:]
    if len(_long(given)) > 1 and _long(given) != _long(shape):
        raise InputError(
            f"examples: rows of shape {given}, the input has {shape}",
            hint="bring the axes into its order (numpy.transpose), or give flat rows that lie in it already",
        )
    return rows


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise ValueError(f"{len(names)} arrays in it, not one")
    return names[0]


def random_codes(port: Port) -> Codes:
    """Uniform over the codes, the same on every call, with both ends of the range."""
    size = int(np.prod(port.shape))
    limits = np.iinfo(port.kind)
    drawn = np.random.default_rng(0).integers(limits.min, limits.max + 1, (min(_RANDOM_ROWS, _most(size)), size))
    codes: Codes = drawn.astype(np.int8) if port.bits == 8 else drawn.astype(np.int16)
    codes[0], codes[-1] = limits.min, limits.max
    return codes


def spread_rows(rows: NDArray[Any], item: int) -> NDArray[Any]:
    """As many of (rows, size) as are kept, evenly spread. ``item``: bytes that a number will take."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _most(rows.shape[1] * item))).astype(int)]


def _most(size: int) -> int:
    return max(2, min(MOST_ROWS, _MOST_BYTES // size))


def _check_size(file: Path) -> None:
    size = file.stat().st_size
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = max((info.file_size for info in archive.infolist()), default=0)
    if size > _MOST_FILE:
        raise ValueError(f"{size:,} bytes, the most is {_MOST_FILE:,}")
