"""What int8 costs a trained model by our recipes, and by the default calibration of the tools people use.

    python benchmarks/calibration.py WORKSPACE... [--peer PYTHON] [--write docs/benchmarks.md]

Each WORKSPACE has been trained (`muster train`). The same float network goes through every tool with the same windows to
calibrate on, as a tool does by default; the int8 network's answers on held-out windows, put back into floats, are judged by the
workspace's own metrics. ``--peer`` names an interpreter with ai-edge-quantizer and nncf; without it only ours are measured.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.models import reference
from components.models.reference import Floats
from components.models.selection import held_out, range_windows
from components.models.simulation import simulate_within
from components.quantization.recipes.fidelity import judged
from components.quantization.recipes.forms import Form
from components.quantization.recipes.integers import best_in_integers
from components.quantization.recipes.write import write
from components.quantization.targets import Written, litert, onnx_runtime
from components.training.evaluation import evaluate
from components.values import Architecture, ElectraModel, TrainedModel, Windows
from components.values.recipe import Recipe
from components.workspace import Workspace, open_workspace
from components.workspace.files import write_text
from components.workspace.profiles import Quantization

MARK = "<!-- measured: calibration -->"
PEERS = {"ai-edge-quantizer, default": "ai-edge", "NNCF, default": "nncf"}
HEADLINES = ("/vus_pr", "/macro_f1", "/rmse")
WEIGHT_LIMIT = 127

Answers = Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Row:
    """``noise_db``: signal-to-noise ratio of the corrections; ``metrics``: the workspace's headlines on held-out windows."""

    method: str
    noise_db: float
    metrics: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", type=Path, nargs="+", help="folders of trained workspaces")
    parser.add_argument("--peer", help="an interpreter with ai-edge-quantizer and nncf")
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    table = "\n\n".join(as_table(root.name, measure(open_workspace(root), arguments.peer)) for root in arguments.workspaces)
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def measure(workspace: Workspace, peer: str | None) -> list[Row]:
    model, windows = TrainedModel.load(workspace.out / "train"), Windows.load(workspace.out / "features")
    assert isinstance(model, ElectraModel), "trees have no ranges to calibrate"
    rows = held_out(windows, workspace.settings.evaluation.max_windows)
    codes = range_windows(windows)
    wanted = reference.forward(model.architecture, model.weights, np.asarray(windows.codes[rows]))

    def judge(method: str, floats: Floats) -> Row:
        error = ((floats.correction - wanted.correction) ** 2).mean() / wanted.correction.var()
        return Row(method, float(-10 * np.log10(max(error, 1e-12))), metrics(workspace, model, windows, rows, floats))

    found = [judge("float32", wanted)]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for name, recipe in recipes(model, windows, codes).items():
            written = write(model, recipe, codes, WEIGHT_LIMIT)
            answers = tflite_answers(litert.tflites([written], cache)[0])
            found.append(judge(name, said(model.architecture, windows, rows, answers)))
        for precision in ("int16x8", "int4", "binary"):
            recipe = Recipe(precision, "minmax", corrected=precision != "int16x8")
            written = write(model, recipe, codes, WEIGHT_LIMIT)
            made = simulate_within(model.architecture, written.weights, written.spans, precision=precision)
            outputs = made.engine(np.asarray(windows.codes[rows]))
            arrays = {"correction": outputs.correction, "embedding": outputs.embedding}
            arrays |= {h.output: (outputs.logits if h.classes else outputs.numbers)[h.task] for h in model.architecture.heads}
            in_floats = {n: ((v.astype(np.float32) - made.tensors[n].zero) * made.tensors[n].scale) for n, v in arrays.items()}
            found.append(judge(f"ours, {precision} in C", floats_of(model.architecture, in_floats, len(rows))))
        plain = write(model, Recipe("float32"), codes, WEIGHT_LIMIT)
        for name, kind in PEERS.items() if peer else ():
            answers = by_peer(peer or "", kind, plain, codes, cache)
            found.append(judge(name, said(model.architecture, windows, rows, answers)))
    return found


