"""Rules in YAML hold where their words say, and a wrong line is named with file, line and key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from components.features.statistics import SCALED, STATISTICS
from components.labeling.functions.conditions import Condition
from components.labeling.functions.declaring import LabelingFunction, load_functions
from components.labeling.functions.rules import read_rules
from components.labeling.functions.view import WindowView
from components.labeling.label import label
from components.workspace import Workspace, open_workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.settings import Settings
from tests.ingestion import small
from tests.labeling.made import view, votes
from tests.labeling.test_labels import GOOD, prepared
from tests.labeling.test_records import records_file

CHANNELS = ("pressure", "flow")
DEVICES: list[tuple[str, list[int]]] = [
    ("a", [0, 1, 2, 3, 5]),
    ("b", [0, 1, 2]),
    ("c", [0, 1, 2, 3]),
    ("d", [1, 2]),
    ("e", [1, 2]),
]
STEPS, STRIDE = 8, 4
WINDOWS = [(device, n) for device, numbers in DEVICES for n in numbers]


def built(seed: int, events: list[tuple[str, float, str, str]], folder: Path) -> WindowView:
    """Windows with random statistics of a few values each, so that ties and NaN happen."""
    rng = np.random.default_rng(seed)
    names = [f"{c}_{s}" for c in CHANNELS for s in ("mean", "slope", "stuck", "z_mean", "z_slope")]
    columns = {name: rng.choice([-2, -1, 0.5, 1, 2, np.nan], len(WINDOWS)) for name in names}
    samples = rng.choice([-1, 1, np.nan], (len(WINDOWS), STEPS, 2)).astype(np.float32)
    files = {"errors": records_file(folder, events)}
    return view(DEVICES, columns, steps=STEPS, stride=STRIDE, samples=samples, channels=CHANNELS, records=files)


@dataclass(frozen=True)
class Slowly:
    """What the page says of each kind of condition, a window at a time; times in minutes after the start of all windows."""

    w: WindowView
    events: list[tuple[str, float, str, str]]

    def holds(self, rule: dict[str, Any], i: int) -> bool:
        return bool(getattr(self, rule["kind"])(rule, i))

    def threshold(self, rule: dict[str, Any], i: int) -> bool:
        return inside(rule, self.read(rule["channel"], rule, i))

    def slope(self, rule: dict[str, Any], i: int) -> bool:
        return inside(rule, self.w.slope(rule["channel"])[i])

    def stuck(self, rule: dict[str, Any], i: int) -> bool:
        return bool(self.w.stuck(rule["channel"])[i] >= rule["share"])

    def channels(self, rule: dict[str, Any], i: int) -> bool:
        first, second = (self.read(rule[key], rule, i) for key in ("first", "second"))
        return inside(rule, first - second if rule["take"] == "difference" else np.float64(first) / second)

    def event(self, rule: dict[str, Any], i: int) -> bool:
        begin, end = span(i)
        since = begin if "within_s" not in rule else end - rule["within_s"] / 60
        return sum(since <= m < end for m in self.times(rule, i)) >= rule.get("at_least", 1)

    def duration(self, rule: dict[str, Any], i: int) -> bool:
        if "channel" in rule:
            fits = "".join("x" if inside(rule, v) else " " for v in self.w.values(rule["channel"])[i])
            return max(len(run) for run in fits.split(" ")) * 60 >= rule["for_s"]
        device, n = WINDOWS[i]
        held = {m for j, (d, m) in enumerate(WINDOWS) if d == device and self.holds(rule["of"], j)}
        first = last = n
        while first - 1 in held:
            first -= 1
        while last + 1 in held:
            last += 1
        return n in held and ((last - first) * STRIDE + STEPS) * 60 >= rule["for_s"]

    def followed(self, rule: dict[str, Any], i: int) -> bool:
        begin, end = span(i)
        if rule["then"]["kind"] == "event":
            effects = [m for m in self.times(rule["then"], i) if begin <= m < end]
        else:
            effects = [end] if self.holds(rule["then"], i) else []
        causes = self.times(rule["first"], i)
        return any(0 < effect - cause <= rule["within_s"] / 60 for effect in effects for cause in causes)

    def read(self, channel: str, rule: dict[str, Any], i: int) -> float:
        return float(self.w.column(f"{channel}_z_mean" if rule["scale"] == "deviations" else f"{channel}_mean")[i])

    def times(self, rule: dict[str, Any], i: int) -> list[float]:
        device = WINDOWS[i][0]
        if rule["kind"] == "event":
            return [m for d, m, c, _ in self.events if d == device and c == rule.get("code", c)]
        return [span(j)[1] for j, (d, _) in enumerate(WINDOWS) if d == device and self.holds(rule, j)]


def inside(rule: dict[str, Any], value: float) -> bool:
    return bool(value > rule.get("above", -np.inf) and value < rule.get("below", np.inf))


def span(i: int) -> tuple[int, int]:
    """First minute of a window and the minute past its last."""
    return WINDOWS[i][1] * STRIDE, WINDOWS[i][1] * STRIDE + STEPS


channel = st.sampled_from(CHANNELS)
bounds = st.one_of(
    st.fixed_dictionaries({"above": st.sampled_from([-1.5, 0.0, 1.0])}),
    st.fixed_dictionaries({"below": st.sampled_from([-1.5, 0.0, 1.0])}),
    st.just({"above": -1.5, "below": 1.0}),
)


def kind(name: str, **keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(name), **keys})


def bounded(name: str, **keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda one, two: one | two, kind(name, **keys), bounds)


scale = st.sampled_from(["physical", "deviations"])
event = st.builds(
    lambda one, two: one | two,
    kind("event", records=st.just("errors")),
    st.sampled_from([{}, {"code": "E1"}, {"code": "E1", "within_s": 900.0}, {"at_least": 2}]),
)
simple = st.one_of(
    bounded("threshold", channel=channel, scale=scale),
    bounded("slope", channel=channel),
    kind("stuck", channel=channel, share=st.sampled_from([0.5, 1.0])),
    bounded("channels", first=channel, second=channel, take=st.sampled_from(["difference", "ratio"]), scale=scale),
    event,
)
seconds = st.sampled_from([60.0, 180.0, 480.0, 720.0, 960.0])
condition = st.one_of(
    simple,
    bounded("duration", channel=channel, for_s=seconds),
    kind("duration", of=simple, for_s=seconds),
    kind("followed", first=simple, then=simple, within_s=seconds),
)
records = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 40), st.sampled_from(["E1", "E2"]), st.just("")), max_size=8)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(rule=condition, seed=st.integers(0, 50), events=records, part=st.integers(1, 9))
def test_every_rule_holds_where_its_words_say_however_windows_are_parted(
    tmp_path_factory: pytest.TempPathFactory, rule: dict[str, Any], seed: int, events: list[Any], part: int
) -> None:
    w = built(seed, events, tmp_path_factory.mktemp("rules"))
    read: Any = TypeAdapter(Condition).validate_python(rule)
    with np.errstate(all="ignore"):
        wanted = [Slowly(w, events).holds(rule, i) for i in range(len(w))]
    assert votes(read.holds, w, read.sees, part=part) == wanted


def test_scales_against_calibration_and_peers_are_those_of_the_view(tmp_path: Path) -> None:
    w = built(3, [], tmp_path)
    for scale, sees in (("calibration", "device"), ("peers", "fleet")):
        rule = {"kind": "threshold", "channel": "flow", "scale": scale, "above": 0.9, "peers": "fleet"}
        read: Any = TypeAdapter(Condition).validate_python(rule)
        assert read.sees == sees
        with np.errstate(all="ignore"):
            against = (
                w.against_calibration(w.mean("flow")) if scale == "calibration" else w.against_peers(w.mean("flow"), "fleet")
            )
        assert votes(read.holds, w, sees) == (against > 0.9).tolist()
        assert np.isfinite(against).any()


RULES = """\
rules:
  - name: flow_low
    task: state
    votes: low
    when:
      - {kind: threshold, channel: flow, below: 30}
      - kind: followed
        first: {kind: event, records: errors, code: E1}
        then: {kind: slope, channel: pressure, above: 2.5}
        within_s: 3600
  - name: flow_stuck
    task: state
    votes: high
    description: A sensor that froze.
    when:
      - {kind: stuck, channel: flow, share: 0.9}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("below: 30", "bellow: 30", 6, "key rules.0.when.0.threshold.bellow: Extra inputs"),
        ("below: 30", "below: low", 6, "key rules.0.when.0.threshold.below: .*valid number"),
        ("below: 30}", "below: 30, above: 40}", 6, "nothing is above 40 and below 30"),
        (", below: 30", "", 6, "say above:, below:, or both"),
        ("kind: threshold", "kind: treshold", 6, "'treshold' .* does not match any"),
        ("kind: threshold", "kind: threshold, scale: deviations, statistic: energy", 6, "energy has no standard deviations"),
        ("slope, channel: pressure, above: 2.5", "slope, channel: pressure, above: .nan", 9, "finite number"),
        ("within_s: 3600", "within_s: -1", 10, "key rules.0.when.1.followed.within_s: .*greater than 0"),
        ("votes: high", "vote: high", 13, "key rules.1.vote: Extra"),
        ("share: 0.9", "share: 9", 16, "key rules.1.when.0.stuck.share: .*less than or equal to 1"),
        ("channel: flow, share", "channel: flux, share", 11, "labelling function flow_stuck: no channel flux"),
        ("votes: high", "votes: hot", 11, "labelling function flow_stuck: votes for 'hot', no class"),
        ("records: errors", "records: alarms", 2, "labelling function flow_low: no 'alarms' under records:"),
        ("code: E1", "code: E1, pattern: '(a'", 2, r"labelling function flow_low: pattern '\(a'"),
        ("name: flow_stuck", "name: pressure_low", 11, "labelling function pressure_low: .*labeling.py, line 9, has one of this"),
        ("name: flow_stuck", "name: flow_low", 11, "labelling function flow_low: line 2 has one of this name"),
        ("  - name: flow_stuck", "  name: flow_stuck", 11, "no valid YAML"),
    ],
)
def test_a_wrong_rule_is_named_with_file_line_and_key(tmp_path: Path, old: str, new: str, line: int, what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        loaded(tmp_path, RULES.replace(old, new, 1))
    assert f"rules.yaml, line {line}" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["rules: flow_low\n", "rules: {name: flow_low}\n"])
