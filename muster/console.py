"""How results, progress and errors reach a person or a program.

Standard output carries the result alone: a table, or with ``--json`` exactly one JSON document. Everything else
goes to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from components.workspace.errors import InputError, MusterError

SCHEMA_VERSION = 1
DEBUG = "MUSTER_DEBUG"

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EEXIST}
"""What a disk says no with: nothing that a mended program would do better."""

Json = Annotated[bool, typer.Option("--json", help="print one JSON document instead of a table")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress lines")]


def emit_json(kind: str, value: Any) -> None:
    """Print the one JSON document of a command."""
    document = {"schema_version": SCHEMA_VERSION, "kind": kind, "data": value}
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True, default=str) + "\n")


def emit_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; colour only on a terminal and without NO_COLOR."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    width = None if sys.stdout.isatty() else 160
    Console(file=sys.stdout, width=width, highlight=False, markup=False).print(table)


def emit_line(text: str = "") -> None:
    sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """A line for the person who watches, never part of the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def check_folder(out: Path | None) -> None:
    """Before the work whose results go there.

    Raises:
        InputError: ``out`` is a file.
    """
    if out is not None and out.is_file():
        raise InputError(f"{out} is a file", hint="name a folder with --out")


_LATER: list[MusterError] = []


def fail_at_the_end(error: MusterError) -> None:
    """What the command is for is done, and it goes on to say so; then it ends with this."""
    _LATER.append(error)


@contextmanager
def errors_explained(completed: Callable[[str], str] = str) -> Iterator[None]:
    """Turn what escapes a command into a short message and the documented exit code. ``completed`` has the last word on texts."""
    _LATER.clear()
    try:
        try:
            yield
        except SystemExit as ended:
            if ended.code or not _LATER:
                raise
        if _LATER:
            raise _LATER[0]
    except MusterError as error:
        _maybe_trace()
        say(f"error: {completed(str(error))}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        say("interrupted: what was finished is kept; run the same command again to go on")
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:  # noqa: BLE001 - the last line of defence: every bug gets the same short form
        _maybe_trace()
        if isinstance(error, OSError) and error.errno in _DISK:
            where = f"{error.filename}: " if error.filename else ""
            say(f"error: {where}{error.strerror}\n  -> make room, or name a place that can be written, and run it again")
            raise SystemExit(InputError.exit_code) from None
        say(f"bug: {type(error).__name__}: {error}\n  -> run again with --debug and report what it prints")
        raise SystemExit(1) from None


def _maybe_trace() -> None:
    if os.environ.get(DEBUG):
        traceback.print_exc()
