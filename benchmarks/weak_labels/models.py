"""Majority vote, Snorkel's label model and ours behind one signature; the latter two each in its own interpreter.

    python -m benchmarks.weak_labels.models NAME FOLDER

reads every `*.npz` in FOLDER (a vote set) and writes what the model NAME says about its test rows beside it, as
`*.NAME.npz`. NumPy is all that is imported here: Snorkel's environment has nothing of ours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from benchmarks.weak_labels.sets import VoteSet

Votes = NDArray[np.int8]
Numbers = NDArray[np.float64]

EPOCHS_WITH_BALANCE = 500
"""Snorkel's default of 100 leaves its parameters near their start; with a class balance more epochs do it good."""
PARTS = ("train", "test", "shares", "train_sequences", "test_sequences")
"""What a model is shown of a vote set: all but its gold."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Opinion:
    """What a model says about the test rows: (rows, classes) probabilities, and (rows,) the class it decides for."""

    probabilities: Numbers
    decided: NDArray[np.int64]


def opinions(name: str, sets: Sequence[VoteSet], python: str) -> list[Opinion]:
    """What the model ``name`` of `MODELS` says about each set, run by the interpreter ``python``."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number:04d}.npz" for number in range(len(sets))]
        for file, one in zip(files, sets, strict=True):
            held = {n: v for n in PARTS if (v := getattr(one, n)) is not None}
            np.savez(file, allow_pickle=False, **held)
        command = [python, "-m", "benchmarks.weak_labels.models", name, folder]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
        return [_read(file.with_suffix(f".{name}.npz")) for file in files]


def environment() -> dict[str, str]:
    """One thread, and this checkout on the path."""
    import os

    return os.environ | ONE_THREAD | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONWARNINGS": "ignore"}


def majority(votes: Votes, k: int, seed: int) -> Opinion:
    """The share of votes for each class, equal shares where none is cast; ties are decided at random."""
    counts = np.stack([(votes == c).sum(axis=1) for c in range(k)], axis=1).astype(np.float64)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, counts / np.maximum(total, 1), 1 / k)
    lots = np.random.default_rng(seed).random(shares.shape)
    return Opinion(shares, np.where(counts == counts.max(axis=1, keepdims=True), lots, -1).argmax(axis=1))


def ours(held: Any, *, prior: bool, timed: bool) -> Opinion:
    """Our label model, deciding by its own weights; rows on which all abstain are decided too, from the class shares."""
    from components.labeling.model import fit_label_model

    given: dict[str, Any] = {"shares": held["shares"]} if prior else {}
    learned: dict[str, Any] = {"sequences": held["train_sequences"]} if timed else {}
    asked: dict[str, Any] = {"sequences": held["test_sequences"]} if timed else {}
    model = fit_label_model(held["train"], len(held["shares"]), **given, **learned)
    probabilities, _ = model.probabilities(held["test"], **asked)
    return Opinion(probabilities.astype(np.float64), (probabilities * model.decision_weights).argmax(axis=1))


def snorkel(held: Any, *, prior: bool) -> Opinion:
    """Snorkel's label model with its defaults, or with the class balance."""
    from snorkel.labeling.model import LabelModel

    k = len(held["shares"])
    model = LabelModel(cardinality=k, verbose=False)
    given: dict[str, Any] = {"class_balance": held["shares"].tolist(), "n_epochs": EPOCHS_WITH_BALANCE} if prior else {}
    model.fit(held["train"].astype(np.int64), seed=1, progress_bar=False, **given)
    probabilities = np.asarray(model.predict_proba(held["test"].astype(np.int64)))
    return Opinion(probabilities, probabilities.argmax(axis=1))


MODELS: dict[str, Callable[[Any], Opinion]] = {
    "ours": lambda held: ours(held, prior=False, timed=False),
    "ours-prior": lambda held: ours(held, prior=True, timed=False),
    "ours-timed": lambda held: ours(held, prior=False, timed="train_sequences" in held),
    "ours-timed-prior": lambda held: ours(held, prior=True, timed="train_sequences" in held),
    "snorkel": lambda held: snorkel(held, prior=False),
    "snorkel-prior": lambda held: snorkel(held, prior=True),
}


def _read(file: Path) -> Opinion:
    with np.load(file) as held:
        return Opinion(held["probabilities"], held["decided"])


def _main(name: str, folder: Path) -> None:
    for file in sorted(folder.glob("[0-9]*.npz")):
        if file.name.count(".") > 1:
            continue
        with np.load(file) as held:
            said = MODELS[name](held)
        np.savez(file.with_suffix(f".{name}.npz"), probabilities=said.probabilities, decided=said.decided)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