def recipes(model: ElectraModel, windows: Windows, codes: NDArray[np.int8]) -> dict[str, Recipe]:
    """Every calibrator alone, and what the search makes of them."""
    form = Form("", model, judged(model, np.asarray(windows.codes[model.calibration_rows][:512])))
    best, _ = best_in_integers(Quantization(), form, codes, WEIGHT_LIMIT)
    alone = {f"ours, {c}": Recipe("int8", c) for c in ("minmax", "percentile", "mse", "kl")}
    return alone | {f"ours, searched: {best.name.removeprefix('int8 ')}": best}


def metrics(
    workspace: Workspace, model: ElectraModel, windows: Windows, rows: NDArray[np.int64], floats: Floats
) -> dict[str, float]:
    codes = np.asarray(windows.codes[rows])
    logits = {task: found + (model.wide[task].nats(codes) if task in model.wide else 0) for task, found in floats.logits.items()}
    classes = {task: found.argmax(axis=1).astype(np.int8) for task, found in logits.items()}
    scores = reference.raw_score(model, codes, floats) if model.has_anomaly else None
    got = evaluate(workspace, windows, rows, scores, classes, reference.values(model.architecture, floats))
    return {name: value for name, value in got.items() if name.endswith(HEADLINES)}


def said(architecture: Architecture, windows: Windows, rows: NDArray[np.int64], answers: Answers) -> Floats:
    return floats_of(architecture, answers(reference.inputs(architecture, np.asarray(windows.codes[rows]))), len(rows))


def floats_of(architecture: Architecture, found: dict[str, NDArray[np.float32]], count: int) -> Floats:
    heads = architecture.heads
    return Floats(
        found["correction"].reshape(count, architecture.steps, architecture.channels),
        found["embedding"].reshape(count, -1),
        {h.task: found[h.output].reshape(count, -1) for h in heads if h.classes},
        {h.task: found[h.output].reshape(count) for h in heads if not h.classes},
    )


def tflite_answers(data: bytes) -> Answers:
    """A .tflite of any types, from floats to floats."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    (entry,) = runner.get_input_details().values()
    exits = runner.get_output_details()

    def run(x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in exits}
        for window in x:
            interpreter.set_tensor(entry["index"], _coded(window[None, None], entry))
            interpreter.invoke()
            for name, detail in exits.items():
                rows[name].append(_in_floats(interpreter.get_tensor(detail["index"]), detail))
        return {name: np.stack(found) for name, found in rows.items()}

    return run


def onnx_answers(data: bytes) -> Answers:
    import onnxruntime as ort

    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda x: dict(zip(names, session.run(names, {"input": x}), strict=True))


def by_peer(peer: str, kind: str, plain: Written, codes: NDArray[np.int8], cache: Path) -> Answers:
    """The float network quantised by another tool's defaults in its own interpreter."""
    source, target = cache / f"{kind}.float", cache / f"{kind}.int8"
    if kind == "ai-edge":
        source.write_bytes(litert.tflites([plain], cache)[0])
    else:
        source.write_bytes(onnx_runtime.float_graph(plain).SerializeToString())
    np.save(cache / "x.npy", reference.inputs(plain.architecture, codes))
    script = Path(__file__).with_name("calibration_peer.py")
    done = subprocess.run([peer, script, kind, source, cache / "x.npy", target], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-2000:]}")
    return tflite_answers(target.read_bytes()) if kind == "ai-edge" else onnx_answers(target.read_bytes())


def as_table(name: str, rows: list[Row]) -> str:
    columns = list(rows[0].metrics)
    lines = [f"| {name}, int8 | signal to noise, dB | {' | '.join(columns)} |", f"|---|---:|{'---:|' * len(columns)}"]
    for row in rows:
        cells = " | ".join(f"{row.metrics[column]:.3f}" for column in columns)
        noise = "-" if row.method == "float32" else f"{row.noise_db:.1f}"
        lines.append(f"| {row.method} | {noise} | {cells} |")
    return "\n".join(lines)


def _coded(x: NDArray[np.float32], detail: dict[str, object]) -> NDArray[np.generic]:
    scale, zero = detail["quantization"]  # type: ignore[misc]
    return x if not scale else np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)


def _in_floats(x: NDArray[np.generic], detail: dict[str, object]) -> NDArray[np.float32]:
    scale, zero = detail["quantization"]  # type: ignore[misc]
    return np.asarray(x, np.float32) if not scale else ((x.astype(np.float32) - zero) * np.float32(scale))


if __name__ == "__main__":
    main()
