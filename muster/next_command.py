"""Commands that a message names are completed by the workspace that the user named, so that they can be copied."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperGroup

_PLACES = ("workspace", "root", "place")
"""What commands call the argument that says which workspace."""
_HERE = str(Path())
_NAMED = re.compile(r"\bmuster(?= [a-z])")
_WORD = re.compile(r" ([a-z][a-z-]*)")
_VALUE = re.compile(r" ([A-Z_]+\b|[\w{}/-]*[\d/{}_-][\w{}/-]*|\w+(?=[,;:).]|$))")
"""An argument, told from the sentence that goes on: a placeholder, an identifier, or a word at the end of a clause."""


def completed(text: str, arguments: Sequence[str], commands: Any) -> str:
    """``text`` of a message to somebody who called muster with ``arguments``; ``commands``: the table of commands (click)."""
    place = _place(arguments, commands)
    if place in (None, _HERE):
        return text
    done, end = "", 0
    for named in _NAMED.finditer(text):
        at = _where(text, named.end(), commands)
        if at is not None and not text.startswith(f" {place}", at):
            done, end = f"{done}{text[end:at]} {shlex.quote(str(place))}", at
    return done + text[end:]


def _where(text: str, at: int, command: Any) -> int | None:
    """The position in ``text`` at which the command that goes on at ``at`` takes a workspace; None if it does not, or has one."""
    while isinstance(command, TyperGroup):
        word = _WORD.match(text, at)
        if word is None or word[1] not in command.commands:
            return None
        command, at = command.commands[word[1]], word.end()
    names = [p.name for p in command.params if isinstance(p, TyperArgument)]
    place = next((i for i, name in enumerate(names) if name in _PLACES), None)
    if place is None:
        return None
    for _ in range(place):
        value = _VALUE.match(text, at)
        if value is None:
            return None
        at = value.end()
    return at


def _place(arguments: Sequence[str], command: Any) -> str | None:
    rest = [a for a in arguments if a != "--debug"]
    while isinstance(command, TyperGroup):
        if not rest or rest[0] not in command.commands:
            return None
        command, rest = command.commands[rest[0]], rest[1:]
    given = command.make_context(None, rest, resilient_parsing=True).params
    return next((str(given[name]) for name in _PLACES if given.get(name) is not None), None)
