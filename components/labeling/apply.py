"""Apply labelling functions: column-wise, part by part in threads, and a function that fails abstains where it fails.

Windows stand device by device in order of time, so every part is a slice: any run of windows for functions that see
a window, whole devices for those that see a device. A part's columns are read once for all functions and dropped with
it. Functions that see the fleet get all windows.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from components.features.columns import ROWS_A_GROUP
from components.labeling.view import Sees, WindowView
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError, MusterError
from components.workspace.modules import line_in

if TYPE_CHECKING:
    from components.labeling.functions import LabelingFunction
    from components.labeling.kept import KeptVotes

PART = ROWS_A_GROUP
"""Windows of a part, but for a device that has more."""

SEARCHES = 1024
"""Calls that finding the windows on which a function fails may take in a part; what is in doubt then abstains."""

_MOST_THREADS = 4
_NEVER_RUNS = (NameError, ImportError, SyntaxError)

Votes = NDArray[np.int8]
_Job = tuple[Sees, list[tuple[int, "LabelingFunction"]], int, int]
"""Functions with their numbers, and the slice of windows they are called on."""


@dataclass(frozen=True)
class Fault:
    """``function`` raised ``message`` (the first one, with its line) on ``windows`` windows, where it abstains."""

    function: str
    windows: int
    message: str


@dataclass(frozen=True)
class Applied:
    """``votes``: (windows, functions). ``ran``: the functions that were called; the others' votes were kept."""

    votes: Votes
    faults: tuple[Fault, ...]
    ran: tuple[str, ...]


def apply_functions(
    functions: Sequence[LabelingFunction],
    classes: tuple[str, ...],
    view: WindowView,
    kept: KeptVotes | None = None,
    *,
    part: int = PART,
    threads: int | None = None,
) -> Applied:
    """Votes of all functions on all windows; those in ``kept`` for the same function and data are taken from there.

    Raises:
        InputError: a function can never run, returns the wrong shape, kind or class, or all of them abstain everywhere.
    """
    columns = np.full((len(functions), len(view)), ABSTAIN, np.int8)
    missing = []
    for number, function in enumerate(functions):
        found = kept.load(function, classes) if kept else None
        if found is None:
            missing.append(number)
        else:
            columns[number] = found
    faults = _run([(n, functions[n]) for n in missing], classes, view, columns, part, threads)
    if kept:
        for number in (n for n in missing if n not in faults):
            kept.save(functions[number], classes, columns[number])
    _require_votes(functions, columns, faults)
    return Applied(columns.T, tuple(faults[n] for n in sorted(faults)), tuple(functions[n].name for n in missing))


def _run(
    chosen: list[tuple[int, LabelingFunction]],
    classes: tuple[str, ...],
    view: WindowView,
    columns: Votes,
    part: int,
    threads: int | None,
) -> dict[int, Fault]:
    """Fill the rows of ``columns`` (functions, windows) and say where functions failed."""
    jobs: list[_Job] = [
        (sees, [(n, f) for n, f in chosen if f.sees == sees], begin, end)
        for sees in get_args(Sees)
        if any(f.sees == sees for _, f in chosen)
        for begin, end in _parts(view, sees, part)
    ]

    def work(job: _Job) -> list[tuple[int, Fault]]:
        sees, mine, begin, end = job
        seen = view if sees == "fleet" else view.part(begin, end, sees)
        found = []
        for number, function in mine:
            columns[number, begin:end], fault = _votes_or_fault(function, classes, seen)
            if fault:
                found.append((number, fault))
            elif begin == 0:
                _check_sees(function, classes, seen, columns[number, begin:end])
        return found

    workers = threads or min(_MOST_THREADS, os.cpu_count() or 1)
    if workers == 1 or len(jobs) == 1:
        return _together(map(work, jobs))
    with ThreadPoolExecutor(workers) as pool:
        return _together(pool.map(work, jobs))


def _together(found: Iterable[list[tuple[int, Fault]]]) -> dict[int, Fault]:
    """Faults of all parts, added up for each function; the first part's message stays."""
    total: dict[int, Fault] = {}
    for number, fault in (pair for part in found for pair in part):
        before = total.get(number)
        windows = fault.windows + (before.windows if before else 0)
        total[number] = Fault(fault.function, windows, before.message if before else fault.message)
    return total


def _parts(view: WindowView, sees: Sees, size: int) -> list[tuple[int, int]]:
    """Slices of about ``size`` windows; of whole devices for ``sees`` device, one for the fleet."""
    if sees == "fleet" or not len(view):
        return [(0, len(view))]
    if sees == "window":
        return [(begin, min(begin + size, len(view))) for begin in range(0, len(view), size)]
    parts, begin = [], 0
    for _, first, end in view.spans:
        if end - begin > size and first > begin:
            parts.append((begin, first))
            begin = first
    return [*parts, (begin, len(view))]


