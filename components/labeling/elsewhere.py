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
from components.labeling.model.checks import MOST_CLASSES
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError, NotFound

if TYPE_CHECKING:
    import pandas as pd

GOLD, SEQUENCE, VOTES = "gold", "sequence", "votes"
_HINT = "a cell is a class number, -1 or empty to abstain; the columns gold and sequence are no functions"


@dataclass(frozen=True)
class Ballot:
    """``votes`` (windows, functions) int8, the functions' ``names``, and (windows,) ``gold`` and ``sequence`` or None."""

    names: tuple[str, ...]
    votes: NDArray[np.int8]
    gold: NDArray[np.int8] | None
    sequence: NDArray[np.int64] | None


def combine(
    file: Path, classes: tuple[str, ...], shares: tuple[float, ...] = (), out: Path | None = None, *, random_gold: bool = False
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row a window (``p_<class>`` for each class, ``covered``, ``decided``) and the facts of the label model.

    ``shares``: how frequent the classes are, where that is known. ``out``: where to write the rows, .csv or .parquet.
    ``random_gold``: the windows with gold were drawn at random from all, so they tell class shares too.

    Raises:
        NotFound: no such file.
        InputError: the file is no table of votes, or classes, shares or ``out`` do not fit; nothing is written.
    """
    import pandas as pd

    _check(file, classes, shares, out)
    ballot = read_ballot(file, len(classes))
    drawn = None if ballot.gold is None or not random_gold else np.ones(len(ballot.gold), bool)
    try:
        model = fit_label_model(
            ballot.votes, len(classes), np.asarray(shares) if shares else None, ballot.gold, ballot.sequence, drawn
        )
    except ValueError as error:
        raise InputError(f"{file}: {error}", hint=_HINT) from None
    said, covered = model.probabilities(ballot.votes, ballot.sequence, ballot.gold)
    rows = pd.DataFrame({f"p_{name}": said[:, c] for c, name in enumerate(classes)})
    rows["covered"] = covered
    decided = model.decided(said, covered)
    rows["decided"] = pd.Series(np.asarray([*classes, ""], object)[decided], dtype="str")
    facts = model.facts(ballot.names, classes)
    if out is not None:
        _write(rows, out)
    return rows, facts


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
    return Ballot(tuple(columns), votes, gold, _sequence(file, special[SEQUENCE]) if SEQUENCE in special else None)


def _sequence(file: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    """Ids as numbers; each must stand in one piece, because neighbours in the file are neighbours in time."""
    ids = np.unique(values.astype(str), return_inverse=True)[1].astype(np.int64)
    begins = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else ids
    first = np.unique(ids[begins], return_index=True)[1]
    if len(first) < len(begins):
        again = int(begins[np.setdiff1d(np.arange(len(begins)), first)[0]])
        hint = "sort the rows by sequence, and by time within it"
        raise InputError(f"{file}: sequence '{values[again]}' comes back in row {again + 1}", hint=hint)
    return ids


def _table(file: Path) -> dict[str, NDArray[Any]]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    if file.suffix not in {".csv", ".parquet"}:
        raise InputError(f"{file}: '{file.suffix}' is no kind of table", hint="give .csv, .parquet or .npz")
    try:  # pyarrow refuses rows of another width; pandas would shift or cut them
        table = csv.read_csv(file) if file.suffix == ".csv" else parquet.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read: {str(error).splitlines()[0]}", hint=_HINT) from None
    if twice := sorted({name for name in table.column_names if table.column_names.count(name) > 1}):
        raise InputError(f"{file}: two columns are called '{twice[0]}'", hint="give each function a name of its own")
    return {name: table[name].to_pandas().to_numpy() for name in table.column_names}


def _archive(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):
        raise InputError(f"{file} cannot be read", hint="write it with numpy.savez, without objects") from None
    votes = arrays.get(VOTES)
    if votes is None:
        raise InputError(f"{file}: no array 'votes'", hint=f"it has {', '.join(arrays) or 'nothing'}")
    if votes.ndim != 2:
        raise InputError(f"{file}: 'votes' has shape {votes.shape}, wanted (windows, functions)", hint="one row a window")
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


def _check(file: Path, classes: tuple[str, ...], shares: tuple[float, ...], out: Path | None) -> None:
    if not 2 <= len(classes) <= MOST_CLASSES or len(set(classes)) < len(classes) or not all(classes):
        raise InputError(
            f"classes '{','.join(classes)}'", hint="give at least two different names, in the order of their numbers"
        )
    if shares and not (len(shares) == len(classes) and min(shares) >= 0 and abs(sum(shares) - 1) <= 0.01):
        raise InputError(f"shares {','.join(map(str, shares))}", hint=f"give {len(classes)} shares that sum to 1, or none")
    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise InputError(f"{out}: '{out.suffix}' is no kind of table", hint="write to .csv or .parquet")
    if out is not None and (out.resolve() == file.resolve() or not out.parent.is_dir()):
        raise InputError(f"{out} cannot be written", hint="name another file than the votes, in a folder that is there")


def _write(rows: pd.DataFrame, out: Path) -> None:
    from components.workspace.files import write_bytes

    content = rows.to_csv(index=False).encode() if out.suffix == ".csv" else rows.to_parquet(index=False)
    try:
        write_bytes(out, content)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}", hint="name a file in a folder of yours") from None
