"""`muster init`, `muster data` and `muster labels` print one JSON document each, or a short error."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.features.statistics import window_statistics
from components.features.windows import make_windows
from components.ingestion.ingest import ingest, listing
from components.labeling.label import label
from components.labeling.report import write_report
from components.validation.validate import validate
from components.workspace import Workspace
from components.workspace.errors import Conflict, InputError, NotFound
from muster.app import app
from tests.ingestion import small
from tests.labeling.test_labels import GOOD, HEAD


def said(*arguments: object) -> Any:
    """The data of the JSON document that a command prints; its error, if it has one, is raised."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    if result.exception:
        raise result.exception
    document = json.loads(result.stdout)
    assert document["schema_version"] == 1
    return document["data"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace after its label step, with three bad rows."""
    made = small.workspace(tmp_path_factory.mktemp("w"))
    frame = small.telemetry()
    frame.loc[:1, "pressure"] = -5
    frame.loc[2, "firmware_version"] = "?"
    small.upload(made.path("raw/a.parquet"), frame)
    (made.root / "labeling.py").write_text(HEAD + GOOD)
    for step in ("ingest", "validate", "label"):
        (made.out / step).mkdir(parents=True)
    ingest(made, listing(made), made.out / "ingest")
    windows = make_windows(made, validate(made, made.out / "ingest" / "lake", made.out / "validate"))
    write_report(made.out / "label", made, windows, label(made, windows, window_statistics(made, windows)))
    return made


def test_the_profile_counts_rows_and_shows_ranges(done: Workspace) -> None:
    profile = said("data", "profile", done.root)
    assert (profile["rows"], profile["accepted"], profile["quarantined"]) == (720, 717, 3)
    assert set(profile["channels"]) == {"pressure", "flow"}


def test_the_quarantine_counts_rows_as_the_run_does_and_objects_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that cannot be read is no row."""
    made, frame = small.workspace(tmp_path / "w"), small.telemetry()
    frame.loc[:1, "pressure"] = -5
    small.upload(made.path("raw/a.parquet"), frame)
    made.path("raw/broken.parquet").write_bytes(b"PAR1")
    for step in ("ingest", "validate"):
        (made.out / step).mkdir(parents=True)
    ingest(made, listing(made), made.out / "ingest")
    counted = validate(made, made.out / "ingest" / "lake", made.out / "validate").quarantined
    found = said("data", "quarantine", made.root)
    assert (found["matching"], len(found["rows"]), sum(found["reasons"].values())) == (counted, counted, counted)
    assert [o["object"] for o in found["unreadable"]] == ["broken.parquet"]
    shown = CliRunner().invoke(app, ["data", "quarantine", str(made.root)]).stdout
    assert "2 of 2 rows" in shown
    assert "Objects that could not be read" in shown


def test_the_quarantine_says_why_and_where_from(done: Workspace) -> None:
    everything = said("data", "quarantine", done.root)
    assert everything["reasons"] == {"pressure outside 0..10 bar": 2, "firmware version cannot be read": 1}
    some = said("data", "quarantine", done.root, "--reason", "pressure", "--limit", 1)
    assert some["matching"] == 2
    assert [(r["object"], r["row"]) for r in some["rows"]] == [("a.parquet", 0)]


def test_the_label_report_lists_every_function(done: Workspace) -> None:
    (task,) = said("labels", "report", done.root)["tasks"]
    assert [f["name"] for f in task["functions"]] == ["pressure_high", "pressure_low", "pressure_usual"]


@pytest.mark.parametrize("command", [("data", "profile"), ("data", "quarantine"), ("labels", "report")])
def test_tables_are_for_people(done: Workspace, command: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, [*command, str(done.root)])
    assert result.exit_code == 0
    assert "pressure" in result.stdout


@pytest.mark.parametrize("command", [("data", "profile"), ("data", "quarantine"), ("labels", "report")])
def test_before_the_step_ran_there_is_nothing_to_show(tmp_path: Path, command: tuple[str, str]) -> None:
    small.workspace(tmp_path)
    with pytest.raises(NotFound):
        said(*command, tmp_path)


def test_init_makes_a_workspace_once(tmp_path: Path) -> None:
    small.upload(tmp_path / "in" / "a.parquet", small.telemetry())
    arguments = ("init", "--from", tmp_path / "in", tmp_path / "w")
    assert said(*arguments)["created"] is True
    assert said(*arguments)["created"] is False
    small.upload(tmp_path / "in" / "b.parquet", small.telemetry(devices=9))
    with pytest.raises(Conflict):
        said(*arguments)


def test_init_wants_one_origin(tmp_path: Path) -> None:
    for arguments in ((), ("--template", "pumps", "--from", tmp_path), ("--from", tmp_path, "--scale", 2)):
        with pytest.raises(InputError):
            said("init", tmp_path / "w", *arguments)
