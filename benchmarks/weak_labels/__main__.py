"""Print one table: what is measured, the reference and ours from this run, and whether the aim is met."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.weak_labels.rows import ROWS, Bench, Line
from components.workspace.files import write_text

PEER = "MUSTER_PEER_PYTHON"
MARK = "<!-- measured: weak labels -->"
JUDGING = (1, 2, 3)
"""Seeds of the printed table. Whoever changes a label model looks at others (`--seeds 1000 1001 ...`)."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weak_labels", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), help="groups of rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(JUDGING))
    parser.add_argument("--peer", default=os.environ.get(PEER), help=f"interpreter with snorkel==0.10.0; default: {PEER}")
    parser.add_argument("--large", action="store_true", help="10M x 30 too; Snorkel needs 15 GB for it")
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    given = parser.parse_args(arguments)
    if not given.peer:
        parser.error(f"no interpreter with Snorkel: name it with --peer or {PEER} (docs/benchmarks.md says how to make one)")
    bench = Bench(given.peer, tuple(given.seeds), given.large)
    lines = []
    for name in given.only:
        print(f"{name} ...", file=sys.stderr)
        lines += list(ROWS[name](bench))
    table = as_table(lines, bench.seeds)
    print(table)
    if given.write:
        before, _, after = given.write.read_text().partition(MARK)
        write_text(given.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def as_table(lines: Sequence[Line], seeds: Sequence[int]) -> str:
    """Markdown."""
    where = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    head = [f"{where}; one thread, CPU seconds; seeds {', '.join(map(str, seeds))}.", ""]
    head += ["| what | reference | ours | aim | measured | met |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(_row(line) for line in lines)])


def _row(line: Line) -> str:
    aim = f"{'at most' if line.below else 'at least'} {_number(line.aim)} {line.measure}"
    return f"| {line.what} | {line.reference} | {line.ours} | {aim} | {_number(line.value)} | {'yes' if line.met else 'no'} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
