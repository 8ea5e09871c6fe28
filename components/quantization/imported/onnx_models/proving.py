"""Run a written ONNX model in ONNX Runtime, and measure it against its profile."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from components.quantization.checks import at_least, at_most
from components.quantization.imported.built_for import check_built_for
from components.quantization.imported.onnx_models.alone import measure
from components.quantization.imported.onnx_models.likeness import agreement, names_classes, parts
from components.quantization.imported.onnx_models.session import Floats
from components.quantization.levels import family, reach
from components.values import Check, Proof
from components.values.compiled_onnx import CompiledOnnx
from components.workspace.profiles import Profile

_TINY = 1e-12


def prove_onnx(made: CompiledOnnx, profile: Profile) -> Proof:
    """Raises:
    InputError: it was built for another profile, or ONNX Runtime does not run it.
    BackendUnreachable: ONNX Runtime is not there.
    """
    check_built_for(made.profile, made.runtime, profile)
    found = measure(made)
    memory = profile.memory
    checks = [
        *_golden(made, found.outputs),
        *_fidelity(made, profile, found.outputs),
        at_most("flash", len(made.data), memory.model_flash_kib * 1024, "bytes"),
        at_most("latency", found.latency_ms, profile.budget.latency_ms, "ms"),
    ]
    if found.ram is not None:
        checks.append(at_most("ram", found.ram, memory.model_ram_kib * 1024, "bytes, growth of the peak"))
    reached = reach(profile)
    machine = f"onnxruntime {version('onnxruntime')} on {family()}"
    return Proof(profile.name, made.runtime, made.sha256, reached.level, machine, tuple(checks), reached.missing)


def _golden(made: CompiledOnnx, got: Floats) -> list[Check]:
    """Vectors of which an output is further from the golden one than its tolerance, or no number."""
    wrong, furthest = np.zeros(len(got), bool), 0.0
    for (_, found, wanted), tolerance in zip(parts(made.outputs, got, made.golden.outputs), made.tolerances, strict=True):
        distance = np.abs(found - wanted).max(axis=1)
        wrong |= ~(distance <= tolerance)
        furthest = max(furthest, float(np.nan_to_num(distance / tolerance, nan=np.inf).max()))
    distance_check = at_most("golden_distance", min(furthest, float(np.finfo(np.float32).max)), None, "tolerances, largest")
    return [at_most("self_test_mismatches", int(wrong.sum()), 0, f"of {len(got)} vectors"), distance_check]


def _fidelity(made: CompiledOnnx, profile: Profile, got: Floats) -> list[Check]:
    """How far the artefact is from the model that was imported."""
    agreed, checks = agreement(made.outputs, made.classes, got, made.golden.wanted), []
    if agreed is not None:
        checks.append(at_least("label_agreement", agreed, profile.numeric.min_label_agreement))
    for port, found, wanted in parts(made.outputs, got, made.golden.wanted):
        if not names_classes(port, made.classes):
            reach = max(float(wanted.max() - wanted.min()), _TINY)
            moved = float(((found - wanted) ** 2).mean(dtype=np.float64)) ** 0.5 / reach
            checks.append(at_most(f"{port.name}/value_shift", moved, profile.numeric.max_value_shift))
    return checks