def test_rules_that_are_no_list_are_said_to_be_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"rules\.yaml, line 1, key rules: is a list of rules, each"):
        loaded(tmp_path, text)


@pytest.mark.parametrize("text", ["rules:\n", "rules: []\n"])
def test_a_file_without_rules_leaves_those_of_the_module(tmp_path: Path, text: str) -> None:
    assert [f.name for f in loaded(tmp_path, text)] == ["pressure_high", "pressure_low", "pressure_usual"]


@pytest.mark.parametrize("of", ["*a", "{kind: duration, for_s: 5, of: *a}"])
def test_a_condition_that_holds_itself_is_an_error_and_no_bug(tmp_path: Path, of: str) -> None:
    condition = f"&a {{kind: duration, for_s: 5, of: {of}}}"
    with pytest.raises(InputError, match=r"rules\.yaml, line 6: holds itself"):
        loaded(tmp_path, RULES.replace("{kind: threshold, channel: flow, below: 30}", condition))


SETTINGS = Settings.model_validate(small.settings(records={"errors": "errors.csv"}))


@given(begin=st.integers(0, len(RULES)), length=st.integers(0, 60), put=st.text(max_size=8))
def test_no_rule_file_whatever_raises_anything_but_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, begin: int, length: int, put: str
) -> None:
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(RULES[:begin] + put + RULES[begin + length :], encoding="utf-8", errors="replace")
    try:
        assert all(f.line >= 1 for f in read_rules(file, SETTINGS))
    except InputError as error:
        assert "rules.yaml" in error.message


