"""Time and peak memory of each step of the main job, at once and ten times the data of the default workspace.

    python benchmarks/main_job.py [--scales 1 10] [--write docs/benchmarks.md]

Each step runs in a process of its own, so its time holds the imports it needs and its memory is its own peak. The
last column sets the ten-fold run against the single one: 10 is linear, less is better than that.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from components.ingestion.scaffold import init_from_template
from components.values import Dataset
from components.workspace import open_workspace
from components.workspace.files import write_text
from flows.steps import STEPS

MARK = "<!-- measured: main job -->"


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds (of the step and its children), and peak resident MiB of the largest process."""

    wall: float
    cpu: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    runs = {scale: measure(scale) for scale in arguments.scales}
    table = as_table(runs)
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        rest = after.partition(MARK)[2]
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{rest}")


def measure(scale: int) -> tuple[int, dict[str, Cost]]:
    """(accepted rows, step -> cost) of one workspace with ``scale`` times the pumps."""
    folder = Path(tempfile.mkdtemp(prefix="muster-bench-"))
    try:
        root = folder / "pumps"
        init_from_template("pumps", root, scale=scale)
        costs = {}
        for step in STEPS:
            print(f"{scale}x {step.name} ...", file=sys.stderr)
            costs[step.name] = run([sys.executable, "-m", "muster", "step", step.name, str(root), "--quiet"])
        return Dataset.load(open_workspace(root).out / "validate").rows, costs
    finally:
        shutil.rmtree(folder)


def run(command: list[str]) -> Cost:
    began = time.monotonic()
    process = os.spawnv(os.P_NOWAIT, command[0], command)  # noqa: S606 - wait4 wants the process itself
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {os.waitstatus_to_exitcode(status)}")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def as_table(runs: dict[int, tuple[int, dict[str, Cost]]]) -> str:
    scales = list(runs)
    lines = [f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.", ""]
    heads = [f"{s}x wall s | {s}x CPU s | {s}x peak MiB" for s in scales]
    lines.append(f"| step | {' | '.join(heads)} | CPU ratio |")
    lines.append(f"|---|{'---:|' * (3 * len(scales) + 1)}")
    totals = {s: sum(c.cpu for c in runs[s][1].values()) for s in scales}
    for step in STEPS:
        costs = [runs[s][1][step.name] for s in scales]
        cells = [f"{c.wall:.1f} | {c.cpu:.1f} | {c.peak:,.0f}" for c in costs]
        lines.append(f"| {step.name} | {' | '.join(cells)} | {costs[-1].cpu / costs[0].cpu:.1f} |")
    sums = [f"{sum(c.wall for c in runs[s][1].values()):.1f} | {totals[s]:.1f} | " for s in scales]
    lines.append(f"| all | {' | '.join(sums)} | {totals[scales[-1]] / totals[scales[0]]:.1f} |")
    rows = ", ".join(f"{s}x: {runs[s][0]:,}" for s in scales)
    return "\n".join([*lines, "", f"Accepted rows: {rows}."])


if __name__ == "__main__":
    main()
