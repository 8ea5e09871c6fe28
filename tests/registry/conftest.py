from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.workspace import Workspace, open_workspace
from muster.app import main
from registry import rollout
from registry.inventory import import_devices
from tests.registry.cli import Run
from tests.registry.faults import object_store
from tests.registry.reporting import wide_canary
from tests.registry.servers import postgresql_server
from tests.registry.workspaces import artefacts, make_workspace, proofs, release, version


@pytest.fixture(scope="session")
def _stocked_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_workspace(tmp_path_factory.mktemp("stocked") / "w")
    import_devices(workspace)
    return workspace.root


@pytest.fixture(scope="session")
def _released_template(tmp_path_factory: pytest.TempPathFactory, _stocked_template: Path) -> Path:
    root = tmp_path_factory.mktemp("released") / "w"
    shutil.copytree(_stocked_template, root)
    release(open_workspace(root))
    return root


@pytest.fixture
def stocked(tmp_path: Path, _stocked_template: Path) -> Workspace:
    """A workspace with keys and 24 devices, and nothing released."""
    shutil.copytree(_stocked_template, tmp_path / "w")
    return open_workspace(tmp_path / "w")


@pytest.fixture
def drafted(stocked: Workspace) -> Workspace:
    """Release north-r1 waits for approval."""
    rollout.draft(stocked, version(1), artefacts(), proofs(), "pipeline")
    return stocked


@pytest.fixture
def released(tmp_path: Path, _released_template: Path) -> Workspace:
    """Release north-r1 runs in its first stage."""
    shutil.copytree(_released_template, tmp_path / "w")
    return open_workspace(tmp_path / "w")


@pytest.fixture
def muster(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["muster", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with postgresql_server() as url:
        if url is None:
            pytest.skip("no PostgreSQL server (Debian: postgresql), or no runuser to become someone else")
        yield url


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an object store that enforces conditional writes."""
    with object_store(monkeypatch) as url:
        yield url


@pytest.fixture(scope="session")
def _reporting_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wide_canary(tmp_path_factory.mktemp("reporting") / "w").root


@pytest.fixture
def fleet(tmp_path: Path, _reporting_template: Path) -> Workspace:
    shutil.copytree(_reporting_template, tmp_path / "w")
    return open_workspace(tmp_path / "w")
