"""Call one labelling function: check what it returns, and where it fails, find the windows that make it fail."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN
from components.workspace.errors import InputError, MusterError
from components.workspace.modules import line_in

if TYPE_CHECKING:
    from components.labeling.functions.declaring import LabelingFunction
    from components.labeling.functions.view import WindowView

SEARCHES = 1024
"""Calls that finding the windows on which a function fails may take; what is in doubt then abstains."""

_NEVER_RUNS = (NameError, ImportError, SyntaxError)

Votes = NDArray[np.int8]


@dataclass(frozen=True)
class Fault:
    """``function`` raised ``message`` (the first one, with its line) on ``windows`` windows, where it abstains."""

    function: str
    windows: int
    message: str


def votes_or_fault(function: LabelingFunction, classes: tuple[str, ...], view: WindowView) -> tuple[Votes, Fault | None]:
    """(windows,) votes, with abstentions where the function fails."""
    try:
        return _votes(function, classes, view), None
    except _Failure as failure:
        message = failure.message
    if function.sees == "fleet":
        return np.full(len(view), ABSTAIN, np.int8), Fault(function.name, len(view), message)
    votes, failing = _search(function, classes, view)
    return votes, Fault(function.name, failing, message)


def _search(function: LabelingFunction, classes: tuple[str, ...], view: WindowView) -> tuple[Votes, int]:
    """Votes on the largest pieces on which the function runs, by halving, and the number of windows that are left."""
    votes = np.full(len(view), ABSTAIN, np.int8)
    pieces = deque([(0, len(view))])
    failing = calls = 0
    while pieces:
        begin, end = pieces.popleft()
        halves = _halves(function, view, begin, end) if calls < SEARCHES else []
        if not halves:
            failing += end - begin
        for a, b in halves:
            calls += 1
            try:
                votes[a:b] = _votes(function, classes, view.part(a, b, function.sees))
            except _Failure:
                pieces.append((a, b))
    return votes, failing


def check_sees(function: LabelingFunction, classes: tuple[str, ...], view: WindowView, votes: Votes) -> None:
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
    if function.sees == "window":
        places = [(begin + end) // 2] if end - begin > 1 else []
    else:
        places = [first for _, first, _ in view.spans if begin < first < end]
    if not places:
        return []
    middle = places[len(places) // 2]
    return [(begin, middle), (middle, end)]


class _Failure(Exception):
    """The function raised on these windows; it may well run on others."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _votes(function: LabelingFunction, classes: tuple[str, ...], view: WindowView) -> Votes:
    """What the function says of the windows of ``view``, as votes.

    Raises:
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


def _unmasked(said: Any) -> NDArray[Any]:
    """As an array; where a masked array hides what it says, it says nothing."""
    if not isinstance(said, np.ma.MaskedArray):
        return np.asarray(said)
    return np.where(np.ma.getmaskarray(said), np.False_ if said.dtype == bool else np.int8(ABSTAIN), said.data)


def _call(function: LabelingFunction, view: WindowView) -> NDArray[Any]:
    with np.errstate(all="ignore"):  # comparisons with NaN are false: the function abstains
        try:
            return _unmasked(function.body(view))
        except (Exception, SystemExit) as error:  # a function that exits must not end the step as if all were well
            line = line_in(function.file, error) or function.line
            where = f"{function.file}, line {line}, labelling function {function.name}"
            if isinstance(error, MusterError):
                raise InputError(f"{where}: {error.message}", hint=error.hint) from error
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            unknown = isinstance(error, AttributeError) and error.obj is view
            if unknown or isinstance(error, _NEVER_RUNS):
                raise InputError(f"{where}: {what}", hint="mend the function; it gets a WindowView") from error
            raise _Failure(f"{function.file.name}, line {line}: {what}") from error
