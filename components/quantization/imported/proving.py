"""Run a compiled model in its runtime, and measure it against its profile."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.quantization.boards import Board, host_board
from components.quantization.checks import at_least, at_most
from components.quantization.estimates import estimates
from components.quantization.imported import litert
from components.quantization.imported.building import exact
from components.quantization.levels import board, family, host_compiler, reach
from components.quantization.targets.c99 import image
from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.text import kernel
from components.values import Check, Proof
from components.values.compiled import CompiledModel
from components.workspace.errors import GateFailed, InputError
from components.workspace.profiles import Profile


@dataclass(frozen=True)
class _Ran:
    """``ram``: static memory, and the stack where a board measured it."""

    machine: str
    mismatches: int
    flash: int
    ram: int
    instructions: int | None = None
    missing: str = ""


def prove_compiled(made: CompiledModel, profile: Profile) -> Proof:
    """Raises:
    InputError: it was built for another profile.
    GateFailed: a compiler refuses its sources, or the program does not come to its end.
    """
    if (made.profile, made.runtime) != (profile.name, profile.runtime.name):
        raise InputError(
            f"the artefact was built for profile '{made.profile}' ({made.runtime}), not for '{profile.name}'",
            hint="build it for this profile, or name the profile it was built for",
        )
    return _prove_c(made, profile) if made.runtime == "c99" else _prove_litert(made, profile)


def _prove_c(made: CompiledModel, profile: Profile) -> Proof:
    reached, compiler = reach(profile), host_compiler()
    about = (profile.name, made.runtime, made.sha256)
    if compiler is None:
        return Proof(*about, "none", "no C compiler", (), reached.missing)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for member, data in made.members.items():
            (folder / member).write_bytes(data)
        host = host_board(compiler, family())
        wrong = _on_host(host, profile, folder, made)
        level, ran = reached.level, _tested(host, profile, folder, "")
        if level == "emulated":
            level, ran = _emulated(board(profile), profile, folder, ran)
    memory, budget = profile.memory, profile.budget
    checks = [
        at_most("self_test_mismatches", ran.mismatches, 0, "vectors"),
        at_most("host_mismatches", wrong, 0, f"of {len(made.golden.inputs)} vectors"),
        at_most("flash", ran.flash, memory.model_flash_kib * 1024, "bytes"),
        at_most("ram", ran.ram, memory.model_ram_kib * 1024, "bytes"),
        *_counted(made, ran.instructions, budget.max_instructions),
        *estimates(budget, ran.instructions),
    ]
    return Proof(*about, level, ran.machine, tuple(checks), ran.missing or reached.missing)


def _counted(made: CompiledModel, instructions: int | None, limit: int | None) -> list[Check]:
    if instructions is None:
        return []
    checks = [at_most("instructions", instructions, limit, "instructions an inference")]
    return [*checks, at_most("instructions_per_mac", instructions / made.macs, None)] if made.macs else checks


def _emulated(on: Board, profile: Profile, folder: Path, before: _Ran) -> tuple[str, _Ran]:
    try:
        return "emulated", _tested(on, profile, folder, f"; golden vectors: {before.machine}")
    except image.TooSmall as error:
        return "host-compiled", _Ran(before.machine, before.mismatches, before.flash, before.ram, missing=str(error))


def _on_host(on: Board, profile: Profile, folder: Path, made: CompiledModel) -> int:
    """How many golden vectors come out wrong here."""
    (folder / "host.c").write_text(kernel("tensors_host.c"))
    image.compiled(on, profile.arch.cpu, folder)
    command = image.program(on, profile.arch.cpu, folder, "host.c")
    data = made.golden.inputs.tobytes()
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=image.TIME_LIMIT_S)
    got = np.frombuffer(done.stdout, np.int8)
    if done.returncode or got.size != made.golden.outputs.size:
        raise GateFailed(f"the compiled model ended with {done.returncode}", hint="report this with the artefact")
    return int((got.reshape(made.golden.outputs.shape) != made.golden.outputs).any(axis=1).sum())


def _tested(on: Board, profile: Profile, folder: Path, beside: str) -> _Ran:
    """The self-test on ``on``. Sizes are of the model alone: a firmware links the self-test only where it calls it."""
    cpu = profile.arch.cpu
    image.compiled(on, cpu, folder)
    size = image.sections(on, folder, ("model.o",))
    ran = image.self_test(on, cpu, folder)
    name = f"QEMU {on.machine} ({cpu}), self-test" if on.bare else f"{on.toolchain.compiler.program} on {platform.machine()}"
    return _Ran(f"{name}{beside}", ran.mismatches, size.flash, size.static + ran.stack, ran.instructions)


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


def _agreement(made: CompiledModel, profile: Profile, got: NDArray[np.int8], wanted: NDArray[np.int8]) -> list[Check]:
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
