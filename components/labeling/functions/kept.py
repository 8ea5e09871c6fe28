"""Votes kept from earlier runs, function by function, under the digest of all they depend on.

Votes of a function that failed on some windows are not kept: what failed may pass, and its line may have moved.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.labeling.functions.calling import Votes
from components.labeling.functions.fingerprint import fingerprint, sources_below
from components.workspace.files import sha256_file, sha256_json
from components.workspace.store import StepStore, listing_of

if TYPE_CHECKING:
    from components.features.columns import Columns
    from components.labeling.functions.declaring import LabelingFunction
    from components.workspace import Workspace


_FILE = "votes.npy"


@dataclass(frozen=True)
class KeptVotes:
    """``base``: digest of what the votes of every function depend on: windows, records, models, our own code."""

    store: StepStore
    base: str

    @classmethod
    def of(cls, workspace: Workspace, statistics: Columns) -> KeptVotes | None:
        """None where the statistics are no step's result, so that nothing says when they are the same again."""
        if statistics.digest is None:
            return None
        settings = workspace.settings
        files = {**settings.records, **{f"model {n}": f for n, f in settings.labeling.models.items()}}
        outside = [[name, _digest(workspace.path(file))] for name, file in sorted(files.items())]
        facts = settings.model_dump(mode="json", include={"telemetry", "windows"})
        return cls(StepStore(workspace.state / "votes"), sha256_json([statistics.digest, outside, facts, sources_below()]))

    def load(self, function: LabelingFunction, classes: tuple[str, ...]) -> Votes | None:
        """(windows,) votes; None where there are none, or they are damaged."""
        key = self._key(function, classes)
        digest = self.store.digest(function.task, key)
        if digest is None:
            return None
        stored = self.store.run(function.task, key, _never)
        if sha256_json(listing_of(stored.folder)) != digest:
            shutil.rmtree(stored.folder.parent)
            return None
        return np.asarray(np.load(stored.folder / _FILE))

    def save(self, function: LabelingFunction, classes: tuple[str, ...], votes: Votes) -> None:
        self.store.run(function.task, self._key(function, classes), lambda folder: np.save(folder / _FILE, votes))

    def _key(self, function: LabelingFunction, classes: tuple[str, ...]) -> str:
        return sha256_json([self.base, fingerprint(function), list(classes)])


def _digest(file: Path) -> str | None:
    return sha256_file(file) if file.is_file() else None


def _never(folder: Path) -> None:
    raise AssertionError(f"{folder}: votes vanished while they were read")
