"""The file of annotations: who gave which class to which piece of a device's telemetry, and when.

A CSV with the columns `COLUMNS`; times are ISO 8601 in UTC, ends are exclusive, an empty ``value`` says "cannot tell".
It is meant to be read, kept under version control and mended by hand. Every change replaces the whole file under a
lock, so an answer that was taken is never lost: not to a second writer, not to a process that dies. A file is parsed
once, and again when its text is no longer the one that was parsed.
"""

from __future__ import annotations

import csv
import fcntl
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace.errors import InputError
from components.workspace.files import write_text

if TYPE_CHECKING:
    from components.workspace import Workspace

COLUMNS = ("device_id", "start", "end", "task", "value", "by", "at", "drawn")
RANDOM, WORTH = "random", "worth"
DRAWN = ("", RANDOM, WORTH)
"""How a window came to be asked about: not known, drawn uniformly from all, chosen as worth a person's time."""

_MAY_BE_EMPTY = ("value", "drawn")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Annotation:
    """One answer of one person. ``start`` to ``end`` (exclusive) and ``at`` are UTC; ``value`` is a class of the task, ''
    when the person cannot tell; ``drawn`` one of `DRAWN`. ``line`` is where it stands in its file, 0 when in none.
    """

    device_id: str
    start: datetime
    end: datetime
    task: str
    value: str
    by: str
    at: datetime
    drawn: str = ""
    line: int = field(default=0, compare=False)

    @cached_property
    def micros(self) -> tuple[int, int, int]:
        """``start``, ``end`` and ``at`` in microseconds since 1970."""
        start, end, at = ((time - _EPOCH) // _MICROSECOND for time in (self.start, self.end, self.at))
        return start, end, at


class AnnotationFile:
    """The annotations of one workspace."""

    def __init__(self, path: Path, lock: Path) -> None:
        self.path = path
        self._lock = lock
        self._parsed: tuple[str, list[Annotation]] = ("", [])

    @classmethod
    def of(cls, workspace: Workspace) -> AnnotationFile:
        return cls(workspace.path(workspace.settings.labeling.annotations), workspace.state / "annotations.lock")

    def read(self) -> list[Annotation]:
        """All annotations in the order of the file; none when there is no file. The same list, not to be changed, as long as
        the file is the same.

        Raises:
            InputError: the file is no such CSV; the message names the line.
        """
        return self._read(self._text())

    def change(self, change: Callable[[list[Annotation]], list[Annotation]]) -> list[Annotation]:
        """Replace the annotations by what ``change`` makes of them, while nobody else writes; return the new ones.

        Raises:
            InputError: the file is damaged, or cannot be written.
        """
        with self._alone():
            before = self.read()
            after = change(list(before))
            if after != before:
                self._write(render(after))
            return after

    def add(self, *new: Annotation) -> None:
        """Append answers; once this returns they survive a power cut.

        Raises:
            InputError: as `change`.
        """
        with self._alone():
            text = self._text()
            kept = self._read(text)
            lines = "".join(map(_rendered, new))
            before = text if text.startswith(_header()) and text.endswith("\n") else render(kept)
            added = [replace(a, line=a.line + _lines(before) - 1) for a in parse(_header() + lines, str(self.path))]
            self._write(before + lines)
            self._parsed = (before + lines, [*kept, *added])

    def withdraw(self, unwanted: Annotation) -> None:
        """Take one answer back, as if it had never been given."""
        self.change(lambda kept: [a for a in kept if a != unwanted])

    def _read(self, text: str) -> list[Annotation]:
        if text != self._parsed[0]:
            self._parsed = (text, parse(text, str(self.path)))
        return self._parsed[1]

    def _write(self, text: str) -> None:
        with _writable(self.path):
            write_text(self.path, text)

    def _text(self) -> str:
        try:
            return self.path.read_bytes().decode() if self.path.is_file() else ""
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: byte {error.start} is no UTF-8 text", hint="save the file as UTF-8") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _writable(self._lock):
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            handle = self._lock.open("w")
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def parse(text: str, name: str, *, by: str = "", at: datetime | None = None) -> list[Annotation]:
    """Annotations in the order of the lines; ``by`` and ``at`` stand in where the file lacks those columns.

    Raises:
        InputError: a column is missing or unknown, a cell is empty, a time has no zone, or an end is not after its start.
    """
    if not text.strip():
        return []
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    assumed = {"by": by, "at": _written(at) if at else "", "drawn": ""}
    try:
        header = next(reader)
        _check_header(header, assumed, name)
        places = [header.index(c) if c in header else len(header) + n for n, c in enumerate(COLUMNS)]
        stand_in = [assumed.get(c, "") for c in COLUMNS]
        annotations = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                where = f"{name}, line {reader.line_num}"
                raise InputError(f"{where}: {len(cells)} cells under {len(header)} columns", hint="quote cells that hold a comma")
            padded = cells + stand_in
            row = [padded[place] or other for place, other in zip(places, stand_in, strict=True)]
            annotations.append(_annotation(row, name, reader.line_num))
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: no valid CSV: {error}", hint="mend the line") from None
    return annotations


def render(annotations: list[Annotation]) -> str:
    """The file's text, header first; `parse` reads the same annotations back."""
    return _header() + "".join(map(_rendered, annotations))


def _header() -> str:
    return ",".join(COLUMNS) + "\n"


def _lines(text: str) -> int:
    """As many as `csv` counts: a carriage return ends one too."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _rendered(a: Annotation) -> str:
    row = (a.device_id, _written(a.start), _written(a.end), a.task, a.value, a.by, _written(a.at), a.drawn)
    return ",".join(map(_quoted, row)) + "\n"


def _quoted(cell: str) -> str:
    """As RFC 4180 has it; `csv.writer` would leave a lone carriage return bare, and no reader takes that."""
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell


def _check_header(header: list[str], assumed: dict[str, str], name: str) -> None:
    needed = [c for c in COLUMNS if not assumed.get(c) and c != "drawn"]
    if missing := [c for c in needed if c not in header]:
        hint = f"columns: {', '.join(COLUMNS)}; muster labels import --by NAME stands in for by"
        raise InputError(f"{name}, line 1: no column {', '.join(missing)}", hint=hint)
    if odd := [c for c in header if c not in COLUMNS or header.count(c) > 1]:
        raise InputError(f"{name}, line 1: column '{odd[0]}' is unknown or there twice", hint=f"columns: {', '.join(COLUMNS)}")


def _annotation(row: list[str], name: str, line: int) -> Annotation:
    """``row``: cells in the order of `COLUMNS`."""
    device, start_text, end_text, task, value, by, at_text, drawn = row
    where = f"{name}, line {line}"
    if not (device and start_text and end_text and task and by and at_text):
        empty = next(c for c, cell in zip(COLUMNS, row, strict=True) if not cell and c not in _MAY_BE_EMPTY)
        raise InputError(f"{where}: {empty} is empty", hint="only value may be, it then says 'cannot tell', and drawn")
    start, end, at = _time(start_text, "start", where), _time(end_text, "end", where), _time(at_text, "at", where)
    if end <= start:
        raise InputError(f"{where}: end is not after start", hint="ends are exclusive")
    if drawn not in DRAWN:
        raise InputError(f"{where}: drawn '{drawn}' is none of {RANDOM} and {WORTH}", hint="leave it empty where it is not known")
    return Annotation(device, start, end, task, value, by, at, drawn, line)


def _time(text: str, column: str, where: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"{where}: {column} '{text}' is no time", hint="write ISO 8601, e.g. 2026-01-31T00:00:00Z") from None
    raise InputError(f"{where}: {column} '{text}' has no zone", hint="end it with Z for UTC")


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "annotations need a workspace that can be written: check its rights and free space"
        raise InputError(f"{path} cannot be written: {error.strerror}", hint=hint) from None
