"""CPU seconds and extra memory of one measurement, in a process of its own with one thread.

    python -m benchmarks.weak_labels.costs WHAT ROWS FUNCTIONS CLASSES

prints them as one JSON line. Inputs are made before the clock starts and the memory mark is reset, so the figures are
those of the work alone: `extra_mib` is the highest resident size during it less that before it (Linux). NumPy is all
that is imported at the top: Snorkel's environment has nothing of ours.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.weak_labels.models import environment

SEED = 11
THRESHOLD = 0.8
DEVICES = 1000


@dataclass(frozen=True)
class Cost:
    """``cpu`` seconds of the process, ``extra_mib`` at the peak, ``digest`` of what came out."""

    cpu: float
    extra_mib: float
    digest: str


def cost(what: str, rows: int, functions: int, classes: int, python: str) -> Cost:
    """Measure ``what`` of `WORK` in a fresh process of the interpreter ``python``."""
    command = [python, "-m", "benchmarks.weak_labels.costs", what, *map(str, (rows, functions, classes))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def threshold_columns(rows: int, functions: int) -> Any:
    """A frame of ``functions`` columns of normal numbers, the same for the first rows however many there are."""
    import pandas as pd

    columns = {f"c{j}": np.random.default_rng([SEED, j]).standard_normal(rows, np.float32) for j in range(functions)}
    return pd.DataFrame(columns)


def apply_ours(rows: int, functions: int, classes: int) -> Callable[[], Any]:
    """Threshold functions through the product's own application, on the statistics of windows."""
    from components.labeling.functions.apply import apply_functions
    from components.labeling.functions.declaring import LabelingFunction
    from components.labeling.functions.view import WindowView

    names = tuple(str(c) for c in range(classes))

    def rule(j: int) -> LabelingFunction:
        def body(w: WindowView) -> NDArray[np.bool_]:
            return w.column(f"c{j}") > THRESHOLD

        return LabelingFunction(f"rule_{j}", "task", names[j % classes], (), "window", "", body, Path(__file__), 1)

    rules = [rule(j) for j in range(functions)]
    view = WindowView.of_statistics(threshold_columns(rows, functions))
    return lambda: apply_functions(rules, names, view, threads=1).votes


def apply_snorkel(rows: int, functions: int, classes: int) -> Callable[[], Any]:
    from snorkel.labeling import LabelingFunction, PandasLFApplier

    def rule(j: int) -> Any:
        name = f"c{j}"
        return LabelingFunction(f"rule_{j}", lambda x: j % classes if getattr(x, name) > THRESHOLD else -1)

    frame, applier = threshold_columns(rows, functions), PandasLFApplier([rule(j) for j in range(functions)])
    return lambda: applier.apply(frame, progress_bar=False)


def fit_ours(rows: int, functions: int, classes: int) -> Callable[[], Any]:
    """Fit and predict, all rows."""
    from components.labeling.model import fit_label_model

    votes = voted(rows, functions, classes, np.int8)
    fit_label_model(votes[:1000], classes).probabilities(votes[:1000])  # imports
    return lambda: fit_label_model(votes, classes).probabilities(votes)[0]


def fit_snorkel(rows: int, functions: int, classes: int) -> Callable[[], Any]:
    import torch
    from snorkel.labeling.model import LabelModel

    torch.set_num_threads(1)
    votes = voted(rows, functions, classes, np.int64)  # what its applier puts out

    def run(part: NDArray[Any]) -> Any:
        model = LabelModel(cardinality=classes, verbose=False)
        model.fit(part, seed=1, progress_bar=False)
        return model.predict_proba(part)

    run(votes[:1000])
    return lambda: run(votes)


def pass_ours(rows: int, functions: int, classes: int) -> Callable[[], Any]:
    """Forwards and backwards once over `DEVICES` devices' sequences, from likelihoods to probabilities."""
    from components.labeling.model.sequences import forward_backward

    random = np.random.default_rng(SEED)
    likelihood = random.random((rows // DEVICES, classes, DEVICES), np.float32)
    shares = np.full(classes, 1 / classes)
    return lambda: forward_backward(likelihood, shares, 0.95)


def sequences_ours(rows: int, functions: int, classes: int) -> Callable[[], Any]:
    """From votes to probabilities over `DEVICES` devices' sequences with a model that was fitted before."""
    from components.labeling.model import fit_label_model

    votes = voted(rows, functions, classes, np.int8)
    device = np.repeat(np.arange(DEVICES), -(-rows // DEVICES))[:rows]
    some = slice(0, 50 * (rows // DEVICES))
    model = fit_label_model(votes[some], classes, sequences=device[some])
    return lambda: model.probabilities(votes, sequences=device)[0]


def voted(rows: int, functions: int, classes: int, kind: Any) -> NDArray[Any]:
    """(rows, functions): functions that are right 75 % of the time and speak on 30 % of the rows."""
    random = np.random.default_rng(SEED)
    votes = np.empty((rows, functions), kind)
    truth = random.integers(0, classes, rows, dtype=np.int8)
    for j in range(functions):
        wrong = (truth + random.integers(1, classes, rows, dtype=np.int8)) % classes
        said = np.where(random.random(rows, dtype=np.float32) < 0.75, truth, wrong)
        votes[:, j] = np.where(random.random(rows, dtype=np.float32) < 0.3, said, -1)
    return votes


WORK: dict[str, Callable[[int, int, int], Callable[[], Any]]] = {
    "apply-ours": apply_ours,
    "apply-snorkel": apply_snorkel,
    "fit-ours": fit_ours,
    "fit-snorkel": fit_snorkel,
    "pass-ours": pass_ours,
    "sequences-ours": sequences_ours,
}
DIGESTED = 100_000
"""Rows of the result that the digest is of: as many as the smallest run has."""


def _main(what: str, *size: int) -> None:
    work = WORK[what](*size)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, began = _memory("VmRSS"), time.process_time()
    result = work()
    cpu, peak = time.process_time() - began, _memory("VmHWM")
    print(json.dumps(asdict(Cost(cpu, (peak - before) / 1024, _digest(result)))))


def _memory(field: str) -> int:
    """KiB."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(field))
    return int(line.split()[1])


def _digest(result: Any) -> str:
    import hashlib

    some = np.asarray(result)[:DIGESTED]
    kind = np.int8 if np.issubdtype(some.dtype, np.integer) else np.float32
    return hashlib.sha256(np.ascontiguousarray(some, kind).tobytes()).hexdigest()


if __name__ == "__main__":
    _main(sys.argv[1], *map(int, sys.argv[2:]))
