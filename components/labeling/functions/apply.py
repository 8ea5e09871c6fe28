"""Apply labelling functions: column-wise, part by part in threads, and a function that fails abstains where it fails.

Windows stand device by device in order of time, so every part is a slice: any run of windows for functions that see
a window, whole devices for those that see a device. A part's columns are read once for all functions and dropped with
it. Functions that see the fleet get all windows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from components.features.columns import ROWS_A_GROUP
from components.labeling.functions.calling import Fault, Votes, check_sees, votes_or_fault
from components.labeling.functions.view import Sees, WindowView
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError

if TYPE_CHECKING:
    from components.labeling.functions.declaring import LabelingFunction
    from components.labeling.functions.kept import KeptVotes

PART = ROWS_A_GROUP
"""Windows of a part, but for a device that has more."""

_MOST_THREADS = 4

_Job = tuple[Sees, list[tuple[int, "LabelingFunction"]], int, int]
"""Functions with their numbers, and the slice of windows they are called on."""


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
            columns[number, begin:end], fault = votes_or_fault(function, classes, seen)
            if fault:
                found.append((number, fault))
            elif begin == 0:
                check_sees(function, classes, seen, columns[number, begin:end])
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


def _require_votes(functions: Sequence[LabelingFunction], columns: Votes, faults: dict[int, Fault]) -> None:
    if not (columns != ABSTAIN).any():
        names = ", ".join(f.name for f in functions)
        why = f"; {faults[min(faults)].message}" if faults else ""
        raise InputError(f"every labelling function of task '{functions[0].task}' abstains on every window: {names}{why}",
                         hint="loosen their thresholds; muster data profile shows the channels' ranges")  # fmt: skip
