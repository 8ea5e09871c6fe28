"""What the pages say about files, commands, exit codes and configuration is so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from pydantic import BaseModel

from components.workspace import errors
from components.workspace.profiles import Profile
from components.workspace.settings import Settings
from muster.app import app
from tests.docs.pages import links, mentioned, pages


def test_every_link_leads_to_a_file(checkout: Path) -> None:
    broken = [
        f"{page.relative_to(checkout)}: {target}"
        for page in pages(checkout)
        for target in links(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_page_is_in_the_index_of_the_readme(checkout: Path) -> None:
    listed = links((checkout / "README.md").read_text())
    folders = {Path(target) for target in listed if target.endswith("/")}
    for page in (checkout / "docs").rglob("*.md"):
        relative = page.relative_to(checkout)
        assert str(relative) in listed or relative.parent in folders, relative


def test_every_command_that_is_named_exists_with_its_options(checkout: Path) -> None:
    root = typer.main.get_command(app)
    named = [(page.relative_to(checkout), words) for page in pages(checkout) for words in mentioned(page.read_text())]
    wrong = [f"{page}: muster {' '.join(words)}: {why}" for page, words in named if (why := _unknown(root, words))]
    assert len(named) > 80
    assert wrong == []


def test_the_exit_codes_of_the_readme_are_those_of_the_errors(checkout: Path) -> None:
    table = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", (checkout / "README.md").read_text(), re.MULTILINE))
    used = {c.exit_code for c in errors.MusterError.__subclasses__()} | {0, 1, 130}
    assert {int(code) for code in table} == used


@pytest.mark.parametrize(("page", "model"), [("configuration", Settings), ("profiles", Profile)])
def test_a_page_of_keys_lists_every_one_with_its_default(page: str, model: type[BaseModel], checkout: Path) -> None:
    rows = dict(re.findall(r"^\| `([\w.\[\]]+)` \| (.+?) \|", (checkout / f"docs/{page}.md").read_text(), re.MULTILINE))
    assert rows == dict(_keys(model, ""))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    """(dotted key, default as the page writes it) of every value that is no section of its own."""
    for name, field in model.model_fields.items():
        inner = next((t for t in (field.annotation, *_arguments(field.annotation)) if _is_section(t)), None)
        many = "[]" if getattr(field.annotation, "__origin__", None) is tuple else ""
        if inner is not None:
            yield from _keys(inner, f"{prefix}{name}{many}.")
        else:
            yield f"{prefix}{name}", "required" if field.is_required() else f"`{json.dumps(field.get_default())}`"


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return tuple(getattr(annotation, "__args__", ()))


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _unknown(command: Any, words: list[str]) -> str:
    """Why ``words`` is no call of ``command``; empty when it is one."""
    words = list(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return f"no command '{name}'"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    return next((f"no option {word}" for word in words if word.startswith("-") and word not in options), "")
