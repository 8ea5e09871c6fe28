"""Run a compiled model in its runtime, and measure it against its profile."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from components.quantization.checks import at_least, at_most
from components.quantization.imported import litert
from components.quantization.imported.building import exact
from components.quantization.imported.built_for import check_built_for
from components.quantization.imported.on_boards import NO_COMPILER, board_checks, run_sources
from components.quantization.levels import family, reach
from components.quantization.targets.c99.graph import read_graph
from components.values import Check, Proof
from components.values.compiled import CompiledModel
from components.values.imported import Codes
from components.workspace.errors import GateFailed
from components.workspace.profiles import Profile


def prove_compiled(made: CompiledModel, profile: Profile) -> Proof:
    """Raises:
    InputError: it was built for another profile.
    GateFailed: a compiler refuses its sources, or the program does not come to its end.
    """
    check_built_for(made.profile, made.runtime, profile)
    return _prove_c(made, profile) if made.runtime == "c99" else _prove_litert(made, profile)


def _prove_c(made: CompiledModel, profile: Profile) -> Proof:
    about = (profile.name, made.runtime, made.sha256)
    ran = run_sources(made.members, profile, "tensors_host.c", made.golden.inputs.tobytes())
    if ran is None:
        return Proof(*about, "none", NO_COMPILER, (), reach(profile).missing)
    checks = [
        at_most("host_mismatches", _wrong(ran.said, made), 0, f"of {len(made.golden.inputs)} vectors"),
        *board_checks(ran, profile),
    ]
    if ran.instructions is not None and made.macs:
        checks.append(at_most("instructions_per_mac", ran.instructions / made.macs, None))
    return Proof(*about, ran.level, ran.machine, tuple(checks), ran.missing)


def _wrong(said: bytes, made: CompiledModel) -> int:
    """How many golden vectors came out wrong on this machine."""
    got = np.frombuffer(said, made.golden.outputs.dtype)
    if got.size != made.golden.outputs.size:
        raise GateFailed(f"the compiled model put out {got.size} codes", hint="report this with the artefact")
    return int((got.reshape(made.golden.outputs.shape) != made.golden.outputs).any(axis=1).sum())


def _prove_litert(made: CompiledModel, profile: Profile) -> Proof:
    data, golden = made.members["model.tflite"], made.golden
    got = litert.answers(data, golden.inputs, made.input, made.outputs)
    reference, measured = exact(read_graph(data), golden.inputs), litert.measure(made)
    checks = [
        at_most("self_test_mismatches", int((got != golden.outputs).any(axis=1).sum()), 0, "vectors"),
        at_most("codes_from_exact", int(np.abs(got.astype(int) - reference).max()), None, "largest distance, codes"),
        *_agreement(made, profile, got, reference),
        at_most("flash", len(data), profile.memory.model_flash_kib * 1024, "bytes"),
        at_most("latency", measured.latency_ms, profile.budget.latency_ms, "ms"),
    ]
    if measured.ram is not None:
        checks.append(at_most("ram", measured.ram, profile.memory.model_ram_kib * 1024, "bytes"))
    reached = reach(profile)
    machine = f"ai-edge-litert {version('ai-edge-litert')} on {family()}"
    missing = "; ".join(filter(None, [reached.missing, "" if measured.ram is not None else "Linux, to measure RAM"]))
    return Proof(profile.name, made.runtime, made.sha256, reached.level, machine, tuple(checks), missing)


def _agreement(made: CompiledModel, profile: Profile, got: Codes, wanted: Codes) -> list[Check]:
    """Share of golden vectors with the class of the exact arithmetic, where the model has classes."""
    if not made.classes:
        return []
    at = 0
    for port in made.outputs:
        size = int(np.prod(port.shape))
        if size == len(made.classes):
            pairs = (v[:, at : at + size].argmax(axis=1) for v in (got, wanted))
            return [at_least("label_agreement", float(np.equal(*pairs).mean()), profile.numeric.min_label_agreement)]
        at += size
    return []
