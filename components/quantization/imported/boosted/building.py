"""Compile imported boosted trees for one hardware profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from components.quantization.imported.boosted.integers import integer_trees
from components.quantization.imported.boosted.xgboost_file import read_ensemble
from components.quantization.operators import check_operators, of_onnx
from components.quantization.targets.c99 import check_interface
from components.quantization.targets.c99.rows import row_sources
from components.quantization.targets.onnx_ensemble import ensemble_graph
from components.runtime.ensemble import Ensemble, labels
from components.values.compiled_trees import CompiledTrees, GoldenRows
from components.values.imported_trees import ImportedTrees
from components.workspace.errors import GateFailed, InputError, VerificationFailed
from components.workspace.profiles import Profile

LEAST_AGREEMENT = 0.999
"""Share of rows with the class of the imported model: what is lost to whole samples and leaves stays below it."""
_CALLED = {"litert": "LiteRT", "openvino": "OpenVINO"}
_SELF_TEST_BYTES = 32 << 10  # of flash, where the self-test is linked


def build_trees(model: ImportedTrees, profile: Profile) -> CompiledTrees:
    """C sources of a c99 profile, or a .onnx of an onnxruntime one; both with golden rows.

    Raises:
        InputError: the profile has another runtime, or wants a newer interface.
        GateFailed: the profile does not allow an operator, or too many rows get another class in integers.
        VerificationFailed: the examples are of another model.
    """
    ensemble = read_ensemble(model.data)
    if model.examples.shape[1] != ensemble.features:
        raise VerificationFailed(f"{model.name}: examples are of another model", hint="import the model again")
    if profile.runtime.name == "c99":
        made = _c(model, ensemble, profile)
    elif profile.runtime.name == "onnxruntime":
        made = _onnx(model, ensemble, profile)
    else:
        raise InputError(
            f"profile '{profile.name}': {_CALLED[profile.runtime.name]} has no trees",
            hint="set its runtime.name to onnxruntime or c99",
        )
    same = agreement(made, made.golden.outputs)
    if same < LEAST_AGREEMENT:
        raise GateFailed(
            f"{model.name}: {same:.2%} of {len(made.golden.inputs):,} rows keep their class, of {LEAST_AGREEMENT:.1%} that must",
            hint="import it with a finer --lsb, with --sample-bits 32, or with examples as the device's converter gives them",
        )
    return made


def agreement(made: CompiledTrees, margins: np.ndarray) -> float:
    """Share of golden rows for which ``margins`` say the class that the imported model says."""
    return float((labels(made.tree_kind, margins) == labels(made.tree_kind, made.golden.trained)).mean())


def _c(model: ImportedTrees, ensemble: Ensemble, profile: Profile) -> CompiledTrees:
    check_interface(profile)
    trees, raw = integer_trees(ensemble, model.sampling), model.sampling.raw(model.examples)
    size = raw.itemsize * ensemble.features + 4 * len(ensemble.bias)
    count = max(2, min(profile.proof.vectors, _SELF_TEST_BYTES // size, len(raw)))
    tested = raw[np.linspace(0, len(raw) - 1, count).astype(int)]
    title = f"{model.name} for {profile.name}"
    members = row_sources(trees, title, model.digest, model.sampling, ensemble.names, model.classes, tested)
    golden = GoldenRows(raw, trees.margins(raw), ensemble.margins(model.examples))
    made = _compiled(model, ensemble, profile, trees.bits, members, golden)
    return replace(made, sampling=model.sampling)


def _onnx(model: ImportedTrees, ensemble: Ensemble, profile: Profile) -> CompiledTrees:
    data = ensemble_graph(ensemble)
    check_operators(profile, of_onnx(data))
    trained = ensemble.margins(model.examples)
    golden = GoldenRows(model.examples, trained.astype(np.float32), trained)
    return _compiled(model, ensemble, profile, 0, {"model.onnx": data}, golden)


def _compiled(
    model: ImportedTrees, ensemble: Ensemble, profile: Profile, bits: int, members: dict[str, bytes], golden: GoldenRows
) -> CompiledTrees:
    return CompiledTrees(
        name=model.name,
        profile=profile.name,
        runtime=profile.runtime.name,
        runtime_minimal=profile.runtime.minimal,
        model_digest=model.digest,
        tree_kind=ensemble.kind,
        classes=model.classes,
        bits=bits,
        members=members,
        golden=golden,
        features=ensemble.names,
    )
