"""A small workspace after its features and label steps, with votes of three rules that are wrong on purpose now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.features.windows import make_windows
from components.values import LabelSet, Windows
from components.values.labels import ABSTAIN
from components.workspace import Workspace
from tests.features.test_windows import dataset
from tests.ingestion import small

RULES = ("pressure_high", "pressure_low", "sometimes")


def workspace(root: Path, *, devices: int = 6, **changes: Any) -> tuple[Workspace, Windows, LabelSet]:
    """The workspace in ``root/w`` with what its two steps put out."""
    made = small.workspace(root / "w", **changes)
    windows = make_windows(made, dataset(root / "data", small.telemetry(devices=devices)))
    features, out = made.out / "features", made.out / "label"
    features.mkdir(parents=True)
    windows.save(features)
    labels = label_set(windows)
    labels.save(out)
    return made, windows, labels


def label_set(windows: Windows, seed: int = 5, **changes: Any) -> LabelSet:
    """Two rules for 'high' and 'low' and one that votes anything, each on about a third of the windows."""
    rng = np.random.default_rng(seed)
    said = rng.random((len(windows), len(RULES))) < 0.35
    named = np.stack([np.full(len(windows), 1), np.full(len(windows), 2), rng.integers(0, 3, len(windows))], axis=1)
    votes = np.where(said, named, ABSTAIN).astype(np.int8)
    counts = np.stack([(votes == c).sum(axis=1) for c in range(3)], axis=1) + 0.2
    given: dict[str, Any] = {
        "task": "state",
        "classes": ("normal", "high", "low"),
        "functions": RULES,
        "votes": votes,
        "probabilities": (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32),
        "covered": said.any(axis=1),
        "gold": np.full(len(windows), ABSTAIN, np.int8),
        "sampled": np.zeros(len(windows), bool),
        "decision_weights": (1.0, 1.0, 1.0),
        "source": "weak",
        "facts": {"version": "v1", "chosen": "blend"},
    }
    return LabelSet(**(given | changes))


def segment(windows: Windows, position: int, value: str, by: str = "ann", at: str = "2026-04-01T00:00:00Z") -> str:
    """A line of an annotation file about one window."""
    row = windows.index.iloc[position]
    start, end = (pd.Timestamp(row[c]).isoformat() for c in ("start", "end"))
    return f"{row['device_id']},{start},{end},state,{value},{by},{at}\n"
