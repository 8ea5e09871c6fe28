"""Every command that the README and the pages for users show is run, in one workspace, in the order of the story."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import TOUR, Command, commands
from tests.docs.workspaces import quick_pumps


@pytest.mark.slow
def test_every_command_that_is_shown_does_what_is_said(checkout: Path, tmp_path: Path) -> None:
    """The workspace is made as shown, then swapped for a smaller fleet and a quicker model of the same names."""
    story = [command for page in TOUR for command in commands(checkout, page)]
    assert len(story) >= 30
    for command in story:
        _run(command, tmp_path)
        if command.text == "muster init --template pumps pumps":
            shutil.rmtree(tmp_path / "pumps")
            quick_pumps(checkout, tmp_path / "pumps")


@pytest.mark.parametrize("page", TOUR)
def test_every_page_of_the_story_shows_commands(checkout: Path, page: str) -> None:
    assert list(commands(checkout, page))


def test_the_two_commands_of_a_fresh_machine_are_targets_of_the_makefile(checkout: Path) -> None:
    shown = set(re.findall(r"(?:^ {4}|`)make ([\w-]+)", (checkout / "README.md").read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([\w-]+):", (checkout / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= shown
    assert shown <= targets


def _run(command: Command, folder: Path) -> None:
    """As in a terminal with the environment activated; no server or key of the caller's is used."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUSTER_", "MLFLOW_", "AWS_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.text],
        cwd=folder,
        env=kept | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == command.exit_code, (
        f"{command.page}: $ {command.text}\nexit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    )
