"""Few labels on a hydraulic rig: the network pre-trained and not, and boosting, by task and number of labelled cycles.

    python benchmarks/few_labels.py [--data FOLDER] [--seeds 7 8 9] [--labels 20 50 100] [--write docs/benchmarks.md]

The study of `muster model study` on the workspace of `muster init -t hydraulic`, made anew for each seed: a seed draws the
states of the rig that are held out, the labelled cycles, the weights and the batches. Cells are macro-F1 on the cycles of the
held-out states, means over the seeds with the spread from the least to the largest. The test of pre-training against none is
paired: a seed's mean over the tasks is one pair.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from components.ingestion.scaffold import init_from_template
from components.training.study.page import NAMES
from components.training.study.study import Comparison, Spread, Study, conclude
from components.training.study.trial import Outcome
from components.workspace import open_workspace
from components.workspace.files import write_text
from flows.study import study

MARK = "<!-- measured: few labels -->"
REFERENCE = {
    20: {"cooler": 0.942, "valve": 0.455, "pump": 0.701, "accumulator": 0.269},
    50: {"cooler": 0.967, "valve": 0.633, "pump": 0.902, "accumulator": 0.488},
    100: {"cooler": 0.958, "valve": 0.686, "pump": 0.948, "accumulator": 0.614},
}
"""Macro-F1 of extremely randomised trees on 204 features of a cycle, with states held out likewise."""
TASKS = tuple(REFERENCE[20])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the published data set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--labels", type=int, nargs="+", default=list(REFERENCE))
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="muster-few-") as folder:
        for seed in arguments.seeds:
            root = Path(folder) / str(seed)
            init_from_template("hydraulic", root, arguments.data)
            outcomes += studied(root, seed, arguments.labels)
            print(as_table(conclude("hydraulic", outcomes)), file=sys.stderr)
    table = as_table(conclude("hydraulic", outcomes))
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def studied(root: Path, seed: int, labels: list[int]) -> tuple[Outcome, ...]:
    """Of the workspace in ``root`` with ``seed`` in place of its own."""
    file = root / "muster.yaml"
    lines = file.read_text().splitlines(keepends=True)
    write_text(file, "".join(f"seed: {seed}\n" if line.startswith("seed:") else line for line in lines))
    return study(open_workspace(root), 1, labels, None).outcomes


def as_table(found: Study) -> str:
    of = {(c.task, c.labels): c for c in found.comparisons}
    counts = sorted({o.trial.labels for o in found.outcomes})
    seeds = len({o.trial.seed for o in found.outcomes})
    lines = [f"| {seeds} seeds | labels | {' | '.join(TASKS)} | mean |", f"|---|---:|{'---:|' * (len(TASKS) + 1)}"]
    for count in counts:
        for method, name in NAMES.items():
            cells = [cell(of[task, count].macro_f1[method]) for task in (*TASKS, "")]
            lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
        if told := REFERENCE.get(count):
            mean = sum(told.values()) / len(told)
            lines.append(f"| reference | {count} | {' | '.join(f'{told[task]:.3f}' for task in TASKS)} | {mean:.3f} |")
    tests = [tested(count, of["", count]) for count in counts]
    return "\n".join([*lines, "", "| pre-training less none | pairs | all tasks | p |", "|---|---:|---:|---:|", *tests])


def tested(labels: int, compared: Comparison) -> str:
    paired = compared.pretraining
    return f"| {labels} labels | {paired.pairs} | {paired.difference:+.3f} | {paired.p:.3g} |"


def cell(over_seeds: Spread) -> str:
    return f"{over_seeds.mean:.3f}, {over_seeds.low:.3f} to {over_seeds.high:.3f}"


if __name__ == "__main__":
    main()
