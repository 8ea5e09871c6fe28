"""`muster init`: templates become workspaces that run, whole or not at all."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.features.statistics import window_statistics
from components.features.windows import make_windows
from components.ingestion import scaffold
from components.ingestion.datasets import BESIDE, VARIABLE
from components.ingestion.guess import guess_contract, init_from_files
from components.ingestion.ingest import ingest, listing
from components.ingestion.scaffold import init_from_template, templates
from components.labeling.label import label, targets
from components.validation.validate import validate
from components.values import LabelSet, Windows
from components.workspace import Workspace, open_workspace
from components.workspace.errors import Conflict, InputError, NotFound
from components.workspace.files import sha256_tree
from components.workspace.modules import load_module
from tests.ingestion.small import telemetry, upload

DATASETS = Path(os.environ.get(VARIABLE) or BESIDE)


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATASETS / name).is_dir(), reason=f"the data set {name} is not on this machine")


def labelled(made: Workspace) -> tuple[Windows, list[LabelSet]]:
    """From raw objects to labels, as the flow does it."""
    windows = windows_of(made)
    return windows, label(made, windows, window_statistics(made, windows))


def windows_of(made: Workspace) -> Windows:
    for step in ("ingest", "validate"):
        (made.out / step).mkdir(parents=True)
    ingest(made, listing(made), made.out / "ingest")
    return make_windows(made, validate(made, made.out / "ingest" / "lake", made.out / "validate"))


def truth_of(made: Workspace, windows: Windows, task: str, classes: tuple[str, ...]) -> np.ndarray:
    """(windows,) class of the truth segment that holds the middle of a window, 0 where none does."""
    truth = pd.read_csv(made.path(str(made.settings.evaluation.truth)))
    truth = truth[truth["task"] == task]
    middle = windows.index["start"] + (windows.index["end"] - windows.index["start"]) / 2
    found = np.zeros(len(windows), int)
    for segment in truth.itertuples():
        inside = (windows.index["device_id"] == segment.device_id) & (middle >= segment.start) & (middle < segment.end)
        found[inside.to_numpy()] = classes.index(segment.value)
    return found


@pytest.fixture(scope="module")
def pumps(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("init") / "pumps"
    assert init_from_template("pumps", root)
    return open_workspace(root)


def test_the_same_init_again_changes_nothing(pumps: Workspace) -> None:
    before = sha256_tree(pumps.root)
    assert not init_from_template("pumps", pumps.root)
    assert sha256_tree(pumps.root) == before


def test_the_simulated_fleet_is_the_same_bytes_every_time(pumps: Workspace, tmp_path: Path) -> None:
    load_module(pumps.root / "source.py").write(tmp_path, None, pumps.settings.seed)
    for part in ("raw", "truth"):
        assert sha256_tree(tmp_path / part) == sha256_tree(pumps.root / part)
    assert (tmp_path / "inventory.csv").read_bytes() == (pumps.root / "inventory.csv").read_bytes()


def test_the_inventory_names_gateways_for_microcontrollers(pumps: Workspace) -> None:
    rows = pd.read_csv(pumps.root / "inventory.csv", keep_default_na=False)
    tiny = rows["hardware_profile"].str.startswith("mcu")
    site = rows.set_index("device_id")["site"]
    assert len(rows) == rows["device_id"].nunique() == rows["public_key"].nunique() == 240
    assert (rows["via"][~tiny] == "").all()
    assert (site[rows["via"][tiny]].to_numpy() == rows["site"][tiny].to_numpy()).all()
    assert set(rows["fleet"]) == {f.name for f in pumps.settings.fleets}
    assert set(rows["hardware_profile"]) == set(pumps.settings.profiles)


@pytest.mark.slow
def test_more_pumps_on_demand(tmp_path: Path, pumps: Workspace) -> None:
    load_module(pumps.root / "source.py").write(tmp_path, None, 7, scale=2)
    assert len(pd.read_csv(tmp_path / "inventory.csv")) == 480


@pytest.mark.slow
def test_pumps_run_to_labels_that_find_the_faults(pumps: Workspace) -> None:
    windows, (faults,) = labelled(pumps)
    truth = truth_of(pumps, windows, "fault", faults.classes)
    decided = faults.probabilities.argmax(axis=1)
    assert faults.coverage > 0.85
    for number in range(len(faults.classes)):
        mine = faults.covered & (truth == number)
        assert (decided[mine] == number).mean() > 0.6, faults.classes[number]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(Conflict, match="is not empty"):
        init_from_template("pumps", tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(Conflict, match="is a file"):
        init_from_template("pumps", tmp_path / "letter.txt")


def test_an_init_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scaffold, "_write_data", dies)
    with pytest.raises(KeyboardInterrupt):
        init_from_template("pumps", tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_the_current_folder_is_not_replaced_under_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="current folder"):
        init_from_template("pumps", Path())


def test_an_unknown_template_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        init_from_template("pump", tmp_path / "w")
    assert "asd, cmapss, hydraulic, pumps" in caught.value.hint


@pytest.mark.parametrize("template", [t for t in templates() if t != "pumps"])
def test_a_missing_data_set_says_where_it_is_published(tmp_path: Path, template: str) -> None:
    with pytest.raises(NotFound, match="no folder") as caught:
        init_from_template(template, tmp_path / "w", tmp_path / "nowhere")
    assert "get it from the" in caught.value.hint
    with pytest.raises(InputError, match="cannot be scaled"):
        init_from_template(template, tmp_path / "w", scale=2)
    assert not list(tmp_path.iterdir())


@needs("asd")
@pytest.mark.slow
def test_servers_run_to_labels(tmp_path: Path) -> None:
    init_from_template("asd", tmp_path / "w")
    made = open_workspace(tmp_path / "w")
    windows, (labels,) = labelled(made)
    truth = truth_of(made, windows, "anomaly", ("normal", "anomaly"))
    score = labels.probabilities[:, 1]
    assert windows.values.shape[1:] == (48, 19)
    assert not truth[windows.train].any()
    assert score[truth == 1].mean() > 1.5 * score[truth == 0].mean()


@needs("hydraulic")
@pytest.mark.slow
def test_the_rig_runs_to_gold_labels_of_every_class(tmp_path: Path) -> None:
    init_from_template("hydraulic", tmp_path / "w")
    made = open_workspace(tmp_path / "w")
    windows, sets = labelled(made)
    assert windows.values.shape == (2205, 60, 12)
    assert [s.task for s in sets] == ["cooler", "valve", "pump", "accumulator"]
    for labels in sets:
        assert (labels.covered == windows.train).all()
        decided = labels.probabilities.argmax(axis=1)
        truth = truth_of(made, windows, labels.task, labels.classes)
        assert (decided == truth)[labels.covered].all()
        for part in (windows.train, windows.test):
            assert set(truth[part]) == set(range(len(labels.classes)))


@needs("cmapss")
@pytest.mark.slow
def test_engines_run_to_life_at_the_end_of_every_window(tmp_path: Path) -> None:
    init_from_template("cmapss", tmp_path / "w")
    made = open_workspace(tmp_path / "w")
    windows = windows_of(made)
    (life,) = targets(made, windows)
    assert windows.index.loc[windows.test, "device_id"].nunique() == 707
    assert windows.index.loc[windows.train, "device_id"].nunique() == 709
    assert (life.covered == windows.train).all()
    assert life.values[windows.train].min() == 0
    assert life.values[windows.train].max() == 125
    assert windows.calibration.conditions is not None
    left = pd.read_csv(tmp_path / "w" / "truth" / "segments.csv").groupby("device_id")["value"].min()
    assert left["fd001-test-001"] == 112


def test_the_published_text_files_of_the_engines_are_read_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = tmp_path / "nasa"
    data.mkdir()
    for subset in ("FD001", "FD002", "FD003", "FD004"):
        cycles = np.concatenate([np.stack([np.full(5, unit), np.arange(1, 6)], axis=1) for unit in (1, 2)])
        rows = np.concatenate([cycles, rng.normal(1, 0.1, (10, 24))], axis=1)
        for part in ("train", "test"):
            np.savetxt(data / f"{part}_{subset}.txt", rows, fmt=["%d", "%d", *["%.4f"] * 24])
        np.savetxt(data / f"RUL_{subset}.txt", [7, 30], fmt="%d")
    init_from_template("cmapss", tmp_path / "w", data)
    assert len(pd.read_parquet(tmp_path / "w" / "raw" / "FD003-test.parquet")) == 10
    life = pd.read_csv(tmp_path / "w" / "life.csv")
    assert life.loc[life["device_id"] == "fd001-train-002", "value"].tolist() == [4, 3, 2, 1, 0]
    truth = pd.read_csv(tmp_path / "w" / "truth" / "segments.csv")
    assert truth.loc[truth["device_id"] == "fd004-test-002", "value"].tolist() == [34, 33, 32, 31, 30]


def test_the_published_text_files_of_the_rig_are_read_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = tmp_path / "uci"
    data.mkdir()
    flows = rng.normal(8, 1, (6, 600))
    for name in ("TS1", "TS2", "TS3", "TS4", "VS1", "SE", "CE", "CP"):
        np.savetxt(data / f"{name}.txt", rng.normal(40, 1, (6, 60)), delimiter="\t", fmt="%.3f")
    for name in ("FS1", "FS2"):
        np.savetxt(data / f"{name}.txt", flows, delimiter="\t", fmt="%.3f")
    np.savetxt(data / "profile.txt", [[100, 100, 0, 130, 0]] * 3 + [[3, 73, 2, 90, 1]] * 3, fmt="%d")
    init_from_template("hydraulic", tmp_path / "w", data)
    rows = pd.read_parquet(tmp_path / "w" / "raw" / "day-000.parquet")
    assert len(rows) == 360
    assert rows["FS1_mean"][0] == pytest.approx(flows[0, :10].mean(), abs=1e-2)
    gold = pd.read_csv(tmp_path / "w" / "gold.csv")
    assert gold["value"][gold["task"] == "valve"].tolist() == ["optimal"] * 3 + ["failing"] * 3


def test_files_that_are_there_become_a_workspace_that_runs(tmp_path: Path) -> None:
    upload(tmp_path / "in" / "a.parquet", telemetry(devices=5, steps=200))
    assert init_from_files(tmp_path / "in", tmp_path / "w")
    assert not init_from_files(tmp_path / "in", tmp_path / "w")
    made = open_workspace(tmp_path / "w")
    telemetry_section = made.settings.telemetry
    assert telemetry_section.interval_s == 60.0
    assert [(c.name, c.unit) for c in telemetry_section.channels] == [("pressure", "bar"), ("flow", "m3/h")]
    assert (tmp_path / "w" / "muster.yaml").read_text().count("# guess") >= 5
    windows, sets = labelled(made)
    assert len(windows) > 20
    assert sets == []


def _csv(folder: Path, frame: pd.DataFrame) -> Path:
    folder.mkdir(parents=True)
    frame.to_csv(folder / "a.csv", index=False)
    return folder


COUNTERS = {"Timestamp": ("epoch_unit", "s"), "cycle": ("epoch_unit", "step")}


@pytest.mark.parametrize("column", COUNTERS)
def test_numbers_for_time_are_read_by_their_size(tmp_path: Path, column: str) -> None:
    frame = telemetry(devices=2, steps=100)
    seconds = frame["time"].dt.as_unit("s").astype("int64")
    numbers = seconds if column == "Timestamp" else (seconds - seconds.min()) // 60
    frame = frame[["device_id", "pressure"]].assign(**{column: numbers, "note": "fine"})
    made_of = _csv(tmp_path / "in", frame)
    guess = guess_contract(made_of)
    assert (guess.epoch_unit, guess.ignored) == (COUNTERS[column][1], ("note",))
    init_from_files(made_of, tmp_path / "w")
    windows, _ = labelled(open_workspace(tmp_path / "w"))
    assert windows.train.any()
    assert windows.test.any()


UNREADABLE = {
    "no device column": (telemetry(2, 3).drop(columns=["device_id"]), "no column names a device"),
    "no time column": (telemetry(2, 3).drop(columns=["time"]), "no column says the time"),
    "no numbers": (telemetry(2, 3)[["device_id", "time", "site"]], "no numeric column is left"),
    "no times": (telemetry(2, 3).assign(time="soon"), "cannot be read as times"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_files_that_are_no_telemetry_say_what_is_missing(tmp_path: Path, case: str) -> None:
    frame, message = UNREADABLE[case]
    with pytest.raises(InputError, match=message):
        init_from_files(_csv(tmp_path / "in", frame), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_folder_without_files_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no Parquet or CSV files"):
        init_from_files(tmp_path, tmp_path / "w")
