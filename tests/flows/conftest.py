from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flows.running import muster, small_pumps


@pytest.fixture(scope="session")
def _raw(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    return small_pumps(checkout, tmp_path_factory.mktemp("raw") / "pumps")


@pytest.fixture(scope="session")
def _ran(tmp_path_factory: pytest.TempPathFactory, _raw: Path) -> Path:
    root = tmp_path_factory.mktemp("ran") / "pumps"
    shutil.copytree(_raw, root)
    (root / "run.json").write_text(muster("run", root, "--demo", "--json").stdout)
    return root


@pytest.fixture
def fresh(tmp_path: Path, _raw: Path) -> Path:
    """A small workspace that never ran."""
    shutil.copytree(_raw, tmp_path / "pumps")
    return tmp_path / "pumps"


@pytest.fixture
def ran(tmp_path: Path, _ran: Path) -> Path:
    """A small workspace after `muster run --demo --json > run.json`. Absolute paths in its databases are the copy's own."""
    shutil.copytree(_ran, tmp_path / "pumps")
    return tmp_path / "pumps"
