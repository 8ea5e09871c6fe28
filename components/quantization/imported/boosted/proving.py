"""Run compiled boosted trees in their runtime, and measure them against their profile."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.checks import at_least, at_most
from components.quantization.imported.boosted.building import LEAST_AGREEMENT, agreement
from components.quantization.imported.built_for import check_built_for
from components.quantization.imported.on_boards import NO_COMPILER, board_checks, run_sources
from components.quantization.levels import family, reach
from components.values import Check, Proof
from components.values.compiled_trees import CompiledTrees
from components.workspace.errors import GateFailed
from components.workspace.profiles import Profile

_RUNS, _WARM_UP = 300, 20
_ROUNDING = 1e-5  # of the largest margin: sums of leaves in float32, in another order


def prove_trees(made: CompiledTrees, profile: Profile) -> Proof:
    """Raises:
    InputError: they were built for another profile.
    GateFailed: a compiler refuses their sources, or the program does not come to its end.
    """
    check_built_for(made.profile, made.runtime, profile)
    return _prove_c(made, profile) if made.runtime == "c99" else _prove_onnx(made, profile)


def _prove_c(made: CompiledTrees, profile: Profile) -> Proof:
    about, golden = (profile.name, made.runtime, made.sha256), made.golden
    ran = run_sources(made.members, profile, "rows_host.c", golden.inputs.tobytes())
    if ran is None:
        return Proof(*about, "none", NO_COMPILER, (), reach(profile).missing)
    got = np.frombuffer(ran.said, np.int32)
    if got.size != golden.outputs.size:
        raise GateFailed(f"the compiled model put out {got.size} margins", hint="report this with the artefact")
    got = got.reshape(golden.outputs.shape)
    checks = [
        at_most("host_mismatches", _wrong(got != golden.outputs), 0, f"of {len(golden.inputs)} rows"),
        *_fidelity(made, profile, got),
        *board_checks(ran, profile),
    ]
    return Proof(*about, ran.level, ran.machine, tuple(checks), ran.missing)


def _prove_onnx(made: CompiledTrees, profile: Profile) -> Proof:
    session, golden = _session(made.members["model.onnx"]), made.golden
    (got,) = session.run(["margins"], {"features": golden.inputs})
    allowed = rounding(made)
    checks = [
        at_most("self_test_mismatches", _wrong(np.abs(got - golden.outputs) > allowed), 0, f"of {len(golden.inputs)} rows"),
        *_fidelity(made, profile, got),
        at_most("flash", len(made.members["model.onnx"]), profile.memory.model_flash_kib * 1024, "bytes"),
        at_most("latency", _latency_ms(session, golden.inputs), profile.budget.latency_ms, "ms"),
    ]
    reached = reach(profile)
    machine = f"onnxruntime {version('onnxruntime')} on {family()}"
    return Proof(profile.name, made.runtime, made.sha256, reached.level, machine, tuple(checks), reached.missing)


def rounding(made: CompiledTrees) -> float:
    """By how much margins in floats may differ on another processor."""
    return _ROUNDING * max(1.0, float(np.abs(made.golden.outputs).max()))


def _wrong(differs: NDArray[np.bool_]) -> int:
    return int(differs.any(axis=1).sum())


def _fidelity(made: CompiledTrees, profile: Profile, got: NDArray[Any]) -> list[Check]:
    """Classes, or the numbers of a regression, beside those of the imported model."""
    if made.tree_kind != "regression":
        return [at_least("label_agreement", agreement(made, got), LEAST_AGREEMENT)]
    trained = made.golden.trained
    away = np.sqrt(np.mean((np.ldexp(got.astype(np.float64), -made.bits) - trained) ** 2))
    width = float(np.ptp(trained)) or 1.0
    return [at_most("value_shift", float(away) / width, profile.numeric.max_value_shift, "of the range of the values")]


def _session(model: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _latency_ms(session: Any, rows: NDArray[Any]) -> float:
    """Median of single rows on one thread."""
    times = []
    for i in range(_WARM_UP + _RUNS):
        row = rows[i % len(rows)][None]
        start = time.perf_counter_ns()
        session.run(["margins"], {"features": row})
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times[_WARM_UP:])) / 1e6
