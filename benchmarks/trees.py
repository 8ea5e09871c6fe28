"""XGBoost on an emulated Cortex-M4: tables of Muster beside the C of treelite and tl2cgen.

    python -m benchmarks.trees --peer PYTHON [--data train.parquet] [--write docs/benchmarks.md]

PYTHON is an interpreter with treelite and tl2cgen. --data is the training part of NASA's C-MAPSS (FD001 to FD004), one row a
cycle: the models tell classes of remaining life on engines that they have not seen. Without it, there is a synthetic set alone.
Flash is text, constants and data of the compiled model, without softmax's `expf` for the peer; all with `-O2`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb

from benchmarks.microcontroller import PROFILE
from components.quantization.imported.boosted.building import build_trees
from components.quantization.imported.boosted.importing import import_trees
from components.quantization.imported.boosted.integers import integer_trees
from components.quantization.imported.boosted.proving import prove_trees
from components.quantization.imported.boosted.xgboost_file import read_ensemble
from components.quantization.levels import board
from components.quantization.targets.c99 import image
from components.runtime.ensemble import labels
from components.runtime.sampling import SampleBits
from components.workspace.files import write_text

MARK = "<!-- measured: trees -->"
EDGES = (25, 50, 75, 125)  # cycles of remaining life between the classes
SYNTHETIC = (-1.5, -0.4, 0.4, 1.5)
MODELS: dict[str, dict[str, Any]] = {
    "5 classes, 40 rounds, depth 4": {"objective": "multi:softprob", "num_class": 5, "max_depth": 4, "rounds": 40},
    "2 classes, 100 rounds, depth 6": {"objective": "binary:logistic", "max_depth": 6, "rounds": 100},
}
CONSTANTS = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-std=c99", "-O2")
VECTORS = 16


@dataclass(frozen=True)
class Sets:
    """Rows to learn from and rows that are kept back, with classes 0 to 4."""

    name: str
    x: np.ndarray
    y: np.ndarray
    held_x: np.ndarray


@dataclass(frozen=True)
class Side:
    """Bytes, instructions of the longest of `VECTORS` rows, and share of kept-back rows with XGBoost's class."""

    flash: int
    instructions: int
    equal: float


@dataclass(frozen=True)
class Row:
    name: str
    nodes: int
    ours: Side
    wide: Side
    plain: Side
    quantized: Side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="interpreter with treelite and tl2cgen")
    parser.add_argument("--data", type=Path, help="train.parquet of C-MAPSS")
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    arguments = parser.parse_args()
    sets = [synthetic(), *([engines(arguments.data)] if arguments.data else [])]
    table = as_table([measured(one, name, arguments.peer) for one in sets for name in MODELS])
    print(table)
    if arguments.write:
        before, _, after = arguments.write.read_text().partition(MARK)
        write_text(arguments.write, f"{before}{MARK}\n{table}\n{MARK}{after.partition(MARK)[2]}")


def synthetic() -> Sets:
    x = np.random.default_rng(0).normal(size=(20_000, 24)).astype(np.float32)
    y = np.digitize(x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * x[:, 3], SYNTHETIC)
    return Sets("synthetic", x[::2], y[::2], x[1::2])


def engines(file: Path) -> Sets:
    rows = pd.read_parquet(file)
    engine = rows.groupby(["subset", "unit"]).ngroup().to_numpy()
    life = rows.groupby(engine)["cycle"].transform("max").to_numpy() - rows["cycle"].to_numpy()
    x, y = rows.drop(columns=["subset", "unit", "cycle"]).to_numpy(np.float32), np.digitize(life, EDGES)
    held = engine % 5 == 0
    return Sets("C-MAPSS", x[~held], y[~held], x[held])