def test_rules_may_come_from_elsewhere_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    condition = "{kind: stuck, channel: flow, share: 1}"
    file.write_text(f"<<: {{rules: [{{name: a, task: state, votes: low, when: [{condition}]}}]}}\n")
    assert [(f.name, f.line) for f in read_rules(file, SETTINGS)] == [("a", 1)]


def loaded(root: Path, rules: str) -> list[LabelingFunction]:
    made = small.workspace(root / "w", labeling={"rules": "rules.yaml"}, records={"errors": "errors.csv"})
    (made.root / "labeling.py").write_text("from components.labeling import labeling_function\n\n\n" + GOOD)
    (made.root / "rules.yaml").write_text(rules)
    return load_functions(made, made.settings.tasks[0])


def test_rules_stand_after_the_functions_of_the_module_and_say_what_they_are(tmp_path: Path) -> None:
    functions = loaded(tmp_path, RULES)
    assert [f.name for f in functions] == ["pressure_high", "pressure_low", "pressure_usual", "flow_low", "flow_stuck"]
    low, stuck = functions[3:]
    assert (low.sees, stuck.sees) == ("device", "window")
    assert low.channels == ("flow", "pressure")
    assert stuck.description == "A sensor that froze."


def test_a_rule_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    made = small.workspace(tmp_path / "w")
    with pytest.raises(NotFound, match=r"rules\.yaml"):
        read_rules(made.root / "rules.yaml", made.settings)


