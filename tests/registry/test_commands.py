"""The command line of releases: what it prints, and the exit code that scripts rely on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.workspace import Workspace
from registry import rollout
from tests.registry.cli import Run
from tests.registry.workspaces import (
    artefacts,
    canary,
    gateway_artefact,
    image_root,
    make_workspace,
    node_artefact,
    proof,
    register,
    repository_of,
    version,
)


def document(output: str) -> Any:
    value = json.loads(output)
    assert value["schema_version"] == 1
    return value["data"]


def test_a_release_from_the_inventory_to_the_device(drafted: Workspace, muster: Run) -> None:
    root = drafted.root
    assert muster("fleet", "import", root)[1] == "24 devices: 0 added, 0 changed, 0 removed\n"
    code, _, error = muster("release", "start", "north-r1", root)
    assert (code, "waits for 2 more persons" in error) == (7, True)
    code, output, _ = muster("release", "approve", "north-r1", root, "--person", "ana", "--reason", "fine", "--dry-run", "--json")
    assert (code, document(output)["version"]) == (0, 1)
    assert muster("release", "approve", "north-r1", root, "--person", "ana", "--reason", "fine")[0] == 0
    assert muster("release", "approve", "north-r1", root, "--person", "ana", "--reason", "fine")[0] == 5
    code, output, _ = muster("release", "approve", "north-r1", root, "--person", "ben", "--reason", "fine", "--json")
    assert (code, document(output)["state"]) == (0, "running")
    assert muster("release", "verify", root)[0] == 0
    assert muster("release", "publish", root)[1].startswith("nothing to write: the metadata says what the log says")
    assert [e["kind"] for e in document(muster("release", "history", "north-r1", root, "--json")[1])][-1] == "started"
    code, output, _ = muster("device", "check", root, "--device", "gw-008", "--json")
    assert (code, document(output)["reason"] in ("offered", "not_in_cohort")) == (0, True)
    assert muster("device", "show", "gw-008", root)[0] == 0


def test_a_tampered_artefact_exits_8_with_the_reason(released: Workspace, muster: Run) -> None:
    device = canary(released, rollout.show_release(released, "north-r1")).device_id
    assert muster("device", "check", released.root, "--device", device)[0] == 0
    for file in repository_of(released).glob("targets/artifacts/*"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    code, output, error = muster("device", "check", released.root, "--device", device)
    assert (code, output) == (8, "")
    assert "[wrong_digest]" in error


def test_a_device_without_a_workspace_needs_its_image_only(released: Workspace, muster: Run, tmp_path: Path) -> None:
    (tmp_path / "device.json").write_text(canary(released, rollout.show_release(released, "north-r1")).model_dump_json())
    (tmp_path / "root.json").write_bytes(image_root(released))
    image = ("--facts", tmp_path / "device.json", "--root", tmp_path / "root.json")
    code, output, _ = muster("device", "check", repository_of(released), *image)
    assert (code, "would install pumps version 1" in output) == (0, True)
    assert (tmp_path / "device-state/floors.json").is_file()
    assert muster("device", "check", "ftp://host/x", *image)[0] == 2
    code, _, error = muster("device", "check", tmp_path / "nowhere", *image)
    assert (code, "[missing]" in error) == (8, True)
    assert muster("device", "check", "http://127.0.0.1:1", *image)[0] == 6
    assert muster("device", "check", released.root)[0] == 2


def test_a_lost_artefact_is_named_by_device_and_verification(released: Workspace, muster: Run) -> None:
    """A folder is no server that could be asked again later."""
    device = canary(released, rollout.show_release(released, "north-r1")).device_id
    for file in repository_of(released).glob("targets/artifacts/*"):
        file.unlink()
    code, _, error = muster("device", "check", released.root, "--device", device)
    assert (code, "[missing]" in error) == (8, True)
    code, output, error = muster("release", "verify", released.root)
    assert (code, output, error.count(".artefact is not there")) == (8, "", 2)


def test_without_keys_every_command_says_the_same(drafted: Workspace, muster: Run) -> None:
    shutil.rmtree(drafted.state / "trust")
    root, person = drafted.root, ("--person", "ana", "--reason", "fine")
    for arguments in (
        ("keys", "show", root),
        ("keys", "rotate", "timestamp", root),
        ("release", "approve", "north-r1", root, *person),
        ("release", "approve", "north-r1", root, *person, "--dry-run"),
        ("release", "publish", root),
        ("release", "verify", root),
        ("device", "check", root, "--device", "gw-008"),
    ):
        code, output, error = muster(*arguments)
        assert (code, output, "has no signing keys yet" in error, "muster keys init" in error) == (3, "", True, True)


def test_what_a_release_leaves_out_is_shown_with_the_reason(stocked: Workspace, muster: Run) -> None:
    weak = proof(node_artefact(), level="host-compiled", missing="a board")
    rollout.draft(stocked, version(), artefacts(), [proof(gateway_artefact()), weak], "pipeline")
    assert (
        "4 devices with node, firmware 2.0.0: proof level 'host-compiled'"
        in muster("release", "show", "north-r1", stocked.root)[1]
    )
    (skipped,) = document(muster("release", "show", "north-r1", stocked.root, "--json")[1])["skipped"]
    assert (skipped["profile"], skipped["devices"], "a board" in skipped["reason"]) == ("node", 4, True)


def test_an_unknown_fleet_is_answered_with_the_known_ones(stocked: Workspace, muster: Run) -> None:
    code, _, error = muster("fleet", "show", "nope", stocked.root)
    assert (code, "no such fleet: 'nope'" in error, "there are: north" in error) == (3, True, True)


@pytest.mark.slow
def test_a_model_is_shown_by_its_own_metrics_and_a_row_a_profile(stocked: Workspace, muster: Run) -> None:
    register(stocked, "a")
    output = muster("model", "show", "1", stocked.root)[1]
    metrics, profiles, origin = output.split("\n\n")
    assert metrics.splitlines()[-1].split() == ["anomaly", "vus_pr", "electra", "0.47"]
    assert [line.split()[:3] for line in profiles.splitlines()[2:]] == [["gateway", "native", "yes"], ["node", "native", "yes"]]
    assert "data_digest" in origin
    shown = document(muster("model", "show", "1", stocked.root, "--json")[1])
    assert shown["metrics"]["gateway/label_agreement"] == shown["proofs"][0]["checks"][0]["value"]
    drafted = document(muster("release", "draft", stocked.root, "--json")[1])
    assert [r["skipped"] for r in drafted] == [[]]


def test_what_is_not_there_exits_3(stocked: Workspace, muster: Run) -> None:
    for arguments in (
        ("release", "show", "north-r9", stocked.root),
        ("fleet", "show", "south", stocked.root),
        ("device", "check", stocked.root, "--device", "gw-999"),
        ("release", "list", stocked.root / "nowhere"),
    ):
        assert muster(*arguments)[0] == 3


def test_keys_are_shown_with_a_warning_about_demo_keys(tmp_path: Path, muster: Run) -> None:
    root = make_workspace(tmp_path, people=()).root
    assert muster("keys", "show", root)[0] == 3
    assert muster("keys", "init", root, "--person", "ana")[0] == 2
    code, output, error = muster("keys", "init", root, "--person", "ana", "--person", "ben", "--demo", "--json")
    assert (code, {h["name"] for h in document(output) if h["role"] == "releases"}) == (0, {"ana", "ben"})
    assert "demo keys" in error


def test_tables_and_documents_list_the_same(released: Workspace, muster: Run) -> None:
    code, table, _ = muster("release", "list", released.root)
    (only,) = document(muster("release", "list", released.root, "--json")[1])
    assert (code, only["id"], "north-r1" in table) == (0, "north-r1", True)
    assert sum(g["devices"] for g in document(muster("fleet", "list", released.root, "--json")[1])) == 24
    assert document(muster("fleet", "show", "north", released.root, "--limit", 3, "--json")[1])["devices"] == 24


@pytest.mark.parametrize("command", [("status", "north-r1"), ("history", "north-r1"), ("diff", "north-r1"), ("verify",)])
def test_what_only_reads_takes_the_word_for_a_rehearsal_too(command: tuple[str, ...], released: Workspace, muster: Run) -> None:
    register(released, "a")
    place = ("--in", released.root) if command[0] == "diff" else (released.root,)
    code, said, _ = muster("release", *command, *place, "--json", "--dry-run")
    assert code == 0
    assert said == muster("release", *command, *place, "--json")[1] or command[0] == "status", "whose time goes on"
