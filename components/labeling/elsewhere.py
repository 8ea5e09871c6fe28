"""Votes that were cast elsewhere -> probabilities: the label model without a workspace.

A table (CSV or Parquet) has a row a window and a column a labelling function; a cell is the number of the class it votes
for, -1 or empty where it abstains. A column ``gold`` holds declared classes, a column ``sequence`` ids of which equal
neighbours follow each other in time. A NumPy archive (.npz) has ``votes`` (windows, functions), and ``gold`` and
``sequence`` (windows,) where there are any.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.labeling.model import fit_label_model
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError, NotFound

if TYPE_CHECKING:
    import pandas as pd

GOLD, SEQUENCE, VOTES = "gold", "sequence", "votes"
_HINT = "a cell is a class number, -1 or empty to abstain; the columns gold and sequence are no functions"
_MOST_CLASSES = 127


@dataclass(frozen=True)
class Ballot:
    """``votes`` (windows, functions) int8, the functions' ``names``, and (windows,) ``gold`` and ``sequence`` or None."""

    names: tuple[str, ...]
    votes: NDArray[np.int8]
    gold: NDArray[np.int8] | None
    sequence: NDArray[np.int64] | None


def combine(
    file: Path, classes: tuple[str, ...], shares: tuple[float, ...] = (), out: Path | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row a window (``p_<class>`` for each class, ``covered``, ``decided``) and the facts of the label model.

    ``shares``: how frequent the classes are, where that is known. ``out``: where to write the rows, .csv or .parquet.

    Raises:
        NotFound: no such file.
        InputError: the file is no table of votes, or classes, shares or ``out`` do not fit; nothing is written.
    """
    import pandas as pd

    _check(classes, shares, out)
    ballot = read_ballot(file, len(classes))
    try:
        model = fit_label_model(ballot.votes, len(classes), np.asarray(shares) if shares else None, ballot.gold, ballot.sequence)
    except ValueError as error:
        raise InputError(f"{file}: {error}", hint=_HINT) from None
    said, covered = model.probabilities(ballot.votes, ballot.sequence, ballot.gold)
    rows = pd.DataFrame({f"p_{name}": said[:, c] for c, name in enumerate(classes)})
    rows["covered"] = covered
    decided = model.decided(said, covered)
    rows["decided"] = pd.Series(np.asarray([*classes, ""], object)[decided], dtype="str")
    if out is not None:
        _write(rows, out)
    return rows, model.facts(ballot.names, classes)


def read_ballot(file: Path, classes: int) -> Ballot:
    """The votes in ``file``.

    Raises:
        NotFound: no such file.
        InputError: it is no table of votes for ``classes`` classes.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="name a .csv, .parquet or .npz file of votes")
    columns = _archive(file) if file.suffix == ".npz" else _table(file)
    special = {name: columns.pop(name) for name in (GOLD, SEQUENCE) if name in columns}
    if not columns:
        raise InputError(f"{file}: no labelling function in it", hint=_HINT)
    votes = np.stack([_class_numbers(file, name, values, classes) for name, values in columns.items()], axis=1)
    gold = _class_numbers(file, GOLD, special[GOLD], classes) if GOLD in special else None
    sequence = np.unique(special[SEQUENCE].astype(str), return_inverse=True)[1] if SEQUENCE in special else None
    return Ballot(tuple(columns), votes, gold, sequence)


def _table(file: Path) -> dict[str, NDArray[Any]]:
    import pandas as pd

    if file.suffix not in {".csv", ".parquet"}:
        raise InputError(f"{file}: '{file.suffix}' is no kind of table", hint="give .csv, .parquet or .npz")
    try:
        frame = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    except (OSError, ValueError) as error:  # the readers' own errors are kinds of ValueError
        raise InputError(f"{file} cannot be read: {str(error).splitlines()[0]}", hint=_HINT) from None
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def _archive(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} cannot be read: {error}", hint="write it with numpy.savez, without objects") from None
    votes = arrays.get(VOTES)
    if votes is None or votes.ndim != 2:
        raise InputError(f"{file}: no array 'votes' (windows, functions)", hint=f"it has {', '.join(arrays) or 'nothing'}")
    special = {name: arrays[name] for name in (GOLD, SEQUENCE) if name in arrays}
    for name, values in special.items():
        if values.shape != (len(votes),):
            raise InputError(f"{file}: '{name}' has shape {values.shape}, wanted ({len(votes)},)", hint="one value a window")
    return {f"function_{j}": votes[:, j] for j in range(votes.shape[1])} | special


def _class_numbers(file: Path, name: str, values: NDArray[Any], classes: int) -> NDArray[np.int8]:
    """One column as class numbers; empty cells abstain."""
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{file}: column '{name}' holds text", hint=_HINT) from None
    numbers = np.where(np.isnan(numbers), ABSTAIN, numbers)
    wrong = (numbers != np.floor(numbers)) | (numbers < ABSTAIN) | (numbers >= classes)
    if wrong.any():
        row = int(wrong.argmax())
        hint = f"-1 abstains, the classes are 0 to {classes - 1}"
        raise InputError(f"{file}: column '{name}', row {row + 1}: {numbers[row]:g} is no vote", hint=hint)
    return numbers.astype(np.int8)


def _check(classes: tuple[str, ...], shares: tuple[float, ...], out: Path | None) -> None:
    if not 2 <= len(classes) <= _MOST_CLASSES or len(set(classes)) < len(classes) or not all(classes):
        raise InputError(
            f"classes '{','.join(classes)}'", hint="give at least two different names, in the order of their numbers"
        )
    if shares and (len(shares) != len(classes) or min(shares) < 0 or abs(sum(shares) - 1) > 0.01):
        raise InputError(f"shares {','.join(map(str, shares))}", hint=f"give {len(classes)} shares that sum to 1, or none")
    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise InputError(f"{out}: '{out.suffix}' is no kind of table", hint="write to .csv or .parquet")


def _write(rows: pd.DataFrame, out: Path) -> None:
    from components.workspace.files import write_bytes

    content = rows.to_csv(index=False).encode() if out.suffix == ".csv" else rows.to_parquet(index=False)
    try:
        write_bytes(out, content)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}", hint="name a file in a folder of yours") from None