def test_rules_alone_label_a_workspace_without_a_line_of_python(tmp_path: Path) -> None:
    made, windows, statistics = prepared(tmp_path, GOOD)
    (made.root / "labeling.py").unlink()
    threshold = {"kind": "threshold", "channel": "pressure", "scale": "deviations"}
    rules = [
        {"name": n, "task": "state", "votes": v, "when": [threshold | bound]}
        for n, v, bound in (
            ("up", "high", {"above": 1.5}),
            ("down", "low", {"below": -1.5}),
            ("usual", "normal", {"above": -1, "below": 1}),
        )
    ]
    (made.root / "rules.yaml").write_text(yaml.safe_dump({"rules": rules}))
    text = yaml.safe_load((made.root / "muster.yaml").read_text()) | {"labeling": {"rules": "rules.yaml"}}
    (made.root / "muster.yaml").write_text(yaml.safe_dump(text))
    (by_rules,) = label(open_workspace(made.root), windows, statistics)
    (made.root / "labeling.py").write_text("from components.labeling import labeling_function\n" + GOOD)
    (by_python,) = label(made, windows, statistics)
    assert (by_rules.votes == by_python.votes).all()


PUMP_CHANNELS = ("inlet_pressure", "discharge_pressure", "flow", "motor_current", "vibration")


def examples(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def pump_shop(root: Path, rules: str) -> tuple[Workspace, WindowView]:
    """A workspace with the channels, classes and records that the page speaks of, and windows with random statistics."""
    task = {"name": "fault", "kind": "classes", "classes": list(PUMP_CLASSES), "labels": "weak"}
    channels = [{"name": c, "unit": "1", "range": [0.0, 1.0]} for c in PUMP_CHANNELS]
    telemetry = small.settings()["telemetry"] | {"channels": channels}
    files = {name: records_file(root, [("a", 5, "OVERLOAD", "grinding")], f"{name}.csv") for name in ("errors", "notes")}
    records = {name: file.name for name, file in files.items()}
    made = small.workspace(root, tasks=[task], telemetry=telemetry, records=records, labeling={"rules": "rules.yaml"})
    (root / "rules.yaml").write_text(rules)
    rng = np.random.default_rng(0)
    names = [f"{c}_{s}" for c in PUMP_CHANNELS for s in (*STATISTICS, *(f"z_{s}" for s in SCALED))]
    columns = {name: rng.standard_normal(len(WINDOWS)) for name in names}
    return made, view(DEVICES, columns, channels=PUMP_CHANNELS, records=files)


PUMP_CLASSES = ("normal", "blockage", "leak", "cavitation", "bearing_wear")


def test_every_rule_of_the_page_is_one_that_runs(tmp_path: Path, checkout: Path) -> None:
    blocks = [b for b in examples(checkout / "docs" / "labelling-functions.md", "yaml") if b.startswith("rules:")]
    kinds = set()
    for number, block in enumerate(blocks):
        (tmp_path / str(number)).mkdir()
        made, w = pump_shop(tmp_path / str(number), block)
        for function in read_rules(made.root / "rules.yaml", made.settings):
            assert set(function.channels) <= set(PUMP_CHANNELS)
            assert function.votes in PUMP_CLASSES
            assert len(votes(function.body, w, function.sees)) == len(w)
        kinds |= set(re.findall(r"kind: (\w+)", block))
    assert kinds == {"threshold", "slope", "stuck", "channels", "duration", "event", "followed"}


def test_the_function_of_the_page_is_one_that_runs(tmp_path: Path, checkout: Path) -> None:
    (source,) = examples(checkout / "docs" / "labelling-functions.md", "python")
    made, w = pump_shop(tmp_path, examples(checkout / "docs" / "labelling-functions.md", "yaml")[3] + SECOND_RULE)
    (made.root / "labeling.py").write_text(source.replace("pressure_without_flow", "in_python"))
    python, in_yaml, _ = load_functions(made, made.settings.tasks[0])
    assert python.description == "The pump pushes against something." == in_yaml.description
    assert python.sees == "window"
    assert len(votes(python.body, w, "window")) == len(w)


SECOND_RULE = "  - {name: second, task: fault, votes: leak, when: [{kind: stuck, channel: flow, share: 0.5}]}\n"
