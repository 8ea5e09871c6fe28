"""Only functions whose votes can have changed run again, whatever was edited."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from components.features.columns import STATISTICS_FILE, FileColumns, save_statistics
from components.labeling.functions.apply import apply_functions
from components.labeling.functions.declaring import load_functions
from components.labeling.functions.fingerprint import fingerprint
from components.labeling.functions.kept import KeptVotes
from components.labeling.functions.view import WindowView
from components.values import LabelSet, Windows
from components.workspace import Workspace, open_workspace
from flows.steps import find, key_of
from tests.labeling.test_labels import prepared
from tests.labeling.test_rules import pump_shop

MODULE = '''"""Rules."""

import numpy as np
from components.labeling import labeling_function

HIGH = 1.5
LOW = -1.5


def level(w):
    return w.z_mean("pressure")


@labeling_function(task="state", votes="high", sees="window")
def pressure_high(w):
    return level(w) > HIGH


@labeling_function(task="state", votes="low", sees="window")
def pressure_low(w):
    return level(w) < LOW


@labeling_function(task="state", votes="normal", sees="window")
def pressure_usual(w):
    return abs(w.z_mean("pressure")) < 1


@labeling_function(task="state", votes="high", sees="window")
def was_told(w):
    return w.count("errors") > 0
'''
RULES = (
    "rules:\n  - {name: %s, task: state, votes: low, when: [{kind: threshold, channel: flow, scale: deviations, below: %s}]}\n"
)
LIMITS = "LOW = -1.5\n"
EVENTS = "device_id,time,code\nd1,2026-03-01T00:30:00Z,E1\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace whose feature step is done."""
    made, windows, statistics = prepared(tmp_path, MODULE, head="")
    folder = made.out / "features"
    folder.mkdir(parents=True)
    windows.save(folder)
    save_statistics(statistics, folder)
    (made.root / "rules.yaml").write_text(RULES % ("flow_low", -2))
    (made.root / "events.csv").write_text(EVENTS)
    (made.root / "limits.py").write_text(LIMITS)
    text = yaml.safe_load((made.root / "muster.yaml").read_text())
    text |= {"labeling": {"rules": "rules.yaml"}, "records": {"errors": "events.csv"}}
    (made.root / "muster.yaml").write_text(yaml.safe_dump(text))
    return made.root


def ran(root: Path) -> list[str]:
    """Apply the functions of the workspace; which of them were called. Their votes are those of a run without memory."""
    workspace = open_workspace(root)
    windows = Windows.load(workspace.out / "features")
    view = WindowView.of(workspace, windows, FileColumns(workspace.out / "features"))
    task = workspace.settings.tasks[0]
    functions = load_functions(workspace, task)
    got = apply_functions(functions, task.vote_classes, view, KeptVotes.of(workspace, view.columns))
    assert (got.votes == apply_functions(functions, task.vote_classes, view).votes).all()
    return list(got.ran)


EVERY = ["pressure_high", "pressure_low", "pressure_usual", "was_told", "flow_low"]


@pytest.mark.parametrize(
    ("file", "old", "new", "again"),
    [
        ("labeling.py", "HIGH = 1.5", "HIGH = 1.4", ["pressure_high"]),
        ("labeling.py", "abs(w", "1 * abs(w", ["pressure_usual"]),
        ("labeling.py", 'return w.z_mean("pressure")\n', 'return 2 * w.z_mean("pressure")\n', ["pressure_high", "pressure_low"]),
        ("labeling.py", "def level", "# a remark\n\n\ndef level", []),
        ("labeling.py", '"""Rules."""', '"""Other words."""', []),
        ("labeling.py", "LOW = -1.5", "LOW = -1.5\nUNUSED = 3", []),
        ("labeling.py", "LOW = -1.5", "LOW = -1.5\nprint('anything may happen here')", EVERY[:4]),
        ("labeling.py", "LOW = -1.5", "LOW = -1.5\nif HIGH:\n    LOW = -1", ["pressure_low"]),
        ("labeling.py", "LOW = -1.5", "LOW = -1.5\nKEPT = {}\nKEPT['x'] = LOW", EVERY[:4]),
        ("labeling.py", "LOW = -1.5", "LOW = -1.5\nfor N in (1, 2):\n    print(N)", EVERY[:4]),
        ("labeling.py", "LOW = -1.5", "from limits import LOW", ["pressure_low"]),
        ("labeling.py", 'votes="normal", sees="window"', 'votes="normal"', ["pressure_usual"]),
        ("labeling.py", 'return abs(w.z_mean("pressure")) < 1', 'return globals()["level"](w) < 1', ["pressure_usual"]),
        ("rules.yaml", "-2", "-2.5", ["flow_low"]),
        ("rules.yaml", "task: state", "description: words, task: state", []),
        ("events.csv", "E1", "E2", EVERY),
    ],
)
def test_an_edit_runs_again_what_it_can_change(root: Path, file: str, old: str, new: str, again: list[str]) -> None:
    assert ran(root) == EVERY
    assert ran(root) == []
    path = root / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert ran(root) == again
    assert ran(root) == []


