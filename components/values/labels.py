"""What labelling says about the windows of one task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    ``gold``: (windows,) int8, the class that a person gave the window, -1 where nobody did.
    ``sampled``: (windows,) bool, where gold may stand for all windows: these were drawn at random, or declared in a file.
    ``decision_weights``: (classes,); the hard label is the class of the largest probability times weight.
    ``source``: 'weak' or 'gold'.
    ``facts``: how the probabilities came about, as JSON: ``version`` (digest of the fitted label model), ``chosen``,
    ``class_shares`` and where they are from, estimates for each function (`labeling.label`).
    """

    task: str
    classes: tuple[str, ...]
    functions: tuple[str, ...]
    votes: NDArray[np.int8]
    probabilities: NDArray[np.float32]
    covered: NDArray[np.bool_]
    gold: NDArray[np.int8]
    sampled: NDArray[np.bool_]
    decision_weights: tuple[float, ...]
    source: str
    facts: Mapping[str, Any]

    @property
    def coverage(self) -> float:
        return float(self.covered.mean()) if len(self.covered) else 0.0

    @property
    def decided(self) -> NDArray[np.int8]:
        """(windows,) the hard label, -1 where the window is unlabelled."""
        weighted = self.probabilities * np.asarray(self.decision_weights, np.float32)
        return np.where(self.covered, weighted.argmax(axis=1), ABSTAIN).astype(np.int8)

    @property
    def entropy(self) -> NDArray[np.float32]:
        """(windows,) Shannon entropy of the probabilities over that of a fair die: 0 sure, 1 clueless or unlabelled."""
        p = np.maximum(self.probabilities, np.finfo(np.float32).tiny)
        bits = -(p * np.log(p)).sum(axis=1) / np.log(len(self.classes))
        return np.where(self.covered, bits, 1.0).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `<folder>/<task>/`."""
        target = folder / self.task
        target.mkdir(parents=True)
        for name in _ARRAYS:
            np.save(target / f"{name}.npy", getattr(self, name))
        write_json(
            target / "labels.json",
            {
                "task": self.task,
                "classes": list(self.classes),
                "functions": list(self.functions),
                "decision_weights": list(self.decision_weights),
                "source": self.source,
                "facts": dict(self.facts),
            },
        )

    @classmethod
    def load(cls, folder: Path, task: str) -> LabelSet:
        target = folder / task
        meta = json.loads((target / "labels.json").read_text())
        return cls(
            task=meta["task"],
            classes=tuple(meta["classes"]),
            functions=tuple(meta["functions"]),
            decision_weights=tuple(meta["decision_weights"]),
            source=meta["source"],
            facts=meta["facts"],
            **{name: np.load(target / f"{name}.npy") for name in _ARRAYS},
        )


_ARRAYS = ("votes", "probabilities", "covered", "gold", "sampled")
