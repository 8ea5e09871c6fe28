"""Remaining life of turbofan engines (C-MAPSS): the network and boosting beside reference figures, by subset.

    python benchmarks/remaining_life.py [--data FOLDER] [--seeds 7 8 9] [--write docs/benchmarks.md]

The workspace of `muster init -t cmapss` is trained once a seed on the training engines of all four subsets together. Judged is
the last window of each test engine, with predicted and true life capped at 125 cycles: RMSE, and the PHM08 score in
brackets. Cells are means over the seeds, with the spread from the least to the largest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from components.features.columns import STATISTICS_FILE
from components.ingestion.scaffold import init_from_template
from components.quantization.trained import answers
from components.training.baselines import boosted_numbers
from components.training.evaluation import read_truth
from components.training.numbers import phm08, rmse, true_numbers
from components.training.train import train
from components.values import Targets, Windows
from components.workspace import Workspace, open_workspace
from components.workspace.files import write_text
from flows.steps import run_step

MARK = "<!-- measured: remaining life -->"
TASK = "life"
REFERENCE = {"FD001": 10.0, "FD002": 11.3, "FD003": 11.1, "FD004": 10.9}
"""RMSE of histogram gradient boosting on window features normalised by operating condition, under the same protocol."""
STEPS = ("ingest", "validate", "features", "label")

Scores = dict[str, tuple[float, float]]
"""Subset -> RMSE and PHM08 score."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the published data set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="muster-life-") as folder:
        root = Path(folder) / "cmapss"
        init_from_template("cmapss", root, arguments.data)
        for step in STEPS:
            say(f"{step} ...")
            run_step(open_workspace(root), step)
        runs = [judged(open_workspace(root), seed) for seed in arguments.seeds]
    table = as_table(runs)
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def judged(workspace: Workspace, seed: int) -> dict[str, Scores]:
    """Method -> scores on the last window of each test engine, trained with ``seed``."""
    workspace = replace(workspace, settings=workspace.settings.model_copy(update={"seed": seed}))
    settings, out = workspace.settings, workspace.out
    windows, targets = Windows.load(out / "features"), Targets.load(out / "label", TASK)
    statistics = pd.read_parquet(out / "features" / STATISTICS_FILE)
    model = train(
        workspace, windows, [], statistics, lambda *at: say("seed {}: {} {} of {}".format(seed, *at)), targets=[targets]
    )
    test = windows.index[windows.test]
    rows = test.groupby("device_id").tail(1).index.to_numpy()
    truth = read_truth(workspace)
    assert truth is not None
    wanted = true_numbers(windows.index.iloc[rows], truth[truth["task"] == TASK], targets.range, settings.telemetry.interval_s)
    boosted = boosted_numbers(statistics, targets, seed, settings.model.threads)(statistics.iloc[rows])
    network = answers(model, np.asarray(windows.codes[rows]), windows.profiles[rows]).values[TASK]
    subset = windows.index["site"].to_numpy()[rows]
    return {"network": by_subset(network - wanted, subset), "gradient boosting": by_subset(boosted - wanted, subset)}


def by_subset(errors: np.ndarray, subset: np.ndarray) -> Scores:
    return {name: (rmse(errors[subset == name]), phm08(errors[subset == name])) for name in REFERENCE}


def as_table(runs: list[dict[str, Scores]]) -> str:
    lines = [f"| {len(runs)} seeds | {' | '.join(REFERENCE)} | mean |", f"|---|{'---:|' * (len(REFERENCE) + 1)}"]
    for method in runs[0]:
        cells = [cell([run[method][name] for run in runs]) for name in REFERENCE]
        mean = np.mean([run[method][name][0] for run in runs for name in REFERENCE])
        lines.append(f"| {method} | {' | '.join(cells)} | {mean:.2f} |")
    told = [f"{value:.1f}" for value in REFERENCE.values()]
    lines.append(f"| reference boosting | {' | '.join(told)} | {np.mean(list(REFERENCE.values())):.2f} |")
    return "\n".join(lines)


def cell(scores: list[tuple[float, float]]) -> str:
    errors, costs = np.asarray(scores).T
    return f"{errors.mean():.2f}, {errors.min():.2f} to {errors.max():.2f} ({costs.mean():,.0f})"


def say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
