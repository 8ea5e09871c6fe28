"""The simulated pumps: their windows with votes in order of time, and the end model on weak and on true labels.

Workspaces are made by the product's own steps in a temporary folder; the simulator's truth is read here only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.weak_labels.models import environment
from benchmarks.weak_labels.sets import VoteSet, balance
from components.ingestion.scaffold import EXAMPLES, copy_profiles
from components.values import LabelSet, Windows
from components.workspace import Workspace, open_workspace
from components.workspace.modules import load_module
from flows.steps import run_step

TASK = "fault"


def timed_sets(seed: int) -> Iterator[VoteSet]:
    """Any fault against normal, then each fault against the rest: votes of the shipped functions, device by device.

    Fitted on training devices, scored on those held out.
    """
    with labelled(seed) as workspace:
        windows, labels = Windows.load(workspace.out / "features"), LabelSet.load(workspace.out / "label", TASK)
        truth = true_classes(workspace, windows, labels)
    device = np.unique(windows.index["device_id"], return_inverse=True)[1]
    train, test = windows.train, windows.test
    for c, name in enumerate(("any fault", *labels.classes[1:])):
        is_c, votes = (truth > 0, labels.votes > 0) if c == 0 else (truth == c, labels.votes == c)
        cast = np.where(labels.votes < 0, -1, votes).astype(np.int8)
        gold = is_c[test].astype(np.int8)
        yield VoteSet(f"pumps {name} {seed}", 2, cast[train], cast[test], gold, balance(gold, 2), device[train], device[test])


def weak_and_true(seed: int) -> tuple[float, float]:
    """Held-out macro-F1 of the telemetry model trained on weak labels, and on the truth of the same windows."""
    with labelled(seed) as workspace:
        return _trained(workspace.root, "weak"), _trained(workspace.root, "true")


@contextmanager
def labelled(seed: int) -> Iterator[Workspace]:
    """A default workspace with pumps of ``seed``, labelled."""
    folder = Path(tempfile.mkdtemp(prefix="muster-bench-"))
    try:
        origin = EXAMPLES / "pumps"
        for file in (*origin.glob("*.py"), *origin.glob("*.yaml")):
            shutil.copyfile(file, folder / file.name)
        settings = (origin / "muster.yaml").read_text()
        (folder / "muster.yaml").write_text(settings.replace("seed: 7\n", f"seed: {seed}\n"))
        copy_profiles(folder)
        load_module(folder / "source.py").write(folder, None, seed)
        workspace = open_workspace(folder)
        for step in ("ingest", "validate", "features", "label"):
            run_step(workspace, step)
        yield workspace
    finally:
        shutil.rmtree(folder)


def true_classes(workspace: Workspace, windows: Windows, labels: LabelSet) -> NDArray[np.int8]:
    """(windows,) by the rule that evaluation goes by."""
    from components.training.evaluation import read_truth, window_classes

    truth = read_truth(workspace)
    assert truth is not None
    return window_classes(windows.index, truth[truth["task"] == labels.task], labels.classes)


def _trained(root: Path, kind: str) -> float:
    command = [sys.executable, "-m", "benchmarks.weak_labels.pumps", str(root), kind]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training failed:\n{done.stderr[-3000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _train(root: Path, kind: str) -> float:
    import pandas as pd

    from components.training.train import train

    workspace = open_workspace(root)
    windows, labels = Windows.load(workspace.out / "features"), LabelSet.load(workspace.out / "label", TASK)
    if kind == "true":
        truth = true_classes(workspace, windows, labels)
        known = np.eye(len(labels.classes), dtype=np.float32)[truth]
        everywhere = np.ones(len(windows), bool)
        labels = replace(labels, probabilities=known, covered=everywhere, decision_weights=(1.0,) * len(labels.classes))
    statistics = pd.read_parquet(workspace.out / "features" / "statistics.parquet")
    return train(workspace, windows, [labels], statistics).metrics[f"{TASK}/electra/macro_f1"]


if __name__ == "__main__":
    print(json.dumps(_train(Path(sys.argv[1]), sys.argv[2])))
