"""The model registry's aliases are what the release log says, and a difference is an alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.workspace import Workspace
from registry import models, projection, rollout
from registry.models import ModelVersion
from registry.rollout import Order
from tests.registry.cli import Run
from tests.registry.workspaces import artefacts, make_workspace, proofs, register


def released(workspace: Workspace, muster: Run, version: ModelVersion, label: str) -> str:
    (drafted,) = rollout.draft(workspace, version, artefacts(label), proofs(label), "pipeline")
    for person in ("ana", "ben"):
        assert muster("release", "approve", drafted.id, workspace.root, "--person", person, "--reason", "fine")[0] == 0
    return drafted.id


@pytest.mark.slow
def test_aliases_follow_a_release_from_draft_to_rollback(tmp_path: Path, muster: Run) -> None:
    workspace = make_workspace(tmp_path)
    muster("fleet", "import", workspace.root)
    first, second = register(workspace, "a"), register(workspace, "b")
    order = ("--person", "ana", "--reason", "fine")
    release = released(workspace, muster, first, "a")
    assert models.aliases(workspace) == {"candidate": 2, "north_canary": 1}
    for _ in range(3):
        assert muster("release", "promote", release, workspace.root, *order)[0] == 0
    assert models.aliases(workspace) == {"candidate": 2, "north_stable": 1}
    release = released(workspace, muster, second, "b")
    assert models.aliases(workspace) == {"candidate": 2, "north_stable": 1, "north_canary": 2}
    assert muster("doctor", workspace.root)[0] == 0
    assert muster("release", "rollback", release, workspace.root, *order)[0] == 0
    assert models.aliases(workspace) == {"candidate": 2, "north_stable": 1}

    models.set_alias(workspace, "north_stable", 2)
    code, _, error = muster("doctor", workspace.root)
    assert (code, "north_stable: the log says 1, MLflow 2" in error) == (8, True)
    (workspace.state / "aliases.json").unlink()
    assert muster("release", "publish", workspace.root)[0] == 0
    assert models.aliases(workspace)["north_stable"] == 1


def test_what_waits_for_persons_is_the_fleets_candidate(drafted: Workspace) -> None:
    assert projection.aliases_of(rollout.list_releases(drafted)) == {"north_candidate": 1}
    rollout.abort(drafted, "north-r1", Order("ana", "no"))
    assert projection.aliases_of(rollout.list_releases(drafted)) == {}
