"""Votes by the million: equal rows counted once, and log-evidence looked up instead of computed.

A row of votes is a number in base k + 1 (digit 0 abstains). Runs of functions whose numbers stay small share one
table with a row for each of their joint votes, so that scoring a window costs one look-up a run of functions rather
than arithmetic for each function, and memory stays at one chunk of windows whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN

FIT_ROWS = 65_536  # windows that a fit looks at: its parameters are known to about 1/sqrt of that
_TABLE_ROWS = 1 << 16
_CHUNK = 1 << 15
_OFTEN = 0.25  # share of windows with a vote from which evenly spaced windows hold enough of them

Votes = NDArray[np.int8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patterns:
    """Different rows of votes: ``rows`` (patterns, functions) int8 and how often each occurs, ``counts`` (patterns,)."""

    rows: Votes
    counts: Floats


def patterns_of(votes: Votes, classes: int) -> Patterns:
    """The different rows of ``votes`` (windows, functions), without the one on which all abstain, in a fixed order.

    Many functions and more than `FIT_ROWS` windows: those of evenly spaced windows.
    """
    functions = votes.shape[1]
    if (classes + 1) ** functions <= _TABLE_ROWS:
        counted = np.zeros((classes + 1) ** functions, np.int64)
        for part in _chunks(votes):
            counted += np.bincount(_code(part.T, range(functions), classes), minlength=len(counted))
        codes = np.flatnonzero(counted[1:]) + 1
        return Patterns(_decode(codes, functions, classes), counted[codes].astype(np.float64))
    if len(votes) > FIT_ROWS:
        votes = _sample(votes)
    votes = np.ascontiguousarray(votes[(votes != ABSTAIN).any(axis=1)])
    rows = votes.view(np.dtype((np.void, functions))).ravel()
    _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    return Patterns(votes[first], counts.astype(np.float64))


def scored(votes: Votes, evidence: Floats) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.bool_]]]:
    """Chunk by chunk: the windows, the sum of their functions' ``evidence``, and which of them have a vote.

    ``evidence``: (functions, 1 + classes, columns), what each vote adds to each column, abstention first.
    Yields a slice of windows, (its windows, columns) float32, (its windows,) bool.
    """
    functions, digits, columns = evidence.shape
    size = max(int(np.log(_TABLE_ROWS) / np.log(digits)), 1)
    runs = [range(first, min(first + size, functions)) for first in range(0, functions, size)]
    tables = [_table(evidence[run.start : run.stop]) for run in runs]
    for begin, part in _numbered(votes):
        turned = np.ascontiguousarray(part.T)
        total = np.zeros((len(part), columns), np.float32)
        covered = np.zeros(len(part), bool)
        for run, table in zip(runs, tables, strict=True):
            code = _code(turned, run, digits - 1)
            total += table.take(code, axis=0)
            covered |= code != 0
        yield slice(begin, begin + len(part)), total, covered


def _sample(votes: Votes) -> Votes:
    """`FIT_ROWS` evenly spaced windows; where few of all windows have a vote, of those that have one."""
    spread = votes[_spaced(len(votes))]
    if (spread != ABSTAIN).any(axis=1).mean() > _OFTEN:
        return spread
    voting = np.concatenate([begin + np.flatnonzero((part != ABSTAIN).any(axis=1)) for begin, part in _numbered(votes)])
    return votes[voting[_spaced(len(voting))] if len(voting) > FIT_ROWS else voting]


def _spaced(count: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, FIT_ROWS).astype(np.int64)


def _numbered(votes: Votes) -> Iterator[tuple[int, Votes]]:
    for number, part in enumerate(_chunks(votes)):
        yield number * _CHUNK, part


def _chunks(votes: Votes) -> Iterator[Votes]:
    for begin in range(0, len(votes), _CHUNK):
        yield votes[begin : begin + _CHUNK]


def _code(turned: Votes, run: range, classes: int) -> NDArray[np.uint16]:
    """(windows,) the functions of ``run`` read as one number; ``turned`` is (functions, windows)."""
    code = np.zeros(turned.shape[1], np.uint16)
    for j in run:
        code *= np.uint16(classes + 1)
        code += (turned[j] + np.int8(1)).view(np.uint8)
    return code


def _decode(codes: NDArray[np.int64], functions: int, classes: int) -> Votes:
    powers = (classes + 1) ** np.arange(functions - 1, -1, -1)
    return (codes[:, None] // powers % (classes + 1) - 1).astype(np.int8)


def _table(evidence: Floats) -> NDArray[np.float32]:
    """(joint votes, columns) sums over the functions of one run, in the order of `_code`."""
    total = np.zeros((1, evidence.shape[2]))
    for one in evidence:
        total = (total[:, None] + one[None]).reshape(-1, evidence.shape[2])
    return total.astype(np.float32)
