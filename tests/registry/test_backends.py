"""The same registry on a real PostgreSQL, and model versions in a real MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from components.workspace import Workspace
from components.workspace.errors import BackendUnreachable, Conflict, InputError, NotFound
from registry import models, rollout
from registry.database import devices, events, metadata, open_database, writing
from registry.health import tables  # noqa: F401 -- belong to the metadata
from registry.inventory import import_devices
from tests.registry.servers import postgresql_server
from tests.registry.workspaces import artefacts, make_workspace, register, release


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with postgresql_server() as url:
        if url is None:
            pytest.skip("no PostgreSQL server (Debian: postgresql), or no runuser to become someone else")
        yield url


def test_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'registry.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_url_of_another_engine_is_refused() -> None:
    for url in ("mysql://host/db", "nonsense", "oracle://x"):
        with pytest.raises(InputError, match="not usable"):
            open_database(url)


@pytest.mark.parametrize("harm", ["truncated", "junk"])
def test_a_damaged_database_is_named_and_left_alone(tmp_path: Path, harm: str) -> None:
    file = tmp_path / "registry.db"
    open_database(f"sqlite:///{file}")
    harmed = file.read_bytes()[:50_000] if harm == "truncated" else b"no database at all, " * 500
    file.write_bytes(harmed)
    for beside in tmp_path.glob("registry.db-*"):
        beside.unlink()
    with pytest.raises(InputError, match=r"registry\.db cannot be read"):
        open_database(f"sqlite:///{file}")
    assert file.read_bytes() == harmed


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(BackendUnreachable) as caught:
        open_database("postgresql://muster:secret@127.0.0.1:1/registry")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_release_runs_on_postgresql(postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", postgresql)
    workspace = make_workspace(tmp_path / "w")
    assert import_devices(workspace).added == 24
    assert import_devices(workspace).changed == 0
    assert release(workspace).state == "running"
    release(workspace, 2, "b")
    assert [r.id for r in rollout.verify(workspace).releases] == ["north-r1", "north-r2"]
    engine = open_database(postgresql)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        row = connection.execute(sa.select(events).where(events.c.revision == 1)).mappings().first()
    with pytest.raises(Conflict), writing(engine) as connection:
        connection.execute(events.insert(), {k: v for k, v in row.items() if k != "seq"})
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(devices)) == 24


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One model version in MLflow."""
    workspace = make_workspace(tmp_path_factory.mktemp("models"), people=())
    register(workspace, "a")
    return workspace


@pytest.mark.slow
def test_a_model_version_holds_everything_of_its_run(registered: Workspace, tmp_path: Path) -> None:
    found = models.describe(registered, models.find_version(registered))
    assert found.artefacts == ("gateway.artefact", "node.artefact")
    assert found.lineage == {"data_digest": "d1", "workspace_digest": "w1"}
    assert found.metrics == {"anomaly/electra/vus_pr": 0.47, "gateway/label_agreement": 0.99, "node/label_agreement": 0.99}
    file = models.fetch(registered, found.model, "artefacts/gateway.artefact", tmp_path)
    assert file.read_bytes() == artefacts("a")[0].to_bytes()
    with pytest.raises(NotFound, match=r"it has .*gateway\.artefact"):
        models.fetch(registered, found.model, "artefacts/phone.artefact", tmp_path)


@pytest.mark.slow
def test_the_same_artefacts_are_registered_once(registered: Workspace) -> None:
    first = models.find_version(registered, "1")
    assert register(registered, "a") == first
    assert register(registered, "a", "w2").version == 2
    assert models.find_version(registered, "candidate").version == 2
    assert [v.version for v in models.list_versions(registered)] == [2, 1]


@pytest.mark.slow
def test_a_better_proof_of_the_same_artefact_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Proven again on a better machine, the same version can be released further."""
    workspace = make_workspace(tmp_path, people=())
    register(workspace, "a", level="host-compiled")
    first = models.find_version(workspace)
    assert [p.level for p in models.read_proofs(workspace, first)] == ["host-compiled"] * 2
    assert register(workspace, "a") == first
    assert [p.level for p in models.read_proofs(workspace, first)] == ["native"] * 2


@pytest.mark.slow
def test_a_version_that_is_not_there_is_not_found(registered: Workspace) -> None:
    for selector in ("99", "champion"):
        with pytest.raises(NotFound, match=f"no version or alias '{selector}'"):
            models.find_version(registered, selector)