def _votes_or_fault(function: LabelingFunction, classes: tuple[str, ...], view: WindowView) -> tuple[Votes, Fault | None]:
    """(windows,) votes, with abstentions where the function fails."""
    try:
        return _votes(function, classes, view), None
    except _Failure as failure:
        message = failure.message
    votes = np.full(len(view), ABSTAIN, np.int8)
    if function.sees == "fleet":
        return votes, Fault(function.name, len(view), message)
    pieces = deque([(0, len(view))])
    failing, calls = 0, 0
    while pieces:
        begin, end = pieces.popleft()
        cuts = [(a, b) for a, b in _halves(function, view, begin, end)]
        if not cuts or calls >= SEARCHES:
            failing += end - begin
            continue
        for a, b in cuts:
            calls += 1
            try:
                votes[a:b] = _votes(function, classes, view.part(a, b, function.sees))
            except _Failure:
                pieces.append((a, b))
    return votes, Fault(function.name, failing, message)


def _check_sees(function: LabelingFunction, classes: tuple[str, ...], view: WindowView, votes: Votes) -> None:
    """Call the function on half of the windows: it must say of them what it said of all.

    Raises:
        InputError: it does not, so its votes would hang on how windows are parted.
    """
    halves = _halves(function, view, 0, len(view)) if function.sees != "fleet" else []
    for a, b in halves[1:]:
        try:
            same = bool((_votes(function, classes, view.part(a, b, function.sees)) == votes[a:b]).all())
        except _Failure:
            same = False
        if not same:
            raise InputError(
                f'{function.where}: is declared sees="{function.sees}", but what it votes depends on more than that',
                hint=f'declare it sees="{"device" if function.sees == "window" else "fleet"}"',
            )


def _halves(function: LabelingFunction, view: WindowView, begin: int, end: int) -> list[tuple[int, int]]:
    """Two smaller pieces, of whole devices where the function sees devices; none when there is nothing to cut."""
    places = np.arange(begin + 1, end) if function.sees == "window" else _borders(view, begin, end)
    if not len(places):
        return []
    middle = int(places[len(places) // 2])
    return [(begin, middle), (middle, end)]


def _borders(view: WindowView, begin: int, end: int) -> NDArray[np.int64]:
    return np.asarray([first for _, first, _ in view.spans if begin < first < end], np.int64)


class _Failure(Exception):
    """The function raised on these windows; it may well run on others."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _votes(function: LabelingFunction, classes: tuple[str, ...], view: WindowView) -> Votes:
    """Raises:
    InputError: what came back is no votes.
    _Failure: nothing came back.
    """
    said = _call(function, view)
    if said.shape != (len(view),):
        raise InputError(
            f"{function.where}: returned shape {said.shape}, wanted ({len(view)},)",
            hint="return one value a window; the view's methods give arrays of that shape",
        )
    if function.votes is not None:
        if said.dtype != bool:
            raise InputError(
                f"{function.where}: returned {said.dtype}, a function with votes= returns booleans",
                hint="end it with a comparison, or leave votes= out and return class numbers",
            )
        return said.astype(np.int8) * np.int8(classes.index(function.votes) - ABSTAIN) + np.int8(ABSTAIN)
    if not np.issubdtype(said.dtype, np.integer):
        raise InputError(
            f"{function.where}: returned {said.dtype}, a function without votes= returns integers",
            hint="-1 abstains; NaN is no vote",
        )
    if (outside := said[(said < ABSTAIN) | (said >= len(classes))]).size:
        raise InputError(
            f"{function.where}: returned vote {outside[0]}",
            hint=f"votes are -1 (abstain) to {len(classes) - 1}: {', '.join(classes)}",
        )
    return said.astype(np.int8)


def _call(function: LabelingFunction, view: WindowView) -> NDArray[Any]:
    with np.errstate(all="ignore"):  # comparisons with NaN are false: the function abstains
        try:
            return np.asarray(function.body(view))
        except Exception as error:
            line = line_in(function.file, error) or function.line
            where = f"{function.file}, line {line}, labelling function {function.name}"
            if isinstance(error, MusterError):
                raise InputError(f"{where}: {error.message}", hint=error.hint) from error
            what = f"{type(error).__name__}: {error}"
            unknown = isinstance(error, AttributeError) and error.obj is view
            if unknown or isinstance(error, _NEVER_RUNS):
                raise InputError(f"{where}: {what}", hint="mend the function; it gets a WindowView") from error
            raise _Failure(f"{function.file.name}, line {line}: {what}") from error


def _require_votes(functions: Sequence[LabelingFunction], columns: Votes, faults: dict[int, Fault]) -> None:
    if not (columns != ABSTAIN).any():
        names = ", ".join(f.name for f in functions)
        why = f"; {faults[min(faults)].message}" if faults else ""
        raise InputError(f"every labelling function of task '{functions[0].task}' abstains on every window: {names}{why}",
                         hint="loosen their thresholds; muster data profile shows the channels' ranges")  # fmt: skip
