"""The file of annotations: who gave which class to which piece of a device's telemetry, and when.

A CSV with the columns `COLUMNS`; times are ISO 8601 in UTC, ends are exclusive, an empty ``value`` says "cannot tell".
It is meant to be read, kept under version control and mended by hand. Every change replaces the whole file under a
lock, so an answer that was taken is never lost: not to a second writer, not to a process that dies.
"""

from __future__ import annotations

import csv
import fcntl
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace.errors import InputError
from components.workspace.files import write_text

if TYPE_CHECKING:
    from components.workspace import Workspace

COLUMNS = ("device_id", "start", "end", "task", "value", "by", "at")


@dataclass(frozen=True)
class Annotation:
    """One answer of one person. ``start`` to ``end`` (exclusive) and ``at`` are UTC; ``value`` is a class of the task, ''
    when the person cannot tell. ``line`` is where it stands in its file, 0 when it stands in none.
    """

    device_id: str
    start: datetime
    end: datetime
    task: str
    value: str
    by: str
    at: datetime
    line: int = field(default=0, compare=False)


class AnnotationFile:
    """The annotations of one workspace."""

    def __init__(self, path: Path, lock: Path) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def of(cls, workspace: Workspace) -> AnnotationFile:
        return cls(workspace.path(workspace.settings.labeling.annotations), workspace.state / "annotations.lock")

    def read(self) -> list[Annotation]:
        """All annotations in the order of the file; none when there is no file.

        Raises:
            InputError: the file is no such CSV; the message names the line.
        """
        return parse(self._text(), str(self.path))

    def change(self, change: Callable[[list[Annotation]], list[Annotation]]) -> list[Annotation]:
        """Replace the annotations by what ``change`` makes of them, while nobody else writes; return the new ones.

        Raises:
            InputError: the file is damaged, or cannot be written.
        """
        with self._alone():
            before = self.read()
            after = change(before)
            if after != before:
                with _writable(self.path):
                    write_text(self.path, render(after))
            return after

    def add(self, *new: Annotation) -> None:
        """Append answers; once this returns they survive a power cut."""
        self.change(lambda kept: [*kept, *new])

    def withdraw(self, unwanted: Annotation) -> None:
        """Take one answer back, as if it had never been given."""
        self.change(lambda kept: [a for a in kept if a != unwanted])

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
    assumed = {"by": by, "at": _written(at) if at else ""}
    try:
        header = next(reader)
        _check_header(header, assumed, name)
        return [_annotation(header, cells, assumed, name, reader.line_num) for cells in reader if cells]
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: no valid CSV: {error}", hint="mend the line") from None


def render(annotations: list[Annotation]) -> str:
    """The file's text, header first; `parse` reads the same annotations back."""
    rows = ((a.device_id, _written(a.start), _written(a.end), a.task, a.value, a.by, _written(a.at)) for a in annotations)
    return "".join(",".join(map(_quoted, row)) + "\n" for row in (COLUMNS, *rows))


def _quoted(cell: str) -> str:
    """As RFC 4180 has it; `csv.writer` would leave a lone carriage return bare, and no reader takes that."""
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell


def _check_header(header: list[str], assumed: dict[str, str], name: str) -> None:
    needed = [c for c in COLUMNS if not assumed.get(c)]
    if missing := [c for c in needed if c not in header]:
        hint = f"columns: {', '.join(COLUMNS)}; muster labels import --by NAME stands in for by"
        raise InputError(f"{name}, line 1: no column {', '.join(missing)}", hint=hint)
    if odd := [c for c in header if c not in COLUMNS or header.count(c) > 1]:
        raise InputError(f"{name}, line 1: column '{odd[0]}' is unknown or there twice", hint=f"columns: {', '.join(COLUMNS)}")


def _annotation(header: list[str], cells: list[str], assumed: dict[str, str], name: str, line: int) -> Annotation:
    where = f"{name}, line {line}"
    if len(cells) != len(header):
        raise InputError(f"{where}: {len(cells)} cells under {len(header)} columns", hint="quote cells that hold a comma")
    row = assumed | {k: v for k, v in zip(header, cells, strict=True) if v or k not in assumed}
    if empty := [c for c in COLUMNS if not row[c] and c != "value"]:
        raise InputError(f"{where}: {empty[0]} is empty", hint="only value may be: it then says 'cannot tell'")
    start, end, at = (_time(row[c], c, where) for c in ("start", "end", "at"))
    if end <= start:
        raise InputError(f"{where}: end is not after start", hint="ends are exclusive")
    return Annotation(row["device_id"], start, end, row["task"], row["value"], row["by"], at, line)


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
