from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.registry.conftest import _postgresql_server, postgresql  # noqa: F401 -- fixtures: the same real server


@pytest.fixture(scope="session")
def infra(checkout: Path) -> Path:
    return checkout / "infra"


@pytest.fixture(scope="session")
def services(infra: Path) -> dict[str, Any]:
    """The services of the compose file."""
    content = yaml.safe_load((infra / "compose.yaml").read_text())
    return dict(content["services"])
