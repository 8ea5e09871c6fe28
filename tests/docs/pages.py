"""What the documentation says that a machine can check: commands, links, names of commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOUR = (
    "README.md",
    "docs/release-manager.md",
    "docs/operator.md",
    "docs/firmware-engineer.md",
    "docs/ml-engineer.md",
    "docs/labelling.md",
)
"""The pages whose commands form one story, in the order in which it is told."""

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXPECTED = re.compile(r"\s+# exit code (\d+)\b.*$")


@dataclass(frozen=True)
class Command:
    """One line that starts with ``$ `` in a console block; ``exit_code`` as the page states it, 0 if it is silent."""

    page: str
    text: str
    exit_code: int


def commands(checkout: Path, page: str) -> Iterator[Command]:
    for block in _BLOCK.findall((checkout / page).read_text()):
        for line in block.splitlines():
            if line.startswith("$ "):
                stated = _EXPECTED.search(line)
                yield Command(page, _EXPECTED.sub("", line[2:]), int(stated[1]) if stated else 0)


def pages(checkout: Path) -> list[Path]:
    """README and every page below docs/."""
    return [checkout / "README.md", *sorted((checkout / "docs").rglob("*.md"))]


def links(text: str) -> set[str]:
    """Targets of links to other files of the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return {target.partition("#")[0] for target in found if "://" not in target and not target.startswith("#")}


def mentioned(text: str) -> Iterator[list[str]]:
    """Every ``muster ...`` in code, as words: inline code, and lines of fenced or indented blocks."""
    inline = re.findall(r"`((?:[\w./]+/)?muster [^`\n]+)`", text)
    lines = re.findall(r"^(?: {4}|\$ )((?:[\w./]+/)?muster .+)$", text, re.MULTILINE)
    for line in [*inline, *lines]:
        yield line.partition("  #")[0].split()[1:]
