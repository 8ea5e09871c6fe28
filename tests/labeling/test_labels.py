"""Labelling functions of a workspace: what they may be, what they may return, and what comes of their votes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.features.statistics import window_statistics
from components.features.windows import make_windows
from components.labeling.functions.view import WindowView
from components.labeling.label import label, sequences
from components.labeling.report import read_report, write_report
from components.values import LabelSet, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from tests.features.test_windows import dataset
from tests.ingestion import small

HEAD = "import numpy as np\nfrom components.labeling import labeling_function\n\n"
GOOD = """
@labeling_function(task="state", votes="high", channels=("pressure",))
def pressure_high(w):
    return w.z_mean("pressure") > 1.5

@labeling_function(task="state", votes="low")
def pressure_low(w):
    return w.z_mean("pressure") < -1.5

@labeling_function(task="state", votes="normal")
def pressure_usual(w):
    return abs(w.z_mean("pressure")) < 1
"""


def prepared(root: Path, functions: str, head: str = HEAD) -> tuple[Workspace, Windows, pd.DataFrame]:
    made = small.workspace(root / "w")
    (made.root / "labeling.py").write_text(head + functions)
    frame = small.telemetry()
    minute = (frame["time"] - small.START).dt.total_seconds() / 60
    frame.loc[(frame["device_id"] == "d1") & (minute > 80), "pressure"] += np.float32(1)
    frame.loc[(frame["device_id"] == "d2") & (minute > 80), "pressure"] -= np.float32(1)
    windows = make_windows(made, dataset(root / "data", frame))
    return made, windows, window_statistics(made, windows)


def test_rules_become_probabilities_of_the_right_windows(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    (labels,) = label(made, windows, statistics)
    late = (windows.index["start"] > small.START + pd.Timedelta(minutes=84)).to_numpy()
    decided = labels.probabilities.argmax(axis=1)
    for device, wanted in (("d1", 1), ("d2", 2), ("d3", 0)):
        mine = (windows.index["device_id"] == device).to_numpy() & late & labels.covered
        assert (decided[mine] == wanted).mean() > 0.9
    assert labels.functions == ("pressure_high", "pressure_low", "pressure_usual")
    assert np.allclose(labels.probabilities.sum(axis=1), 1, atol=1e-5)
    assert 0 < labels.coverage < 1


def test_a_task_without_labels_has_no_label_set(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    silent = made.settings.model_copy(update={"tasks": (type(made.settings.tasks[0])(name="anomaly", kind="anomaly"),)})
    assert label(replace(made, settings=silent), windows, statistics) == []


def third(body: str, decorator: str = '@labeling_function(task="state", votes="normal")') -> str:
    """Two good functions and a third with this body, its body on line 15 of the file."""
    return GOOD[: GOOD.index('@labeling_function(task="state", votes="normal")')] + f"{decorator}\ndef odd(w):\n    {body}\n"


BAD = {
    "no such name": (third("return nowhere"), r"line 15, labelling function odd: NameError"),
    "no such method": (third("return w.median('flow') > 1"), r"line 15, labelling function odd: AttributeError"),
    "wrong shape": (third("return np.zeros((3, 2), bool)"), r"labelling function odd: returned shape \(3, 2\), wanted \(174,\)"),
    "nothing": (third("pass"), r"odd: returned shape \(\), wanted"),
    "numbers for booleans": (third('return w.mean("flow")'), "odd: returned float64, a function with votes= returns booleans"),
    "NaN votes": (third('return w.mean("flow") * np.nan', '@labeling_function(task="state")'), "odd: returned float64"),
    "a vote outside": (third("return np.full(len(w), 3)", '@labeling_function(task="state")'), r"odd: returned vote 3"),
    "no such statistic": (
        third('return w.column("flow_median") > 1'),
        "line 15, labelling function odd: no statistic 'flow_median'",
    ),
    "no such channel": (third("return 1", '@labeling_function(task="state", channels=("level",))'), "no channel level"),
    "no such class": (third("return 1", '@labeling_function(task="state", votes="broken")'), "votes for 'broken', no class"),
    "no such task": (third("return 1", '@labeling_function(task="wear", votes="normal")'), "no task 'wear'"),
    "too few": (GOOD[: GOOD.index('@labeling_function(task="state", votes="normal")')], "has 2 labelling functions, it needs"),
    "one name twice": (
        GOOD + third("return 1").split("\n\n")[-1].replace("odd", "pressure_low"),
        "line 9 has one of this name too",
    ),
    "all abstain": (GOOD.replace("> 1.5", "> 99").replace("< -1.5", "< -99").replace("< 1", "< -1"), "abstains on every window"),
    "no Python": ("def broken(:\n", r"labeling\.py, line 4: invalid syntax"),
    "fails to load": ("x = 1\nraise RuntimeError('no')\n", r"labeling\.py, line 5: RuntimeError: no"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_function_is_said_with_file_and_line(tmp_path: Path, case: str) -> None:
    functions, message = BAD[case]
    made, windows, statistics = prepared(tmp_path, functions)
    with pytest.raises(InputError, match=message) as caught:
        label(made, windows, statistics)
    assert "labeling.py" in caught.value.message or case == "all abstain"
    assert caught.value.hint


def test_a_function_that_fails_on_some_windows_abstains_there_and_the_facts_say_so(tmp_path: Path) -> None:
    body = """if (w.index["device_id"] == "d4").any():
        raise RuntimeError("no such pump")
    return w.mean("flow") > 0"""
    made, windows, statistics = prepared(tmp_path, third(body, '@labeling_function(task="state", votes="normal", sees="window")'))
    (labels,) = label(made, windows, statistics)
    there = (windows.index["device_id"] == "d4").to_numpy()
    assert (labels.votes[:, 2] == np.where(there, -1, 0)).all()
    message = "labeling.py, line 16: RuntimeError: no such pump"
    assert labels.facts["faults"] == [{"function": "odd", "windows": int(there.sum()), "message": message}]
    assert (labels.votes[:, 0] >= 0).any()


def test_a_function_that_always_fails_is_only_left_out(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, third("return 1 / 0"))
    (labels,) = label(made, windows, statistics)
    assert (labels.votes[:, 2] == -1).all()
    assert labels.facts["faults"][0]["windows"] == len(windows)
    assert "line 15: ZeroDivisionError" in labels.facts["faults"][0]["message"]


def test_functions_that_all_vote_for_one_class_label_what_they_can(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD.replace('votes="low"', 'votes="high"').replace('"normal"', '"high"'))
    (labels,) = label(made, windows, statistics)
    assert set(np.unique(labels.votes)) == {-1, 1}
    assert np.isfinite(labels.probabilities).all()


def test_a_module_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    (made.root / "labeling.py").unlink()
    with pytest.raises(NotFound, match=r"labeling\.py"):
        label(made, windows, statistics)


def test_loading_leaves_no_bytecode_and_sees_edits_at_once(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    label(made, windows, statistics)
    (made.root / "labeling.py").write_text(HEAD + GOOD.replace("pressure_high", "renamed"))
    (labels,) = label(made, windows, statistics)
    assert labels.functions[0] == "renamed"
    assert not list(made.root.rglob("*.pyc"))


def test_the_view_hides_which_windows_are_held_out(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    view = WindowView.of(made, windows, statistics)
    assert "split" not in view.index.columns


def test_against_calibration_makes_devices_alike(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    view = WindowView.of(made, windows, statistics)
    ratio = pd.Series(view.against_calibration(view.mean("flow"))).groupby(windows.index["device_id"]).median()
    assert ratio.between(0.95, 1.05).all()
    assert abs(np.median(view.against_site(view.mean("flow")))) < 0.5


def test_windows_that_do_not_follow_each_other_are_no_sequence(tmp_path: Path) -> None:
    made, windows, _ = prepared(tmp_path, GOOD)
    ids = sequences(made, windows.index)
    devices = windows.index["device_id"].to_numpy()
    assert ((ids[1:] == ids[:-1]) == (devices[1:] == devices[:-1])).all()
    gap = windows.index.drop(index=range(3, 6))
    assert len(np.unique(sequences(made, gap))) == len(np.unique(devices)) + 1


def annotate(workspace: Workspace, windows: Windows, rows: list[int], value: str, by: str = "ada", drawn: str = "") -> None:
    index = windows.index.iloc[rows]
    lines = [f"{d},{a.isoformat()},{b.isoformat()},state,{value},{by},2026-04-01T00:00:00+00:00,{drawn}" for d, a, b in
             zip(index["device_id"], index["start"], index["end"], strict=True)]  # fmt: skip
    file = workspace.root / "annotations.csv"
    before = file.read_text() if file.exists() else "device_id,start,end,task,value,by,at,drawn\n"
    file.write_text(before + "\n".join(lines) + "\n")


def test_what_people_said_about_windows_binds_the_labels(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    rows = np.flatnonzero(windows.train)[:4].tolist()
    annotate(made, windows, rows, "low")
    (labels,) = label(made, windows, statistics)
    assert (labels.decided[rows] == 2).all()
    assert (labels.gold[rows] == 2).all()
    assert labels.facts["shares_from"] == "learned", "nobody drew these windows at random"


def test_answers_about_windows_drawn_at_random_tell_class_shares(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    rows = np.flatnonzero(windows.train)[::3].tolist()
    annotate(made, windows, rows, "normal", drawn="random")
    (labels,) = label(made, windows, statistics)
    assert len(rows) >= 20
    assert labels.facts["shares_from"] == "gold"
    assert labels.facts["class_shares"]["normal"] > 0.5


def test_people_who_contradict_each_other_bind_nothing_and_the_facts_say_so(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    rows = np.flatnonzero(windows.train)[:2].tolist()
    annotate(made, windows, rows, "low")
    annotate(made, windows, rows, "high", by="bob")
    (labels,) = label(made, windows, statistics)
    assert (labels.gold == -1).all()
    assert any("contradict" in note for note in labels.facts["notes"])


def test_known_class_shares_are_used(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    task = made.settings.tasks[0].model_copy(update={"class_shares": (0.8, 0.1, 0.1)})
    known = replace(made, settings=made.settings.model_copy(update={"tasks": (task,)}))
    (labels,) = label(known, windows, statistics)
    assert labels.facts["class_shares"] == {"normal": 0.8, "high": 0.1, "low": 0.1}
    assert labels.facts["shares_from"] == "given"


GOLD = "device_id,start,end,value\n" + "".join(
    f"d{n},2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,{'high' if n % 2 else 'low'}\n" for n in range(6)
)


def gold_workspace(root: Path, text: str) -> tuple[Workspace, Windows, pd.DataFrame]:
    made, windows, statistics = prepared(root, GOOD)
    (made.root / "gold.csv").write_text(text)
    task = made.settings.tasks[0].model_copy(update={"labels": "gold", "gold": "gold.csv"})
    return replace(made, settings=made.settings.model_copy(update={"tasks": (task,)})), windows, statistics


def test_gold_covers_training_windows_inside_segments_only(tmp_path: Path) -> None:
    made, windows, statistics = gold_workspace(tmp_path, GOLD)
    (labels,) = label(made, windows, statistics)
    inside = (windows.index["end"] <= pd.Timestamp("2026-03-01T01:00:00Z")).to_numpy()
    assert (labels.covered == (inside & windows.train)).all()
    assert not labels.covered[windows.test].any()
    odd = windows.index["device_id"].str[1:].astype(int) % 2 == 1
    assert (labels.probabilities.argmax(axis=1)[labels.covered] == np.where(odd, 1, 2)[labels.covered]).all()
    assert labels.source == "gold"


def test_gold_of_an_unknown_class_or_of_no_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'hot' is no class of task 'state'"):
        label(*gold_workspace(tmp_path / "a", GOLD.replace("high", "hot")))
    with pytest.raises(InputError, match="no segment holds a training window"):
        label(*gold_workspace(tmp_path / "b", GOLD.replace("2026-03-01", "2025-03-01")))


def test_the_report_says_who_votes_how_often_and_who_contradicts(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    sets = label(made, windows, statistics)
    out = tmp_path / "out"
    out.mkdir()
    for one in sets:
        one.save(out)
    report = write_report(out, made, windows, sets)
    assert read_report(out) == json.loads(json.dumps(report))
    task = report["tasks"][0]
    fired = {f["name"]: f["firing_rate"] for f in task["functions"]}
    assert fired["pressure_high"] == pytest.approx((sets[0].votes[:, 0] >= 0).mean(), abs=1e-6)
    assert task["conflict"] == 0
    assert LabelSet.load(out, "state").functions == sets[0].functions
    assert "pressure_high" in (out / "report.html").read_text()


def test_the_report_warns_of_copies_and_of_classes_nobody_votes_for(tmp_path: Path) -> None:
    copied = GOOD.replace('votes="low")\ndef pressure_low(w):\n    return w.z_mean("pressure") < -1.5',
                          'votes="high")\ndef same_again(w):\n    return w.z_mean("pressure") > 1.5')  # fmt: skip
    made, windows, statistics = prepared(tmp_path, copied)
    (tmp_path / "out").mkdir()
    report = write_report(tmp_path / "out", made, windows, label(made, windows, statistics))
    warnings = report["tasks"][0]["warnings"]
    assert any("pressure_high and same_again vote alike" in w for w in warnings)
    assert "no function votes for low" in warnings
