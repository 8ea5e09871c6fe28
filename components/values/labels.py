"""What labelling says about the windows of one task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.workspace.files import write_json

ABSTAIN = -1


@dataclass(frozen=True)
class LabelSet:
    """Labels of one task, one row a window in the order of `Windows`.

    ``votes``: (windows, labelling functions) int8 in {-1 abstain, 0..k-1}; no columns for declared gold.
    ``probabilities``: (windows, classes) float32, rows sum to 1; meaningless where ``covered`` is false.
    ``covered``: (windows,) bool; an uncovered window is unlabelled, never 'normal'.
    ``source``: 'weak' or 'gold'.
    """

    task: str
    classes: tuple[str, ...]
    functions: tuple[str, ...]
    votes: NDArray[np.int8]
    probabilities: NDArray[np.float32]
    covered: NDArray[np.bool_]
    source: str

    @property
    def coverage(self) -> float:
        return float(self.covered.mean()) if len(self.covered) else 0.0

    def save(self, folder: Path) -> None:
        """Write `<folder>/<task>/`."""
        target = folder / self.task
        target.mkdir(parents=True)
        np.save(target / "votes.npy", self.votes)
        np.save(target / "probabilities.npy", self.probabilities)
        np.save(target / "covered.npy", self.covered)
        write_json(
            target / "labels.json",
            {"task": self.task, "classes": list(self.classes), "functions": list(self.functions), "source": self.source},
        )

    @classmethod
    def load(cls, folder: Path, task: str) -> LabelSet:
        target = folder / task
        meta = json.loads((target / "labels.json").read_text())
        return cls(
            task=meta["task"],
            classes=tuple(meta["classes"]),
            functions=tuple(meta["functions"]),
            votes=np.load(target / "votes.npy"),
            probabilities=np.load(target / "probabilities.npy"),
            covered=np.load(target / "covered.npy"),
            source=meta["source"],
        )
