"""`muster labels combine`: votes of other tools become probabilities, or a short error."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from components.workspace.errors import MusterError
from muster.app import app
from tests.labeling.test_label_model import alarms


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["labels", "combine", *arguments])


def refusal(*arguments: str) -> MusterError:
    done = run(*arguments)
    assert isinstance(done.exception, MusterError), done.output
    assert not done.stdout
    return done.exception


def votes_file(folder: Path, kind: str) -> tuple[Path, np.ndarray]:
    votes, truth = alarms(0.1, 1, copies=False, n=2000)
    file = folder / f"votes.{kind}"
    frame = pd.DataFrame(votes, columns=[f"rule_{j}" for j in range(10)])
    if kind == "csv":
        frame.astype(float).mask(frame < 0).to_csv(file, index=False)
    elif kind == "parquet":
        frame.to_parquet(file, index=False)
    else:
        np.savez(file, votes=votes)
    return file, truth


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_votes_of_any_tool_become_probabilities(tmp_path: Path, kind: str) -> None:
    file, truth = votes_file(tmp_path, kind)
    out = tmp_path / "labels.csv"
    done = run(str(file), "--classes", "normal,fault", "--shares", "0.9,0.1", "--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)["data"]
    assert facts["shares_from"] == "given"
    assert len(facts["functions"]) == 10
    labels = pd.read_csv(out, keep_default_na=False)
    assert list(labels) == ["p_normal", "p_fault", "covered", "decided"]
    assert (labels["decided"][labels["covered"]] == np.where(truth, "fault", "normal")[labels["covered"]]).mean() > 0.95
    assert (labels["decided"] == "").equals(~labels["covered"])


def test_all_kinds_of_files_give_the_same_labels(tmp_path: Path) -> None:
    said = [run(str(votes_file(tmp_path, k)[0]), "--classes", "a,b", "--json") for k in ("csv", "parquet")]
    assert said[0].stdout == said[1].stdout


def test_gold_and_sequences_are_used(tmp_path: Path) -> None:
    votes, truth = alarms(0.1, 2, copies=False, n=2000)
    gold = np.where(np.arange(2000) % 20 == 0, truth, -1)
    np.savez(tmp_path / "v.npz", votes=votes, gold=gold, sequence=np.arange(2000) // 100)
    done = run(str(tmp_path / "v.npz"), "--classes", "normal,fault", "--json")
    facts = json.loads(done.stdout)["data"]
    assert facts["shares_from"] == "learned", "windows that were chosen say nothing about how frequent a class is"
    drawn = run(str(tmp_path / "v.npz"), "--classes", "normal,fault", "--random-gold", "--json")
    assert json.loads(drawn.stdout)["data"]["shares_from"] == "gold"
    assert {c["name"] for c in facts["candidates"]} == {"majority", "em", "blend", "temporal", "corrected"}


BAD = {
    "no file": (None, (), 3, "no file"),
    "text for votes": ("a,b,c\nyes,0,1\n", (), 2, "column 'a' holds text"),
    "a vote outside": ("a,b,c\n1,0,1\n0,2,1\n", (), 2, "column 'b', row 2: 2 is no vote"),
    "half a vote": ("a,b,c\n0.5,0,1\n", (), 2, "row 1: 0.5 is no vote"),
    "gold alone": ("gold\n1\n", (), 2, "no labelling function in it"),
    "silence": ("a,b,c\n-1,-1,-1\n", (), 2, "every function abstains"),
    "nothing": ("", (), 2, "cannot be read"),
    "a row too wide": ("a,b,c\n1,0,1\n1,0,1,1\n", (), 2, "Expected 3 columns, got 4"),
    "all rows too wide": ("a,b,c\n1,0,1,1\n1,0,1,1\n", (), 2, "cannot be read"),
    "a name twice": ("a,b,a\n1,0,1\n", (), 2, "two columns are called 'a'"),
    "a sequence that comes back": ("a,b,c,sequence\n1,0,1,x\n1,0,1,y\n1,0,1,x\n", (), 2, "sequence 'x' comes back in row 3"),
    "output over input": ("a,b,c\n1,0,1\n", ("--out", "votes.csv"), 2, "votes.csv cannot be written"),
    "shares that are no numbers": ("a,b,c\n1,0,1\n", ("--shares", "nan,nan"), 2, "shares nan,nan"),
    "no rows": ("a,b,c\n", (), 2, "votes have shape"),
    "shares of more classes": ("a,b,c\n1,0,1\n", ("--shares", "0.2,0.3,0.5"), 2, "shares 0.2,0.3,0.5"),
    "no shares": ("a,b,c\n1,0,1\n", ("--shares", "few,many"), 2, "no numbers"),
    "one class": ("a,b,c\n1,0,1\n", ("--classes", "normal"), 2, "classes 'normal'"),
    "an unknown kind of output": ("a,b,c\n1,0,1\n", ("--out", "labels.xlsx"), 2, "no kind of table"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    content, options, code, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("votes.csv").write_text(content)
    classes = () if "--classes" in options else ("--classes", "normal,fault")
    error = refusal("votes.csv", *classes, *options)
    assert error.exit_code == code
    assert message in error.message
    assert error.hint
    assert {p.name for p in tmp_path.iterdir()} <= {"votes.csv"}


def test_objects_in_an_archive_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", votes=np.array([[object()]], dtype=object))
    assert "cannot be read" in refusal(str(tmp_path / "v.npz"), "--classes", "a,b").message


def test_a_few_votes_among_a_million_windows_are_all_seen(tmp_path: Path) -> None:
    votes = np.full((200_000, 20), -1, np.int8)
    votes[[5, 777, 199_000], [0, 1, 2]] = [0, 1, 1]
    np.savez(tmp_path / "v.npz", votes=votes)
    done = run(str(tmp_path / "v.npz"), "--classes", "normal,fault", "--json")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)["data"]
    assert data["covered"] == 3
    assert data["decided"] == {"normal": 1, "fault": 2}
