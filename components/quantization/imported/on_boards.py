"""Run compiled C sources: golden inputs on this machine, the self-test on the board of the profile."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.quantization.boards import Board, host_board
from components.quantization.checks import at_most
from components.quantization.estimates import estimates
from components.quantization.levels import board, family, host_compiler, reach
from components.quantization.targets.c99 import image
from components.quantization.targets.c99.text import kernel
from components.values import Check
from components.workspace.errors import GateFailed
from components.workspace.profiles import Profile

NO_COMPILER = "no C compiler"


@dataclass(frozen=True)
class Ran:
    """``said``: what the program on this machine wrote. ``ram``: static memory, and the stack where a board measured it."""

    level: str
    machine: str
    said: bytes
    mismatches: int
    flash: int
    ram: int
    instructions: int | None = None
    missing: str = ""


def run_sources(members: Mapping[str, bytes], profile: Profile, program: str, data: bytes) -> Ran | None:
    """Compile ``members`` with the kernel text ``program``, which reads ``data``; None: there is no C compiler.

    Raises:
        GateFailed: a compiler refuses the sources, or the program does not come to its end.
    """
    reached, compiler = reach(profile), host_compiler()
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for member, content in members.items():
            (folder / member).write_bytes(content)
        host = host_board(compiler, family())
        said = _on_host(host, profile, folder, program, data)
        ran = replace(_tested(host, profile, folder, ""), said=said, level=reached.level, missing=reached.missing)
        return _emulated(board(profile), profile, folder, ran) if reached.level == "emulated" else ran


def board_checks(ran: Ran, profile: Profile) -> list[Check]:
    """Self-test, sizes, instructions and the times that follow, against the budgets of ``profile``."""
    memory, budget = profile.memory, profile.budget
    checks = [
        at_most("self_test_mismatches", ran.mismatches, 0, "vectors"),
        at_most("flash", ran.flash, memory.model_flash_kib * 1024, "bytes"),
        at_most("ram", ran.ram, memory.model_ram_kib * 1024, "bytes"),
    ]
    if ran.instructions is not None:
        checks.append(at_most("instructions", ran.instructions, budget.max_instructions, "instructions an inference"))
    return checks + estimates(budget, ran.instructions)


def _emulated(on: Board, profile: Profile, folder: Path, before: Ran) -> Ran:
    try:
        ran = _tested(on, profile, folder, f"; golden vectors: {before.machine}")
    except image.TooSmall as error:
        return replace(before, level="host-compiled", missing=str(error))
    return replace(ran, said=before.said, level=before.level, missing=before.missing)


def _on_host(on: Board, profile: Profile, folder: Path, program: str, data: bytes) -> bytes:
    (folder / "host.c").write_text(kernel(program))
    image.compiled(on, profile.arch.cpu, folder)
    command = image.program(on, profile.arch.cpu, folder, "host.c")
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=image.TIME_LIMIT_S)
    if done.returncode:
        raise GateFailed(f"the compiled model ended with {done.returncode}", hint="report this with the artefact")
    return done.stdout


def _tested(on: Board, profile: Profile, folder: Path, beside: str) -> Ran:
    """The self-test on ``on``. Sizes are of the model alone: a firmware links the self-test only where it calls it."""
    cpu = profile.arch.cpu
    image.compiled(on, cpu, folder)
    size = image.sections(on, folder, ("model.o",))
    ran = image.self_test(on, cpu, folder)
    name = f"QEMU {on.machine} ({cpu}), self-test" if on.bare else f"{on.toolchain.compiler.program} on {platform.machine()}"
    return Ran("", f"{name}{beside}", b"", ran.mismatches, size.flash, size.static + ran.stack, ran.instructions)