def test_a_file_beside_the_module_is_part_of_the_functions_that_import_it(root: Path) -> None:
    module = root / "labeling.py"
    module.write_text(module.read_text().replace("LOW = -1.5", "from limits import LOW"))
    assert ran(root) == EVERY
    (root / "limits.py").write_text("from deeper import LOW\n")
    (root / "deeper.py").write_text("LOW = -1.4\n")
    assert ran(root) == ["pressure_low"]
    (root / "deeper.py").write_text("LOW = -1.3\n")
    before = key_of_label(root)
    assert ran(root) == ["pressure_low"]
    (root / "deeper.py").write_text("LOW = -1.2\n")
    assert key_of_label(root) != before
    (root / "limits.py").unlink()
    (root / "limits").mkdir()
    (root / "limits" / "__init__.py").write_text("from limits.low import LOW\n")
    (root / "limits" / "low.py").write_text("LOW = -1.1\n")
    assert ran(root) == ["pressure_low"]
    (root / "limits" / "low.py").write_text("LOW = -1.0\n")
    assert ran(root) == ["pressure_low"]
    assert not list(root.rglob("*.pyc"))
    assert "limits" not in sys.modules


def key_of_label(root: Path) -> str:
    workspace = open_workspace(root)
    step = find("label")
    return key_of(workspace, step, "", step.outside(workspace, ""))


def test_a_function_that_failed_runs_again(root: Path) -> None:
    module = root / "labeling.py"
    broken = 'return abs(w.z_mean("pressure")) < 1 / 0'
    module.write_text(module.read_text().replace('return abs(w.z_mean("pressure")) < 1', broken))
    assert ran(root) == EVERY
    assert ran(root) == ["pressure_usual"]


PUMPS = Path(__file__).resolve().parents[2] / "examples" / "pumps" / "labeling.py"
CONSTANTS = [n for n in ast.walk(ast.parse(PUMPS.read_text())) if isinstance(n, ast.Constant) and type(n.value) in {float, int}]


@pytest.mark.parametrize("number", range(len(CONSTANTS)))
def test_no_edit_of_a_number_changes_votes_without_changing_the_digest(tmp_path: Path, number: int) -> None:
    made, w = pump_shop(tmp_path, "rules: []\n")
    module = made.root / "labeling.py"
    lines = PUMPS.read_text().splitlines(keepends=True)
    module.write_text("".join(lines))
    before = said(made, w)
    at = CONSTANTS[number]
    line = lines[at.lineno - 1]
    lines[at.lineno - 1] = line[: at.col_offset] + "-2.5" + line[at.end_col_offset :]
    module.write_text("".join(lines))
    after = said(made, w)
    same = {name for name, (digest, _) in before.items() if after[name][0] == digest}
    assert all(before[name] == after[name] for name in same)
    assert same != set(before)
    assert same or "RUNNING" in line


def said(made: Workspace, w: WindowView) -> dict[str, tuple[str, bytes]]:
    """Digest and votes of every function."""
    task = made.settings.tasks[0]
    functions = load_functions(made, task)
    votes = apply_functions(functions, task.vote_classes, w).votes
    return {f.name: (fingerprint(f), votes[:, n].tobytes()) for n, f in enumerate(functions)}


def test_new_windows_run_everything_again(root: Path) -> None:
    assert ran(root) == EVERY
    statistics = root / "out" / "features"
    frame = pd.read_parquet(statistics / STATISTICS_FILE)
    save_statistics(frame + np.float32(0.001), statistics)
    assert ran(root) == EVERY


def test_damaged_votes_are_made_again(root: Path) -> None:
    ran(root)
    for file in (root / ".muster" / "votes").rglob("votes.npy"):
        file.write_bytes(b"junk")
    assert ran(root) == EVERY
    assert ran(root) == []


@pytest.mark.slow
def test_the_label_step_tells_how_many_functions_ran_and_puts_out_the_same(root: Path) -> None:
    assert step(root) == "state: functions run: 5 of 5"
    first = LabelSet.load(root / "out" / "label", "state")
    module = root / "labeling.py"
    module.write_text(module.read_text().replace("HIGH = 1.5", "HIGH = 9.5"))
    assert step(root) == "state: functions run: 1 of 5"
    assert (LabelSet.load(root / "out" / "label", "state").votes[:, 0] == -1).all()
    module.write_text(module.read_text().replace("HIGH = 9.5", "HIGH = 1.5  # as it was"))
    assert step(root) == "state: functions run: 0 of 5"
    assert (LabelSet.load(root / "out" / "label", "state").probabilities == first.probabilities).all()


def step(root: Path) -> str:
    """What `muster step label` tells about functions."""
    command = [sys.executable, "-m", "muster", "step", "label", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    found = re.search(r"state: functions run: .*", done.stderr)
    assert found, done.stderr
    return found.group()