def measured(sets: Sets, name: str, peer: Path) -> Row:
    sys.stderr.write(f"{sets.name}, {name} ...\n")
    settings = dict(MODELS[name])
    rounds = settings.pop("rounds")
    target = sets.y if "num_class" in settings else sets.y < 2
    booster = xgb.train(settings | {"nthread": 1, "seed": 0}, xgb.DMatrix(sets.x, target), rounds)
    margins = booster.predict(xgb.DMatrix(sets.held_x), output_margin=True).reshape(len(sets.held_x), -1)
    with tempfile.TemporaryDirectory(prefix="muster-trees-") as place:
        folder = Path(place)
        booster.save_model(folder / "model.json")
        ensemble = read_ensemble((folder / "model.json").read_bytes())
        wanted = labels(ensemble.kind, margins)
        np.save(folder / "rows.npy", sets.held_x)
        np.save(folder / "seen.npy", sets.x)
        script = Path(__file__).with_name("trees_peer.py")
        command = [str(peer), str(script), *(str(folder / part) for part in ("model.json", "rows.npy", "."))]
        subprocess.run(command, check=True, capture_output=True)
        same = float((labels(ensemble.kind, np.load(folder / "margins.npy")) == wanted).mean())
        sides = [theirs(folder / kind, sets.held_x[:VECTORS], same) for kind in ("plain", "quantized")]
        own = [ours(folder, sets.held_x, wanted, bits) for bits in (16, 32)]
        return Row(f"{sets.name}: {name}", int(ensemble.inner.sum()), *own, *sides)


def ours(folder: Path, rows: np.ndarray, wanted: np.ndarray, bits: SampleBits) -> Side:
    """Through import, build and proof; the C repeats `integer_trees` on all rows that it learned its scales from."""
    model = import_trees(folder / "model.json", "model", examples=folder / "seen.npy", bits=bits)
    profile = PROFILE.model_copy(update={"proof": PROFILE.proof.model_copy(update={"vectors": VECTORS})})
    proof = prove_trees(build_trees(model, profile), profile)
    assert proof.level == "emulated" and proof.passed, proof
    trees = integer_trees(read_ensemble(model.data), model.sampling)
    got = labels(trees.kind, trees.margins(model.sampling.raw(rows)))
    checks = {check.name: int(check.value) for check in proof.checks}
    return Side(checks["flash"], checks["instructions"], float((got == wanted).mean()))


def theirs(folder: Path, rows: np.ndarray, equal: float) -> Side:
    on = board(PROFILE)
    on = replace(on, toolchain=replace(on.toolchain, libraries=("-nostdlib", "-lm", "-lc", "-lgcc")))
    (folder / "model.h").write_text(f"#define MODEL_VECTORS {len(rows)}\nint model_selftest_vector(int vector);\n")
    numbers = ",\n".join("{" + ", ".join(f"{v:.9g}f" if "." in f"{v:.9g}" else f"{v:.1f}f" for v in row) + "}" for row in rows)
    size = rows.shape[1]
    (folder / "model_selftest.c").write_text(
        f'#include "model.h"\n#include "header.h"\nstatic const float ROWS[][{size}] = {{{numbers}}};\n'
        "int model_selftest_vector(int vector)\n{\n"
        f"    union Entry row[{size}];\n    float out[8] = {{0}};\n"
        f"    for (int i = 0; i < {size}; i++) row[i].fvalue = ROWS[vector][i];\n"
        "    predict(row, 1, out);\n    return out[0] != out[0];\n}\n"
    )
    parts = sorted(p.name for p in folder.glob("*.c") if p.name != "model_selftest.c")
    objects = [Path(part).with_suffix(".o").name for part in parts]
    image.compile_c(["arm-none-eabi-gcc", *CONSTANTS, "-c", *parts, "model_selftest.c"], folder)
    image.compile_c(["arm-none-eabi-gcc", *CONSTANTS, "-r", "-nostdlib", *objects, "-o", "model.o"], folder)
    ran = image.self_test(on, "cortex-m4", folder)
    return Side(image.sections(on, folder, ("model.o",)).flash, ran.instructions or 0, equal)


def as_table(rows: list[Row]) -> str:
    head = (
        "| model | inner nodes | flash: Muster | 32-bit samples | tl2cgen | tl2cgen, quantized | Muster's share of the smaller "
        "| instructions a row: Muster | tl2cgen | tl2cgen, quantized | XGBoost's class: Muster | 32-bit samples | tl2cgen |"
    )
    lines = [
        f"| {r.name} | {r.nodes:,} | {r.ours.flash:,} | {r.wide.flash:,} | {r.plain.flash:,} | {r.quantized.flash:,} "
        f"| {r.ours.flash / min(r.plain.flash, r.quantized.flash):.2f} | {r.ours.instructions:,} | {r.plain.instructions:,} "
        f"| {r.quantized.instructions:,} | {r.ours.equal:.3%} | {r.wide.equal:.3%} | {r.plain.equal:.3%} |"
        for r in rows
    ]
    return "\n".join([head, "|---|" + "---:|" * 12, *lines])


if __name__ == "__main__":
    main()
