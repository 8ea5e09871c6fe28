"""Compile an imported model for one hardware profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from components.quantization.imported.litert import answers
from components.quantization.operators import check_operators
from components.quantization.targets.c99 import check_interface
from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.tensors import tensor_sources
from components.runtime.integers import Graph
from components.runtime.interpreter import infer
from components.values.compiled import CompiledModel, Golden
from components.values.imported import Codes, ImportedModel
from components.workspace.errors import InputError
from components.workspace.profiles import Profile

MOST_VECTORS = 256
_LEAST_VECTORS = 4
_MOST_MACS = 1 << 32  # that more golden vectors may take together
_SELF_TEST_BYTES = 32 << 10  # of flash, where the self-test is linked


def build_imported(model: ImportedModel, profile: Profile) -> CompiledModel:
    """C sources of a c99 profile, or the .tflite as it is of a litert one; both with golden vectors.

    Raises:
        InputError: the profile has another runtime, or wants a newer interface.
        GateFailed: the profile does not allow an operator of the model.
    """
    check_operators(profile, frozenset(model.operators))
    graph = read_graph(model.data)
    inputs = _chosen(model.examples, min(MOST_VECTORS, max(_LEAST_VECTORS, _MOST_MACS // max(model.macs, 1))))
    about = (model.name, profile.name, profile.runtime.name, profile.runtime.minimal, model.digest)
    ends = (model.input, model.outputs, model.classes, model.macs)
    if profile.runtime.name == "c99":
        check_interface(profile)
        made = CompiledModel(*about, *ends, {}, Golden(inputs, exact(graph, inputs)))
        tested = _self_test(made.golden, profile.proof.vectors)
        sources = tensor_sources(
            graph, f"{model.name} for {profile.name}", model.digest, tested.inputs, tested.outputs, model.classes
        )
        return replace(made, members=sources)
    if profile.runtime.name == "litert":
        golden = Golden(inputs, answers(model.data, inputs, model.input, model.outputs))
        return CompiledModel(*about, *ends, {"model.tflite": model.data}, golden)
    raise InputError(
        f"profile '{profile.name}': an imported .tflite does not run on {profile.runtime.name}",
        hint="take a profile whose runtime.name is c99 or litert",
    )


def exact(graph: Graph, inputs: Codes) -> Codes:
    """What C must answer: (vectors, size of all outputs)."""
    return np.concatenate(list(infer(graph, inputs).values()), axis=1)


def _self_test(golden: Golden, most: int) -> Golden:
    """As many vectors as fit the flash that a self-test may take, at least two."""
    size = golden.inputs[0].nbytes + golden.outputs[0].nbytes
    count = max(2, min(most, _SELF_TEST_BYTES // size))
    return Golden(_chosen(golden.inputs, count), _chosen(golden.outputs, count))


def _chosen(rows: Codes, most: int) -> Codes:
    """Evenly spread rows, first and last among them."""
    return np.ascontiguousarray(rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)])
