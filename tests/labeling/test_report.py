"""The label report: right numbers, the same bytes for the same labels, nothing from elsewhere, and something for every case."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from components.labeling.people.active import disagreement, select_windows, vote_patterns, worth
from components.labeling.report import read_report, write_report
from components.labeling.report.against import against_gold, surprises, wilson
from components.labeling.report.change import adjust, changes
from components.labeling.report.firing import FIRES, firing_table
from components.labeling.report.page import function_rows
from components.values import LabelSet, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.store import StepStore
from muster.app import app
from tests.labeling import by_hand

FACTS = {
    "version": "abc",
    "chosen": "hmm",
    "class_shares": {"normal": 0.9, "high": 0.06, "low": 0.04},
    "shares_from": "learned",
    "functions": [
        {
            "name": "pressure_high",
            "weight": 1.2,
            "precision": {"high": [0.8, 0.7, 0.9]},
            "recall": {"high": [0.5, 0.4, 0.6]},
        }
    ],
    "pairs": [{"first": "pressure_high", "second": "sometimes", "agreement": 0.9, "expected": 0.3}],
    "faults": [{"function": "sometimes", "windows": 12, "message": "division by zero"}],
    "candidates": [{"name": "hmm", "average_precision": 0.91}, {"name": "majority", "average_precision": 0.8}],
    "notes": ["class shares are learned"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Windows, LabelSet]:
    return by_hand.workspace(tmp_path_factory.mktemp("report"))


def written(folder: Path, made: tuple[Workspace, Windows, LabelSet], **changed: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    workspace, windows, labels = made
    return write_report(folder, workspace, windows, [replace(labels, **changed)])


def test_the_same_labels_give_the_same_bytes(tmp_path: Path, made: tuple[Workspace, Windows, LabelSet]) -> None:
    for name in ("a", "b"):
        written(tmp_path / name, made, facts=FACTS)
    files = sorted(f.relative_to(tmp_path / "a") for f in (tmp_path / "a").rglob("*") if f.is_file())
    assert [str(f) for f in files] == ["firing/state.parquet", "report.html", "report.json"]
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_the_page_holds_everything_and_takes_nothing_from_elsewhere(
    tmp_path: Path, made: tuple[Workspace, Windows, LabelSet]
) -> None:
    gold = np.where(np.arange(len(made[1])) % 2 == 0, 1, -1).astype(np.int8)
    written(tmp_path, made, facts=FACTS, gold=gold)
    page = (tmp_path / "report.html").read_text()
    for part in ("pressure_high", "division by zero", "agree more than they should", "hmm", "0.910", "0.80 (0.70 to 0.90)",
                 "Windows most worth labelling", "Calibration against people", "Firing rate by hardware profile"):  # fmt: skip
        assert part in page
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import", page)
    assert page.count("<svg") >= 4 + 2 + 1 + 8


def test_shares_are_those_of_the_definition(tmp_path: Path, made: tuple[Workspace, Windows, LabelSet]) -> None:
    """Compared with a count window by window."""
    labels = made[2]
    (task,) = written(tmp_path, made)["tasks"]
    cast = [row[row >= 0] for row in labels.votes]
    assert task["overlap"] == pytest.approx(np.mean([len(c) > 1 for c in cast]), abs=1e-6)
    assert task["conflict"] == pytest.approx(np.mean([len(set(c.tolist())) > 1 for c in cast]), abs=1e-6)
    for j, function in enumerate(task["functions"]):
        spoke = labels.votes[:, j] >= 0
        others = [np.delete(row, j) for row in labels.votes]
        contradicted = [
            s and any(v not in {-1, row[j]} for v in o) for s, o, row in zip(spoke, others, labels.votes, strict=True)
        ]
        alone = [s and (o == -1).all() for s, o in zip(spoke, others, strict=True)]
        assert function["conflict"] == pytest.approx(np.mean(contradicted), abs=1e-6)
        assert function["alone"] == pytest.approx(np.mean(alone), abs=1e-6)


def test_warnings_name_faults_pairs_and_notes(tmp_path: Path, made: tuple[Workspace, Windows, LabelSet]) -> None:
    (task,) = written(tmp_path, made, facts=FACTS)["tasks"]
    told = "\n".join(task["warnings"])
    assert "sometimes failed on 12 windows and abstains there: division by zero" in told
    assert "pressure_high and sometimes agree more than they should: 90%, not 30%" in told
    assert "class shares are learned" in told


def test_records_of_devices_that_are_not_there_are_a_warning(tmp_path: Path) -> None:
    """They count as nothing everywhere, which looks like devices to which nothing happened."""
    made = by_hand.workspace(tmp_path, records={"errors": "errors.csv", "notes": "notes.csv", "unread": "unread.csv"})
    head, row = "device_id,time,code\n", "{},2026-03-01T00:00:00Z,E1\n"
    made[0].path("errors.csv").write_text(head + row.format("pump-1") + row.format("pump-2"))
    made[0].path("notes.csv").write_text(head + row.format("pump-1") + row.format("d0"))
    (task,) = written(tmp_path / "out", made)["tasks"]
    (warning,) = (text for text in task["warnings"] if "records" in text)
    assert warning.startswith("records 'errors' (errors.csv) name no device of the telemetry: 'pump-1'")


def test_a_function_that_never_fires_is_shown_with_the_class_it_was_declared_for(
    made: tuple[Workspace, Windows, LabelSet], tmp_path: Path
) -> None:
    labels = made[2]
    votes = labels.votes.copy()
    votes[:, 0] = -1
    facts = {**FACTS, "functions": [{"name": "pressure_high", "votes": ["high"]}]}
    (task,) = written(tmp_path, made, votes=votes, facts=facts)["tasks"]
    assert next(row[:2] for row in function_rows(task)) == ("pressure_high", "high")


def test_people_who_contradict_the_models_belief_are_a_warning(made: tuple[Workspace, Windows, LabelSet]) -> None:
    labels = made[2]
    gold = np.where(labels.votes[:, 0] == 1, 0, -1).astype(np.int8)
    found = against_gold(replace(labels, gold=gold))
    assert found is not None
    count = int((labels.votes[:, 0] == 1).sum())
    assert found["functions"]["pressure_high"]["precision"]["high"][::3] == [0.0, count]
    (warning,) = surprises({f["name"]: f for f in FACTS["functions"]}, found)  # type: ignore[index]
    assert warning == f"pressure_high is right on high in 0% of {count} annotated windows, the label model believes 80%"


def test_calibration_reads_windows_that_nobody_annotated(made: tuple[Workspace, Windows, LabelSet]) -> None:
    """A label model is sure of what it was told; its confidence must come from elsewhere."""
    labels = made[2]
    gold = np.where(np.arange(len(labels.votes)) % 2 == 0, 1, -1).astype(np.int8)
    told = np.where((gold >= 0)[:, None], np.eye(3, dtype=np.float32)[np.maximum(gold, 0)], labels.probabilities)
    honest, circular = (against_gold(replace(labels, gold=gold, probabilities=p)) for p in (labels.probabilities, told))
    assert honest is not None
    assert circular is not None
    assert circular["calibration"] == honest["calibration"]
    assert honest["calibration"]["error"] > 0.1


def test_little_gold_shows_no_calibration(made: tuple[Workspace, Windows, LabelSet]) -> None:
    gold = np.where(np.arange(len(made[1])) < 10, 1, -1).astype(np.int8)
    found = against_gold(replace(made[2], gold=gold))
    assert found is not None
    assert found["calibration"] is None


def test_class_shares_and_calibration_of_people_are_read_from_drawn_windows(
    tmp_path: Path, made: tuple[Workspace, Windows, LabelSet]
) -> None:
    """People were asked about many windows because they show 'high'; only the drawn ones say how frequent that is."""
    _, windows, labels = made
    train = np.flatnonzero(windows.train)
    drawn, hard = train[:48], train[48:108]
    gold = np.full(len(windows), -1, np.int8)
    gold[hard], gold[drawn], gold[drawn[:6]] = 1, 0, 1
    for count, share, judged in ((48, 0.125, 48), (19, 66 / 108, 108)):
        sampled = np.zeros(len(windows), bool)
        sampled[drawn[:count]] = True
        found = against_gold(replace(labels, gold=gold, sampled=sampled))
        assert found is not None
        assert found["class_shares"]["high"][::3] == [pytest.approx(share, abs=1e-6), judged]
        fair = judged == count
        assert (found["fair"], found["calibration"]["fair"]) == (fair, fair)
        assert 20 <= found["calibration"]["windows"] <= judged
    sampled = np.isin(np.arange(len(windows)), drawn)
    (task,) = written(tmp_path, made, gold=gold, sampled=sampled)["tasks"]
    assert (task["gold"]["drawn"], task["gold"]["fair"]) == (48, True)
    assert "Class shares by people (the 48 answers on windows drawn at random)" in (tmp_path / "report.html").read_text()


@given(st.integers(0, 400), st.integers(0, 400))
def test_wilson_holds_the_share_and_stays_between_0_and_1(hits: int, misses: int) -> None:
    low, high = wilson(hits, hits + misses)
    assert 0 <= low <= high <= 1
    if hits + misses:
        assert low - 1e-9 <= hits / (hits + misses) <= high + 1e-9


def test_wilson_agrees_with_the_published_example() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe, Statistics in Medicine 17, 1998, table I, method 3)."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_gold_only_task_and_no_window_at_all_have_reports(tmp_path: Path, made: tuple[Workspace, Windows, LabelSet]) -> None:
    workspace, windows, labels = made
    gold = replace(labels, functions=(), votes=labels.votes[:, :0], source="gold", facts={"version": "g", "chosen": "gold"})
    (task,) = write_report(tmp_path, workspace, windows, [gold])["tasks"]
    assert task["functions"] == []
    none = Windows(windows.channels, windows.values[:0], windows.codes[:0], windows.index.iloc[:0], windows.converter,
                   windows.calibration, {})  # fmt: skip
    for one in (labels, gold):
        cut = {name: getattr(one, name)[:0] for name in ("votes", "probabilities", "covered", "gold")}
        (task,) = write_report(tmp_path, workspace, none, [replace(one, **cut)])["tasks"]
        assert (task["coverage"], task["hardest"], task["variants"]) == (0.0, [], [])


def test_a_workspace_without_labels_has_a_page_that_says_so(tmp_path: Path, made: tuple[Workspace, Windows, LabelSet]) -> None:
    write_report(tmp_path, made[0], made[1], [])
    assert "No task of this workspace wants labels" in (tmp_path / "report.html").read_text()


def test_firing_counts_add_up(made: tuple[Workspace, Windows, LabelSet]) -> None:
    _, windows, labels = made
    table = firing_table(labels, windows)
    assert table["windows"].sum() == len(windows)
    for j, name in enumerate(labels.functions):
        assert table[FIRES + name].sum() == (labels.votes[:, j] >= 0).sum()


# --- which windows are asked about


def test_the_most_uncertain_and_disputed_windows_come_first(made: tuple[Workspace, Windows, LabelSet]) -> None:
    _, windows, labels = made
    chosen = select_windows(labels, windows, 5, seed=1)
    assert windows.train[chosen].all()
    assert worth(labels)[chosen].mean() > np.quantile(worth(labels)[windows.train], 0.8)
    assert select_windows(labels, windows, 5, seed=1).tolist() == chosen.tolist()


def test_a_round_is_spread_over_devices_and_kinds_of_windows(made: tuple[Workspace, Windows, LabelSet]) -> None:
    _, windows, labels = made
    chosen = select_windows(labels, windows, 6, seed=1)
    assert windows.index["device_id"].iloc[chosen].value_counts().max() <= 2  # four devices, six windows
    assert pd.Series(vote_patterns(labels.votes[chosen])).value_counts().max() <= 3


def test_everything_is_asked_once_when_enough_is_wanted(made: tuple[Workspace, Windows, LabelSet]) -> None:
    _, windows, labels = made
    done = np.arange(len(windows)) % 2 == 0
    chosen = select_windows(labels, windows, len(windows), seed=1, without=done)
    assert sorted(chosen.tolist()) == np.flatnonzero(windows.train & ~done).tolist()


def test_disagreement_is_nothing_for_one_opinion_and_all_for_a_tie() -> None:
    votes = np.array([[-1, -1, -1], [1, 1, -1], [0, 1, -1], [0, 1, 2]], np.int8)
    assert disagreement(votes, 3) == pytest.approx([0, 0, np.log(2) / np.log(3), 1])


@given(st.lists(st.lists(st.integers(-1, 3), min_size=9, max_size=9), min_size=1, max_size=30))
def test_windows_share_a_pattern_exactly_when_all_votes_agree(rows: list[list[int]]) -> None:
    votes = np.asarray(rows, np.int8)
    patterns = vote_patterns(votes)
    same = (votes[:, None, :] == votes[None, :, :]).all(axis=2)
    assert ((patterns[:, None] == patterns[None, :]) == same).all()


# --- change since the labels before


def fired(rng: np.random.Generator, rate: float, devices: int, *, spread: float = 0.0, quiet: bool = True) -> pd.DataFrame:
    """A firing table of 200 windows a device; each device has a rate of its own, ``spread`` wide around ``rate``."""
    own = np.clip(rate + spread * rng.standard_normal(devices), 0.001, 0.999)
    return pd.DataFrame(
        {
            "device_id": [f"d{n}" for n in range(devices)],
            "hardware_profile": ["a" if n % 2 else "b" for n in range(devices)],
            "firmware_version": "1",
            "windows": 200,
            f"{FIRES}rule": rng.binomial(200, own),
            f"{FIRES}other": 20 if quiet else rng.binomial(200, 0.1, devices),
        }
    )


def test_equal_tables_show_no_change() -> None:
    table = fired(np.random.default_rng(0), 0.2, 30)
    assert not any(c.flagged for c in changes(table, table))


def test_a_rule_that_fires_twice_as_often_is_flagged_everywhere_and_the_other_is_not() -> None:
    rng = np.random.default_rng(0)
    found = changes(fired(rng, 0.1, 40), fired(rng, 0.2, 40))
    assert {(c.function, c.group) for c in found if c.flagged} == {("rule", g) for g in ("all", "a", "b")}


@pytest.mark.slow
def test_windows_of_one_device_are_not_independent() -> None:
    """Other devices whose rates differ widely: a test that took windows as independent would flag nearly every pair."""
    rng = np.random.default_rng(0)
    flagged = 0
    for _ in range(100):
        before, after = fired(rng, 0.5, 20, spread=0.25), fired(rng, 0.5, 20, spread=0.25)
        after["device_id"] = "new " + after["device_id"]
        adjusted = [c.adjusted for c in changes(before, after) if c.function == "rule" and c.group == "all"]
        flagged += adjusted[0] is not None and adjusted[0] <= 0.05
    assert flagged <= 10


def test_a_change_too_small_to_matter_is_not_flagged() -> None:
    rng = np.random.default_rng(0)
    (all_of_it, *_) = [c for c in changes(fired(rng, 0.50, 4000), fired(rng, 0.53, 4000)) if c.function == "rule"]
    assert all_of_it.adjusted is not None
    assert all_of_it.adjusted < 1e-6
    assert not all_of_it.flagged


def test_all_devices_alike_from_never_to_always_is_a_change_and_few_devices_say_nothing() -> None:
    before, after = (fired(np.random.default_rng(0), 0.5, 8).assign(**{f"{FIRES}rule": n}) for n in (0, 200))
    assert next(c for c in changes(before, after) if c.function == "rule").flagged
    few = changes(before.head(4), after.head(4))
    assert {c.adjusted for c in few} == {None}
    assert not any(c.flagged for c in few)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_adjusted_p_values_follow_the_definition(p: list[float]) -> None:
    adjusted = adjust(np.asarray(p, np.float64))
    ranked = sorted(p)
    for value, got in zip(p, adjusted.tolist(), strict=True):
        wanted = min([q * len(p) / (rank + 1) for rank, q in enumerate(ranked) if q >= value] + [1.0])
        assert got == pytest.approx(wanted)


# --- the command


def cli(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["labels", "report", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result


def kept(workspace: Workspace, windows: Windows, labels: LabelSet, key: str) -> None:
    """What the label step leaves: a result in the store, put out to `out/label`."""

    def body(folder: Path) -> None:
        labels.save(folder)
        write_report(folder, workspace, windows, [labels])

    store = StepStore(workspace.state / "store")
    store.run("label", key, body)
    store.materialise("label", key, workspace.out / "label")


def test_the_command_shows_what_changed_since_the_labels_before(tmp_path: Path) -> None:
    workspace, windows, labels = by_hand.workspace(tmp_path, devices=12)
    kept(workspace, windows, labels, "one")
    assert json.loads(cli(workspace.root, "--json").stdout)["data"]["tasks"][0]["change"] is None
    more = labels.votes.copy()
    more[:, 0] = 1
    kept(workspace, windows, replace(labels, votes=more), "two")
    (task,) = json.loads(cli(workspace.root, "--json").stdout)["data"]["tasks"]
    assert {c["function"] for c in task["change"]["changes"] if c["flagged"]} == {"pressure_high"}
    table = cli(workspace.root).stdout
    assert "Fire otherwise than in the labels of" in table
    assert "100.00%" in table


def test_going_back_to_earlier_labels_compares_with_those_that_stood_before(tmp_path: Path) -> None:
    workspace, windows, labels = by_hand.workspace(tmp_path, devices=12)
    more = labels.votes.copy()
    more[:, 0] = 1
    kept(workspace, windows, labels, "one")
    kept(workspace, windows, replace(labels, votes=more), "two")
    kept(workspace, windows, labels, "one")
    (task,) = json.loads(cli(workspace.root, "--json").stdout)["data"]["tasks"]
    change = next(c for c in task["change"]["changes"] if c["flagged"])
    assert change["before"] == 1.0
    assert change["after"] < 0.5


def test_the_page_can_be_found_and_made_with_what_changed(tmp_path: Path) -> None:
    workspace, windows, labels = by_hand.workspace(tmp_path)
    kept(workspace, windows, replace(labels, votes=np.roll(labels.votes, 1, axis=1)), "zero")
    kept(workspace, windows, labels, "one")
    assert cli(workspace.root, "--html").stdout.strip() == str(workspace.out / "label" / "report.html")
    cli(workspace.root, "--out", tmp_path / "new.html")
    assert "Functions that fire otherwise than in the labels of" in (tmp_path / "new.html").read_text()
    with pytest.raises(InputError, match="cannot be written"):
        cli(workspace.root, "--out", workspace.root / "muster.yaml" / "no.html")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    workspace, windows, labels = by_hand.workspace(tmp_path)
    with pytest.raises(NotFound, match="no labels"):
        cli(workspace.root)
    kept(workspace, windows, labels, "one")
    with pytest.raises(NotFound, match="no labels of a task 'wear'") as caught:
        cli(workspace.root, "--task", "wear")
    assert "state" in caught.value.hint
    (workspace.out / "label" / "report.json").write_text('{"tasks": []}')
    with pytest.raises(InputError, match="another version"):
        read_report(workspace.out / "label")
    (workspace.out / "label" / "report.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        read_report(workspace.out / "label")
