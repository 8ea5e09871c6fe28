"""Int8 networks on an emulated Cortex-M4: generated C beside TensorFlow Lite Micro.

    python -m benchmarks.microcontroller [--models FILE.tflite ...] [--vectors 1000] [--write docs/benchmarks.md]

Without --models, the four networks of `benchmarks/tiny_shapes.py`. Flash, arena, RAM with stack and instructions are those
of `muster artefact prove`; the bytes of random inputs are compared with those of the reference kernels of TensorFlow Lite
Micro, whose arena is what its recording allocator says on this machine, where pointers take 8 bytes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.quantization.imported.building import build_imported
from components.quantization.imported.importing import import_model
from components.quantization.imported.proving import prove_compiled
from components.quantization.targets.c99.arena import plan
from components.quantization.targets.c99.graph import read_graph
from components.runtime.integers import Graph, Layer
from components.runtime.interpreter import infer
from components.workspace.files import write_text
from components.workspace.profiles import Profile

MARK = "<!-- measured: microcontroller -->"
PROFILE = Profile.model_validate(
    {
        "name": "cortex-m4",
        "description": "an emulated board with room for everything",
        "arch": {"family": "armv7e-m", "cpu": "cortex-m4", "features": ("dsp",)},
        "memory": {"model_flash_kib": 4096.0, "model_ram_kib": 4096.0},
        "runtime": {"name": "c99", "minimal": "1.0"},
        "proof": {"machine": "mps2-an386", "vectors": 4},
    }
)


@dataclass(frozen=True)
class Row:
    """Bytes, multiply-accumulates and instructions of one network; ``equal``: share of vectors with the bytes of TFLM."""

    name: str
    macs: int
    weights: int
    flash: int
    arena: int
    ram: int
    tflm_arena: int
    per_mac: float
    equal: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", help=".tflite files")
    parser.add_argument("--vectors", type=int, default=1000)
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="muster-tiny-") as folder:
        files = arguments.models or made(Path(folder))
        table = as_table([measured(file, arguments.vectors) for file in files], arguments.vectors)
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def made(folder: Path) -> list[Path]:
    subprocess.run([sys.executable, "-m", "benchmarks.tiny_shapes", str(folder)], check=True, capture_output=True)
    return sorted(folder.glob("*.tflite"))


def measured(file: Path, vectors: int) -> Row:
    sys.stderr.write(f"{file.stem} ...\n")
    proof = prove_compiled(build_imported(import_model(file, file.stem), PROFILE), PROFILE)
    assert proof.level == "emulated" and proof.passed, proof
    checks, graph = {c.name: c.value for c in proof.checks}, read_graph(file.read_bytes())
    return Row(
        name=file.stem,
        macs=graph.macs,
        weights=weight_bytes(graph),
        flash=int(checks["flash"]),
        arena=plan(graph, keep_input=False).size,
        ram=int(checks["ram"]),
        tflm_arena=tflm_arena(file),
        per_mac=checks["instructions_per_mac"],
        equal=equal_bytes(file, graph, vectors),
    )


def weight_bytes(graph: Graph) -> int:
    """Weights in one byte and biases in four, as any runtime holds them."""
    return sum(o.weights.size + 4 * o.bias.size for o in graph.operations if isinstance(o, Layer))


def equal_bytes(file: Path, graph: Graph, vectors: int) -> float:
    """Share of random inputs on which TensorFlow Lite Micro gives the same bytes; C repeats ``graph`` (its proof says so)."""
    from tflite_micro import runtime

    oracle = runtime.Interpreter.from_file(str(file))
    size, shape = graph.tensors[graph.input].size, oracle.get_input_details(0)["shape"]
    codes = np.random.default_rng(1).integers(-128, 128, (vectors, size)).astype(np.int8)
    (ours,) = infer(graph, codes).values()
    same = 0
    for row, answer in zip(codes, ours, strict=True):
        oracle.set_input(row.reshape(shape), 0)
        oracle.invoke()
        same += np.array_equal(np.ravel(oracle.get_output(0)), answer)
    return same / vectors


def tflm_arena(file: Path) -> int:
    code = "import sys; from tflite_micro import runtime as r; r.Interpreter.from_file(sys.argv[1]).print_allocations()"
    done = subprocess.run([sys.executable, "-c", code, str(file)], check=True, capture_output=True, text=True)
    found = re.search(r"Arena allocation total (\d+) bytes", done.stdout + done.stderr)
    assert found, "no allocations printed"
    return int(found[1])


def as_table(rows: list[Row], vectors: int) -> str:
    head = (
        "| network | multiply-accumulates | weights and biases | flash beyond them | arena | RAM with stack "
        f"| arena of TFLM | instructions a multiply-accumulate | {vectors:,} vectors equal to TFLM |"
    )
    lines = [
        f"| {r.name} | {r.macs:,} | {r.weights:,} | {r.flash - r.weights:,} | {r.arena:,} | {r.ram:,} "
        f"| {r.tflm_arena:,} | {r.per_mac:.2f} | {r.equal:.1%} |"
        for r in rows
    ]
    return "\n".join([head, "|---|" + "---:|" * 8, *lines])


if __name__ == "__main__":
    main()
