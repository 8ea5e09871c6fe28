from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.workspace import Workspace, open_workspace
from registry import rollout
from registry.inventory import import_devices
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


def _server_binaries() -> Path | None:
    """Where initdb and postgres are: on PATH, or in Debian's versioned folder."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    binaries = _server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server (Debian: postgresql)")
    if os.getuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("initdb refuses root, and runuser is not here to become someone else")
    folder = Path(tempfile.mkdtemp(prefix="muster-postgresql-"))  # pytest's own folders are closed to other users
    become = []
    if os.getuid() == 0:
        become = ["runuser", "-u", "nobody", "--"]
        shutil.chown(folder, "nobody")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"
    environment = {**os.environ, "LC_ALL": "C"}
    initdb = [*become, str(binaries / "initdb"), "-D", str(data), "-U", "muster", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, env=environment)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*become, str(binaries / "pg_ctl"), "-D", str(data)]
    subprocess.run(
        [*control, "-w", "-l", str(folder / "log"), "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder
    )
    yield f"postgresql://muster@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
    shutil.rmtree(folder)
