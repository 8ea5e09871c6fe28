"""What keeps reports from being counted twice goes when they can no longer matter, and they are never counted twice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from components.workspace import Workspace, open_workspace
from flows.rollouts import refresh
from registry.contract.times import utc_now
from registry.database import open_database, reading
from registry.health.intake import Intake
from registry.health.tables import report_keys
from registry.inventory import import_devices
from tests.registry.reporting import cohort, counted, enroll_all, refusals, signed
from tests.registry.workspaces import make_workspace, release


def replaced(root: Path, days_ago: int) -> Workspace:
    """Release north-r1, which north-r2 took the place of so many days ago."""
    workspace = make_workspace(root)
    import_devices(workspace)
    release(workspace, now=utc_now() - timedelta(days=days_ago + 10))
    release(workspace, 2, "b", now=utc_now() - timedelta(days=days_ago))
    return workspace


def keys_of(workspace: Workspace, rollout_id: str) -> int:
    with reading(open_database(workspace.database_url)) as connection:
        same = report_keys.c.rollout_id == rollout_id
        return connection.scalar(sa.select(sa.func.count()).select_from(report_keys).where(same)) or 0


def test_a_report_that_comes_long_after_its_release_is_never_counted_twice(tmp_path: Path) -> None:
    workspace = replaced(tmp_path / "w", 91)
    device = cohort(workspace)[0]
    enroll_all(workspace, device)
    intake = Intake(open_database(workspace.database_url))
    old, still = signed(device), signed(device, rollout_id="north-r2", outcome="running", reason=None, running_sha256="0" * 64)
    assert intake.take([old, still]).accepted == 2
    before = counted(workspace)

    assert refresh.fn(str(workspace.root))["closed"] == ["north-r1"]
    assert (keys_of(workspace, "north-r1"), keys_of(workspace, "north-r2")) == (0, 1)
    assert intake.take([old, old, signed(device, 2), still]).answers == ("rollout_over",) * 3 + ("duplicate",)
    assert counted(workspace) == before, "what devices said stays, and nothing is added to it"
    assert refusals(workspace) == {("north", "north-r1", "rollout_over"): 3}
    assert refresh.fn(str(workspace.root))["closed"] == []


@pytest.mark.parametrize(("ended", "late", "closed"), [(89, 90, []), (89, 88, ["north-r1"]), (5, 6, [])])
def test_a_release_closes_when_the_configuration_says(tmp_path: Path, ended: int, late: int, closed: list[str]) -> None:
    """What runs is never closed, however old it is."""
    root = replaced(tmp_path / "w", ended).root
    text = (root / "muster.yaml").read_text()
    (root / "muster.yaml").write_text(f"{text}\nregistry:\n  reports: {{late_days: {late}}}\n")
    assert open_workspace(root).settings.registry.reports.late_days == late
    assert refresh.fn(str(root))["closed"] == closed
