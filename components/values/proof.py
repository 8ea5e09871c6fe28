"""The record that an artefact ran in its device's own runtime and kept to its budgets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.workspace.files import write_json


@dataclass(frozen=True)
class Check:
    """One measured quantity against its limit. ``limit`` None: reported, not gated."""

    name: str
    value: float
    limit: float | None
    passed: bool
    unit: str = ""


@dataclass(frozen=True)
class Proof:
    """``level``: native, emulated, same-runtime (on another architecture), host-compiled or none.

    ``machine`` says in words where it ran; ``missing`` names what would raise the level, e.g. Debian packages.
    """

    profile: str
    runtime: str
    artefact_sha256: str
    level: str
    machine: str
    checks: tuple[Check, ...]
    missing: str = ""

    @property
    def passed(self) -> bool:
        return self.level != "none" and all(c.passed for c in self.checks)

    def check(self, name: str) -> Check | None:
        return next((c for c in self.checks if c.name == name), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}

    def save(self, folder: Path) -> None:
        write_json(folder / f"{self.profile}.proof.json", self.to_json())

    @classmethod
    def load(cls, file: Path) -> Proof:
        value = json.loads(file.read_text())
        value.pop("passed")
        value["checks"] = tuple(Check(**c) for c in value["checks"])
        return cls(**value)
