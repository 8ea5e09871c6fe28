"""muster.yaml: what may be said, and what a wrong line gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.workspace import open_workspace
from components.workspace.errors import InputError, MusterError, NotFound
from components.workspace.settings import Settings
from components.workspace.workspace import parse_yaml

GOOD = """\
name: wells
storage:
  source: raw
telemetry:
  interval_s: 60.0
  channels:
    - {name: level, unit: m, range: [0, 10]}
tasks:
  - {name: anomaly, kind: anomaly}
profiles: [gateway]
fleets:
  - name: field
    inventory: inventory.csv
    variants:
      - {name: all, firmware: ">=1"}
release:
  stages:
    - {name: canary, share: 0.1}
    - {name: all, share: 1.0}
"""

SHAPE = "{name: node, profiles: [mcu], recipe: prune, width: 16}"


def test_a_whole_configuration_is_read() -> None:
    settings = parse_yaml(GOOD, Settings, "muster.yaml")
    assert settings.telemetry.names == ("level",)
    assert settings.windows.steps == 32


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "why"),
    [
        ("interval_s: 60.0", "interval_s: -1.0", 5, "telemetry.interval_s", "greater than 0"),
        ("interval_s: 60.0", "interval_s: soon", 5, "telemetry.interval_s", "valid number"),
        ("range: [0, 10]", "range: [10, 0]", 7, "telemetry.channels.0", "is not below"),
        ("name: level, unit: m", "name: level, unit: m, sort: x", 7, "telemetry.channels.0.sort", "not permitted"),
        ('firmware: ">=1"', 'firmware: "latest"', 15, "fleets.0.variants.0.firmware", "no version range"),
        ("share: 1.0", "share: 0.9", 16, "release", "end at 1.0"),
        ("inventory: inventory.csv", "inventory: ../../etc/passwd", 13, "fleets.0.inventory", "leaves the workspace"),
        ("kind: anomaly", "kind: classes, classes: [a, b]", 9, "tasks.0", "needs labels"),
        ("kind: anomaly", "kind: regression, labels: gold, gold: a.csv, range: [9, 9]", 9, "tasks.0", "not empty"),
        ("kind: anomaly", "kind: regression, labels: gold, gold: a.csv", 9, "tasks.0", "needs a range"),
        ("kind: anomaly", "kind: regression, range: [0, 9]", 9, "tasks.0", "needs labels: gold"),
        ("kind: anomaly", "kind: regression, labels: weak, range: [0, 9]", 9, "tasks.0", "needs labels: gold"),
        ("kind: anomaly", "kind: regression, labels: gold, gold: a.csv, range: [900000, 900001]", 9, "tasks.0", "too far from 0"),
        ("kind: anomaly", "kind: anomaly, unit: cycles", 9, "tasks.0", "predicts no number"),
        ("name: wells", "nome: wells", 1, "name", "required"),
        ("name: wells", "name: wells\nmodel: {kernel: 8}", 2, "model.kernel", "is even"),
        (
            "name: wells",
            f"name: wells\nmodel: {{shapes: [{SHAPE}]}}",
            1,
            "(top)",
            "model.shapes names mcu; profiles: has gateway",
        ),
        ("name: wells", f"name: wells\nmodel: {{width: 16, shapes: [{SHAPE}]}}", 2, "model", "needs a width or blocks below"),
        ("name: wells", f"name: wells\nmodel: {{kind: gradient_boosting, shapes: [{SHAPE}]}}", 2, "model", "out of a network"),
    ],
)
def test_a_wrong_line_is_named_with_file_line_and_key(old: str, new: str, line: int, key: str, why: str) -> None:
    with pytest.raises(InputError) as error:
        parse_yaml(GOOD.replace(old, new, 1), Settings, "muster.yaml")
    assert f"muster.yaml, line {line}, key {key}: " in error.value.message
    assert why in error.value.message
    assert error.value.exit_code == 2


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: 1", "name: a\nname: b\n", "", "[]", "3"])
def test_what_is_no_configuration_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse_yaml(text, Settings, "muster.yaml")


@given(st.text(max_size=200))
def test_no_text_whatever_raises_anything_but_an_input_error(text: str) -> None:
    try:
        parse_yaml(text, Settings, "muster.yaml")
    except InputError as error:
        assert "muster.yaml" in error.message


def test_a_folder_without_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="muster init"):
        open_workspace(tmp_path)


def test_a_listed_profile_without_a_file_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "muster.yaml").write_text(GOOD)
    with pytest.raises(NotFound, match=r"gateway\.yaml"):
        open_workspace(tmp_path)


def test_every_error_class_has_its_documented_exit_code() -> None:
    codes = {error.__name__: error.exit_code for error in MusterError.__subclasses__()}
    assert codes == {
        "InputError": 2,
        "NotFound": 3,
        "GateFailed": 4,
        "Conflict": 5,
        "BackendUnreachable": 6,
        "ApprovalNeeded": 7,
        "VerificationFailed": 8,
    }


def test_the_shipped_workspaces_are_valid(checkout: Path) -> None:
    for example in sorted((checkout / "examples").glob("*/muster.yaml")):
        parse_yaml(example.read_text(), Settings, str(example))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "muster.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"muster\.yaml: byte 0 is no UTF-8"):
        open_workspace(tmp_path)


def test_infinity_is_no_interval() -> None:
    with pytest.raises(InputError, match="finite"):
        parse_yaml(GOOD.replace("interval_s: 60.0", "interval_s: .inf"), Settings, "muster.yaml")


TREES = "model: {kind: gradient_boosting}\n"
STATE = "  - {name: state, kind: classes, classes: [idle, busy], labels: gold, gold: gold.csv}\n"
PROFILE = """\
name: gateway
description: test
arch: {family: x86-64, cpu: any}
memory: {model_flash_kib: 64, model_ram_kib: 64}
runtime: {name: RUNTIME, minimal: "1.0"}
"""


def test_trees_without_labels_to_learn_from_are_refused() -> None:
    with pytest.raises(InputError, match="learns from labels and no task has any; use kind: electra"):
        parse_yaml(GOOD + TREES, Settings, "muster.yaml")


def test_trees_score_anomalies_by_a_weakly_labelled_task_only() -> None:
    """Declared states are no faults; with weak labels, or without an anomaly task, trees may learn."""
    stated = GOOD.replace("profiles:", f"{STATE}profiles:")
    with pytest.raises(InputError, match="scores anomalies by a task with labels: weak"):
        parse_yaml(stated + TREES, Settings, "muster.yaml")
    anomaly = "  - {name: anomaly, kind: anomaly}\n"
    assert parse_yaml(stated.replace(anomaly, "") + TREES, Settings, "muster.yaml").model.trees.rounds == 60
    weak = stated.replace(anomaly, anomaly.replace("}", ", labels: weak}"))
    assert parse_yaml(weak + TREES, Settings, "muster.yaml").model.kind == "gradient_boosting"


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime", "c99"])
def test_trees_are_refused_on_a_runtime_that_has_none(runtime: str, tmp_path: Path) -> None:
    weak = GOOD.replace("kind: anomaly}", "kind: anomaly, labels: weak}")
    (tmp_path / "muster.yaml").write_text(weak + TREES)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "gateway.yaml").write_text(PROFILE.replace("RUNTIME", runtime))
    if runtime != "litert":
        assert open_workspace(tmp_path).settings.model.kind == "gradient_boosting"
        return
    with pytest.raises(InputError, match="cannot run on gateway") as error:
        open_workspace(tmp_path)
    assert "onnxruntime or c99" in error.value.hint
