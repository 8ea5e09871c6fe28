"""How long a window takes a gateway: the trained network on ONNX Runtime and LiteRT, in floats and in integers.

    python benchmarks/gateway.py WORKSPACE... [--write docs/benchmarks.md]

Each WORKSPACE has been trained (`muster train`). Bare calls of the runtimes with one window and one thread, all by turns in one
process; the median of each, and its ratio to floats on ONNX Runtime.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from components.models import reference
from components.models.selection import range_windows
from components.quantization.recipes.write import write
from components.quantization.targets import litert, onnx_runtime
from components.values import ElectraModel, TrainedModel, Windows
from components.values.recipe import Recipe
from components.workspace import open_workspace
from components.workspace.files import write_text

MARK = "<!-- measured: gateway -->"
INT8 = Recipe("int8", "minmax")
CASES = (
    ("ONNX Runtime", Recipe("float32")),
    ("ONNX Runtime", INT8),
    *(("LiteRT", recipe) for recipe in (Recipe("float32"), Recipe("dynamic"), INT8)),
)
ROUNDS, WARM_UP = 400, 40

Call = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", type=Path, nargs="+", help="folders of trained workspaces")
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    found = {root.name: measure(root) for root in arguments.workspaces}
    table = as_table(found)
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def measure(root: Path) -> dict[str, float]:
    """Case -> median microseconds."""
    workspace = open_workspace(root)
    model, windows = TrainedModel.load(workspace.out / "train"), Windows.load(workspace.out / "features")
    assert isinstance(model, ElectraModel), "trees are not what is measured here"
    codes = range_windows(windows)
    x = reference.inputs(model.architecture, codes[:1])
    calls: dict[str, Call] = {}
    with tempfile.TemporaryDirectory() as folder:
        for runtime, recipe in CASES:
            written = write(model, recipe, codes, onnx_runtime.WEIGHT_LIMIT if runtime == "ONNX Runtime" else 127)
            if runtime == "ONNX Runtime":
                call = onnx_call(onnx_runtime.compile_network(written).members["model.onnx"], x)
            else:
                call = litert_call(litert.tflites([written], Path(folder))[0], x)
            calls[f"{runtime}, {recipe.precision}"] = call
    took = np.empty((len(calls), ROUNDS + WARM_UP))
    for turn in range(ROUNDS + WARM_UP):
        for number, call in enumerate(calls.values()):
            start = time.perf_counter_ns()
            call()
            took[number, turn] = time.perf_counter_ns() - start
    return dict(zip(calls, np.median(took[:, WARM_UP:], axis=1) / 1000, strict=True))


def onnx_call(data: bytes, x: np.ndarray) -> Call:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda: session.run(names, {"input": x})


def litert_call(data: bytes, x: np.ndarray) -> Call:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    entry, exits = interpreter.get_input_details()[0], interpreter.get_output_details()
    value = x[None].astype(entry["dtype"])

    def call() -> object:
        interpreter.set_tensor(entry["index"], value)
        interpreter.invoke()
        return [interpreter.get_tensor(one["index"]) for one in exits]

    return call


def as_table(found: dict[str, dict[str, float]]) -> str:
    lines = [f"| µs a window | {' | '.join(found)} |", f"|---|{'---:|' * len(found)}"]
    for case in next(iter(found.values())):
        cells = [f"{one[case]:.1f} ({one['ONNX Runtime, float32'] / one[case]:.1f}x)" for one in found.values()]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
