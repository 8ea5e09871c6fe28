"""What each part of the telemetry model brings: VUS-PR of the trained network without it.

    python benchmarks/model_ablation.py WORKSPACE [WORKSPACE ...] [--seeds 7 8 9]

A workspace is one with an anomaly task and a truth, its steps made up to `label` (`muster step label WORKSPACE`), such as those
of `muster init -t asd` and `-t pumps`. The first rows train the network otherwise, the others read the same network otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.models import corruption
from components.models.telemetry_electra import Encoder
from components.runtime.scaling import MISSING_CODE
from components.training import pretrain
from components.training.checkpoint import Checkpoints
from components.training.device import training_device
from components.training.evaluation import evaluate
from components.training.loop import Engine
from components.training.normal import encode
from components.training.train import rows_of, train_network
from components.values import LabelSet, Windows
from components.workspace import Workspace, open_workspace

Floats = NDArray[np.float64]
TRAININGS: dict[str, list[tuple[Any, str, float]]] = {
    "as it is": [],
    "restores replaced cells only": [(pretrain, "REPEAT_WEIGHT", 0.0)],
    "repeats all cells only": [(pretrain, "RESTORE_WEIGHT", 0.0)],
    "detects nothing": [],
    "detects with five times the weight": [],
    "no generator, synthetic faults only": [(corruption, "GENERATED_SHARE", 0.0)],
    "generator only": [(corruption, "GENERATED_SHARE", 1.0), (corruption, "SPANS", 1)],
}
DETECT_WEIGHTS = {"detects nothing": 0.0, "detects with five times the weight": 5.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    arguments = parser.parse_args()
    columns = {root.name: rows(root, arguments.seeds) for root in arguments.workspaces}
    print(f"| VUS-PR, {len(arguments.seeds)} seeds | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for variant in next(iter(columns.values())):
        cells = [f"{np.mean(c[variant]):.3f}, {min(c[variant]):.3f} to {max(c[variant]):.3f}" for c in columns.values()]
        print(f"| {variant} | {' | '.join(cells)} |")


def rows(root: Path, seeds: list[int]) -> dict[str, list[float]]:
    """Variant -> VUS-PR on what the workspace holds out, one a seed."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        for name, changes in TRAININGS.items():
            judge = trained(open_workspace(root), seed, name, changes)
            readings = READINGS if name == "as it is" else {name: READINGS["as it is"]}
            for reading, score in readings.items():
                found.setdefault(reading, []).append(judge(score))
            print(f"{root.name}, seed {seed}, {name}: {found[name][-1]:.3f}", file=sys.stderr)
    return found


def trained(
    workspace: Workspace, seed: int, name: str, changes: list[tuple[Any, str, float]]
) -> Callable[[Callable[[Read, Read], Floats]], float]:
    """Train with ``changes``; what is returned judges a reading of the network."""
    model = workspace.settings.model
    model = model.model_copy(update={"detect_weight": model.detect_weight * DETECT_WEIGHTS.get(name, 1.0)})
    workspace = replace(workspace, settings=workspace.settings.model_copy(update={"seed": seed, "model": model}))
    windows = Windows.load(workspace.out / "features")
    labels = [LabelSet.load(workspace.out / "label", task.name) for task in workspace.settings.tasks if task.votes]
    rows, test = rows_of(windows, labels), np.flatnonzero(windows.test)
    with changed(changes):
        engine = Engine(training_device(model.device), lambda *_: None, Checkpoints())
        encoder = train_network(workspace, windows, labels, [], rows, engine)
    if name.startswith("restores"):
        encoder.repeat.load_state_dict(encoder.restore.state_dict())
    if name.startswith("repeats"):
        encoder.restore.load_state_dict(encoder.repeat.state_dict())
    normal, seen = Read(encoder, windows, rows.clean[:: max(len(rows.clean) // 8000, 1)]), Read(encoder, windows, test)
    core = slice(*workspace.settings.windows.core)
    (task,) = (t.name for t in workspace.settings.tasks if t.kind == "anomaly")

    def judge(score: Callable[..., Floats]) -> float:
        return evaluate(workspace, windows, test, score(normal, seen, core), {})[f"{task}/vus_pr"]

    return judge


class Read:
    """What the network says of some windows: ``squares`` (windows, steps, channels) of residuals, and ``embedding``."""

    def __init__(self, encoder: Encoder, windows: Windows, rows: NDArray[np.int64]) -> None:
        codes = np.asarray(windows.codes[rows])
        types = encoder.architecture.positions(windows.profiles[rows])
        correction, self.embedding = encode(encoder, codes, types)
        values = codes.astype(np.float32) * np.float32(encoder.architecture.input_scale)
        self.squares = np.where(codes == MISSING_CODE, 0.0, values - correction) ** 2


def as_it_is(normal: Read, seen: Read, core: slice) -> Floats:
    return np.log2(np.sqrt(relative(normal, seen, core)).mean(axis=1))


def mean_of_squares(normal: Read, seen: Read, core: slice) -> Floats:
    return np.log2(relative(normal, seen, core).mean(axis=1))


def whole_window(normal: Read, seen: Read, core: slice) -> Floats:
    return np.log2(np.sqrt(relative(normal, seen, slice(None))).mean(axis=1))


def with_distance(normal: Read, seen: Read, core: slice) -> Floats:
    """Half residual, half Mahalanobis distance of the embedding, both 1 on the median normal window."""
    parts = [(2 ** as_it_is(normal, r, core), distance(normal, r)) for r in (normal, seen)]
    (r0, d0), (r1, d1) = parts
    return np.log2(r1 / np.median(r0) + d1 / np.median(d0))


def distance_alone(normal: Read, seen: Read, core: slice) -> Floats:
    return np.log2(distance(normal, seen))


READINGS: dict[str, Callable[..., Floats]] = {
    "as it is": as_it_is,
    "mean of squares over channels": mean_of_squares,
    "residual of the whole window": whole_window,
    "half embedding distance": with_distance,
    "embedding distance alone": distance_alone,
}


def relative(normal: Read, seen: Read, core: slice) -> Floats:
    """(windows, channels) mean square in the core over that of normal windows."""
    variance = np.maximum(normal.squares[:, core].mean(axis=(0, 1)), 1e-4)
    return np.asarray(seen.squares[:, core].mean(axis=1) / variance, np.float64)


def distance(normal: Read, seen: Read) -> Floats:
    values, vectors = np.linalg.eigh(np.cov(normal.embedding.T.astype(np.float64)))
    white = (seen.embedding - normal.embedding.mean(axis=0)) @ (vectors / np.sqrt(np.maximum(values, values[-1] * 1e-2)))
    return np.asarray(np.sqrt((white * white).mean(axis=1)))


@contextmanager
def changed(changes: list[tuple[Any, str, float]]) -> Iterator[None]:
    kept = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


if __name__ == "__main__":
    main()
