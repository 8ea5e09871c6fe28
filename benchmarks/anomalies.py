"""Anomalies of servers (ASD): one fleet model, its int8 artefacts and what people use, by the protocol of docs/evaluation.md.

    python benchmarks/anomalies.py [--data FOLDER] [--seeds 7 8 9] [--write docs/benchmarks.md]

The workspace of `muster init -t asd` is trained once a seed, and judged on the test part of its twelve servers. Threshold
and alarms take no label. Cells are means over the seeds, with the spread from the least to the largest where there is one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.ingestion.scaffold import init_from_template
from components.quantization.detectors import open_detector
from components.training.judging.detector import Detector, listen
from components.training.judging.judge import judge
from components.training.judging.result import Evaluation
from components.values import TrainedModel, Windows
from components.workspace import Workspace, open_workspace
from components.workspace.files import write_text

MARK = "<!-- measured: anomalies -->"
STEPS = ("ingest", "validate", "features", "label", "train")
PROFILES = {"gateway-x86-64": "int8, ONNX Runtime", "phone-litert": "int8, LiteRT (the microcontroller's network)"}
STRICT = "model, a third of the stated false alarms"
METRICS = {
    "vus_pr": "VUS-PR",
    "event_precision": "event precision",
    "event_recall": "event recall",
    "alarms_per_device_day": "alarms a device-day",
    "hit_rate_100": "hit rate @100 %",
}
REFERENCE = {"vus_pr": 0.376, "event_precision": 0.68, "event_recall": 0.32, "hit_rate_100": 0.716}
"""Sub-PCA, one model a server, under the same protocol; the hit rate is that of a masked autoencoder's residuals."""

Row = dict[str, float]


@dataclass(frozen=True)
class Run:
    """One seed: method -> metric -> value, seconds of processor time and peak memory (MiB) of the train step."""

    methods: dict[str, Row]
    seconds: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the published data set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="muster-anomalies-") as folder:
        root = Path(folder) / "asd"
        init_from_template("asd", root, arguments.data)
        for profile in PROFILES:
            only_int8(root / "profiles" / f"{profile}.yaml")
        runs = [run(root, seed) for seed in arguments.seeds]
    table = as_table(runs)
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def run(root: Path, seed: int) -> Run:
    """Everything of one seed, steps as a user runs them."""
    file = root / "muster.yaml"
    lines = file.read_text().splitlines(keepends=True)
    write_text(file, "".join(f"seed: {seed}\n" if line.startswith("seed:") else line for line in lines))
    costs = {step: timed(root, step) for step in STEPS}
    workspace = open_workspace(root)
    model = judged(root, open_detector(workspace.out / "train"))
    methods = {method.name: {name: m.value for name, m in method.metrics.items()} for method in model.methods}
    methods[STRICT] = {key: m.value for key, m in judged(root, strict(workspace)).model.metrics.items()}
    for profile, name in PROFILES.items():
        timed(root, "quantize", "--profile", profile)
        artefact = workspace.out / "quantize" / profile / f"{profile}.artefact"
        best = judged(root, open_detector(artefact)).model.metrics
        methods[name] = {key: m.value for key, m in best.items()}
    return Run(methods, *costs["train"])


def only_int8(profile: Path) -> None:
    """Whatever the search would take: int8 is what is judged here."""
    write_text(profile, f"{profile.read_text()}quantization:\n  precisions: [int8]\n")


def timed(root: Path, step: str, *options: str) -> tuple[float, float]:
    """(processor seconds, peak MiB) of `muster step`."""
    say(f"{step} ...")
    command = [sys.executable, "-m", "muster", "step", step, str(root), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"step {step} failed: run `muster step {step} {root}`")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def strict(workspace: Workspace) -> Detector:
    """The trained model at the threshold that a third as many calibration windows reach as at its own."""
    folder = workspace.out / "train"
    detector, rows = open_detector(folder), TrainedModel.load(folder).calibration_rows
    windows = Windows.load(workspace.out / "features")
    scores = listen(detector, windows.codes[rows], windows.profiles[rows]).score
    return replace(detector, threshold=float(np.quantile(scores, 1 - detector.false_alarm_share / 3)))


def judged(root: Path, detector: Detector) -> Evaluation:
    """``detector`` on what the workspace held out."""
    workspace = open_workspace(root)
    return judge(detector, root / "raw", root / "truth" / "segments.csv", workspace, held_out=True)


def as_table(runs: list[Run]) -> str:
    lines = [f"| {len(runs)} seeds | {' | '.join(METRICS.values())} |", f"|---|{'---:|' * len(METRICS)}"]
    for method in runs[0].methods:
        cells = [cell([r.methods[method][name] for r in runs if name in r.methods[method]]) for name in METRICS]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    told = [f"{REFERENCE[name]}" if name in REFERENCE else "" for name in METRICS]
    lines.append(f"| reference | {' | '.join(told)} |")
    seconds, peak = max(r.seconds for r in runs), max(r.peak_mib for r in runs)
    lines.append(f"\nThe train step took at most {seconds:.0f} s of one core, with its baselines, and {peak:,.0f} MiB.")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    if not values:
        return ""
    spread = f", {min(values):.3f} to {max(values):.3f}" if max(values) > min(values) else ""
    return f"{np.mean(values):.3f}{spread}"


def say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
