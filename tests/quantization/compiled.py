"""Compile many networks into one library, each under a name of its own, and run them."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.tensors import tensor_sources
from components.runtime.integers import Graph

STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic")


class Library:
    """``files``: .tflite, or graphs, of one input and one output each."""

    def __init__(self, folder: Path, files: Sequence[bytes | Graph], compiler: str = "gcc", *flags: str) -> None:
        sources = []
        for i, given in enumerate(files):
            graph = given if isinstance(given, Graph) else read_graph(given)
            size = graph.tensors[graph.input].size, sum(graph.tensors[t].size for t in graph.outputs.values())
            kinds = [f"int{graph.tensors[t].bits}" for t in (graph.input, *graph.outputs.values())][:2]
            nothing = [np.zeros((1, n), kind) for n, kind in zip(size, kinds, strict=True)]
            made = tensor_sources(graph, f"network {i}", "0" * 64, nothing[0], nothing[1])
            place = folder / str(i)
            place.mkdir(parents=True)
            for name in ("model.h", "model.c"):
                (place / name).write_bytes(made[name])
            other = f"#define model_run model_run_{i}\n#define model_input model_input_{i}\n"
            (place / "network.c").write_text(f'{other}#include "model.c"\n')
            sources.append(str(place / "network.c"))
        made_library = folder / "networks.so"
        subprocess.run([compiler, *STRICT, *flags, "-shared", "-fPIC", *sources, "-o", made_library], check=True)
        self._c = ctypes.CDLL(str(made_library))

    def run(self, number: int, codes: np.ndarray, size: int, kind: type = np.int8) -> np.ndarray:
        """(rows, inputs) -> (rows, ``size``) of ``kind``."""
        run = self._c[f"model_run_{number}"]
        outputs = np.zeros((len(codes), size), kind)
        for row, out in zip(np.ascontiguousarray(codes), outputs, strict=True):
            run(row.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p))
        return outputs
