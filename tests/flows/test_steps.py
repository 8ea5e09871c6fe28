"""One step table: DVC, Prefect and the command line agree on it, and keys see everything a result depends on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from components.workspace import open_workspace
from components.workspace.errors import InputError, NotFound
from flows.steps import LAYERS, STEPS, find, key_of, run_step, settle


def test_dvc_has_the_same_steps_in_the_same_order_with_the_same_inputs(checkout: Path) -> None:
    stages = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    assert list(stages) == [step.name for step in STEPS]
    for step in STEPS:
        stage = stages[step.name]
        assert stage["cmd"] == f"muster step {step.name} examples/pumps --quiet"
        assert stage["outs"] == [f"examples/pumps/out/{step.name}"]
        assert {f"examples/pumps/out/{up}" for up in step.inputs} <= set(stage["deps"])
        assert f"components/{step.package}" in stage["deps"]


def test_the_flow_calls_every_step_and_then_registers_and_drafts(checkout: Path) -> None:
    tree = ast.parse((checkout / "flows" / "train_and_release.py").read_text())
    called = [
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "_step"
        and isinstance(node.args[1], ast.Constant)
    ]
    assert called == [step.name for step in STEPS]


def test_the_layers_of_the_step_table_are_those_of_the_import_contract(checkout: Path) -> None:
    import tomllib

    contracts = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = next(c for c in contracts if c.get("containers") == ["components"])["layers"]
    lowest_first = [name.strip() for layer in reversed(rooms) for name in layer.replace(":", "|").split("|")]
    assert lowest_first == list(LAYERS)


@pytest.mark.parametrize(
    ("section", "value", "moved"),
    [
        ("seed", 8, {"features", "label", "train", "report", "quantize"}),
        ("model", {"width": 12}, {"train", "report"}),
        ("validation", {"max_quarantined": 0.5}, {"validate"}),
        ("release", None, set()),
    ],
)
def test_a_key_moves_with_its_own_part_of_the_configuration_only(
    fresh: Path, section: str, value: object, moved: set[str]
) -> None:
    before = open_workspace(fresh)
    text = yaml.safe_load((fresh / "muster.yaml").read_text())
    if value is None:
        text[section]["expires_days"] = 5
    else:
        text[section] = value
    (fresh / "muster.yaml").write_text(yaml.safe_dump(text))
    after = open_workspace(fresh)
    changed = {s.name for s in STEPS if key_of(before, s, "gateway-x86-64", None) != key_of(after, s, "gateway-x86-64", None)}
    assert changed == moved


def test_nothing_is_settled_in_a_workspace_that_never_ran(fresh: Path) -> None:
    done, missing = settle(open_workspace(fresh))
    assert done == []
    assert missing == [step.name for step in STEPS]


def test_an_unknown_step_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match="ingest, validate"):
        find("digest")


def test_a_profile_belongs_to_steps_that_have_one_and_must_be_known(fresh: Path) -> None:
    workspace = open_workspace(fresh)
    with pytest.raises(InputError, match="one result for all profiles"):
        run_step(workspace, "train", "phone-litert")
    with pytest.raises(NotFound, match="mainframe"):
        run_step(workspace, "quantize", "mainframe")


def test_validating_a_lake_of_another_contract_says_to_ingest_again(fresh: Path) -> None:
    run_step(open_workspace(fresh), "ingest")
    (fresh / "muster.yaml").write_text((fresh / "muster.yaml").read_text().replace("name: flow\n", "name: flux\n"))
    with pytest.raises(InputError, match="no channel flux"):
        run_step(open_workspace(fresh), "validate")


def test_a_damaged_memory_of_the_listing_costs_reading_again_and_nothing_else(fresh: Path) -> None:
    workspace = open_workspace(fresh)
    first = run_step(workspace, "ingest")[0]
    (fresh / ".muster" / "listing.json").write_text("junk")
    assert run_step(workspace, "ingest")[0].digest == first.digest
