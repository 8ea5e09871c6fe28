"""What a message says to do next can be copied, wherever the user stands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import typer

from components.workspace import Workspace
from muster.app import app, main
from muster.next_command import completed
from tests.ingestion.small import workspace

COMMANDS = typer.main.get_command(app)
CALLED = ("release", "status", "north-r1", "a b/w")


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("muster release list shows their ids", "muster release list 'a b/w' shows their ids"),
        ("muster run or muster release draft makes a draft", "muster run 'a b/w' or muster release draft 'a b/w' makes a draft"),
        ("muster release resume north-r1 --person NAME", "muster release resume north-r1 'a b/w' --person NAME"),
        (
            "muster device enroll DEVICE --make-key FILE makes one",
            "muster device enroll DEVICE 'a b/w' --make-key FILE makes one",
        ),
        ("muster keys rotate people/ana gives them a new key", "muster keys rotate people/ana 'a b/w' gives them a new key"),
        ("muster keys rotate timestamp, or fetch it", "muster keys rotate timestamp 'a b/w', or fetch it"),
        ("(muster keys show)", "(muster keys show 'a b/w')"),
        ("muster step ingest", "muster step ingest 'a b/w'"),
        ("muster init --template pumps DIR makes a workspace", "muster init --template pumps DIR makes a workspace"),
        ("muster is a mollusc, muster release is a noun", "muster is a mollusc, muster release is a noun"),
    ],
)
def test_a_command_gets_the_workspace_where_it_takes_one(text: str, copied: str) -> None:
    assert completed(text, CALLED, COMMANDS) == copied


@pytest.mark.parametrize("called", ["release list", "release list .", "--help", "nonsense", "profile list --library"])
def test_in_the_folder_itself_nothing_is_added(called: str) -> None:
    assert completed("muster release list shows their ids", called.split(), COMMANDS) == "muster release list shows their ids"


def test_what_is_named_already_is_not_named_twice() -> None:
    assert completed("muster step label w makes it", ("run", "w"), COMMANDS) == "muster step label w makes it"
    assert completed("muster run w makes it", ("release", "list", "w"), COMMANDS) == "muster run w makes it"


def _fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["muster", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    return capsys.readouterr().err


def test_the_hint_of_an_error_names_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: Workspace = workspace(tmp_path / "w")
    place = shlex.quote(str(made.root))
    assert f"muster release list {place} shows" in _fails(monkeypatch, capsys, "release", "show", "north-r9", made.root)
    monkeypatch.chdir(made.root)
    assert "muster release list shows" in _fails(monkeypatch, capsys, "release", "show", "north-r9")
