"""Compile the C sources of an artefact, alone or with the proof harness of a board, and run that."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from components.quantization.boards import Board
from components.workspace.errors import GateFailed

SOURCES = ("model.c", "model_selftest.c")
TIME_LIMIT_S = 300
_STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-fdata-sections")
_HARNESS = ("harness.c", "port.h", "bare.h")


@dataclass(frozen=True)
class Sections:
    """Bytes of the compiled sources: ``flash`` is text and data, ``static`` data and bss."""

    flash: int
    static: int


@dataclass(frozen=True)
class SelfTestRun:
    """What the harness says. ``stack`` in bytes, the deepest; ``instructions`` of the longest vector, None: not counted.

    ``latency_ms``: median of single vectors, None: emulated, where the clock says nothing.
    """

    mismatches: int
    stack: int
    instructions: int | None
    latency_ms: float | None


class TooSmall(Exception):
    """The emulated board has too little memory for this image; the device's may have enough."""


def compiled(board: Board, cpu: str, folder: Path) -> Sections:
    """Compile model and self-test in ``folder`` for ``board``'s processor.

    Raises:
        GateFailed: the compiler refuses the sources.
    """
    compile_c([*_compiler(board, cpu), "-c", *SOURCES], folder)
    return sections(board, folder, _objects())


def program(board: Board, cpu: str, folder: Path, source: str) -> list[str]:
    """Link the Linux program ``source`` with the compiled model; the command that runs it on ``board``."""
    made = folder / Path(source).stem
    compile_c([*_compiler(board, cpu), source, *_objects(), *board.toolchain.libraries, "-o", str(made)], folder)
    return [*board.command, str(made)]


def self_test(board: Board, cpu: str, folder: Path) -> SelfTestRun:
    """Run the self-test of the compiled model on ``board``.

    Raises:
        TooSmall: the image or its stack does not fit the emulated board.
        GateFailed: the harness did not come to its end.
    """
    _write_harness(board, folder)
    bare = ["-nostartfiles", "-Wl,--gc-sections", "-T", "board.ld"] if board.bare else []
    sources = ["harness.c", *board.toolchain.port, *_objects()]
    try:
        compile_c([*_compiler(board, cpu), *bare, *sources, *board.toolchain.libraries, "-o", "board.elf"], folder)
    except GateFailed as error:
        if over := re.search(r"region `(\w+)' overflowed by (\d+) bytes", str(error)):
            raise TooSmall(_too_small(board, over[1], int(over[2]))) from None
        raise
    said = _said(board, folder)
    if not said["spare"]:
        raise TooSmall(f"a board with more RAM than {board.machine}: the stack does not fit beside the model")
    latency = None if board.command else said["nanoseconds"] / 1e6
    return SelfTestRun(said["mismatches"], said["stack"], said["instructions"] or None, latency)


def compile_c(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "overflowed by" in line or "error" in line]
        first = lines[0] if lines else done.stderr.strip()[:200]
        raise GateFailed(f"{command[0]} refuses the generated sources: {first}", hint="report this with the artefact")


def _compiler(board: Board, cpu: str) -> list[str]:
    chain = board.toolchain
    return [chain.compiler.program, *(flag.format(cpu=cpu) for flag in (*chain.flags, *board.flags)), *_STRICT]


def _objects() -> list[str]:
    return [Path(source).with_suffix(".o").name for source in SOURCES]


def _write_harness(board: Board, folder: Path) -> None:
    shipped = files("components.quantization.targets.c99") / "boards"
    for name in (*_HARNESS, *board.toolchain.port):
        (folder / name).write_text((shipped / name).read_text(encoding="utf-8"))
    if board.code and board.data:
        script = Template((shipped / "board.ld").read_text(encoding="utf-8"))
        places = {"code_origin": board.code.origin, "code_bytes": board.code.size}
        places |= {"data_origin": board.data.origin, "data_bytes": board.data.size}
        (folder / "board.ld").write_text(script.substitute(places, machine=board.machine))


def _said(board: Board, folder: Path) -> dict[str, int]:
    """The lines that the harness prints."""
    command = [*board.command, str(folder / "board.elf")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)
    printed = done.stdout + done.stderr  # semihosting writes to either, by the version of QEMU
    words = [line.split() for line in printed.splitlines()]
    said = {w[0]: int(w[1]) for w in words if len(w) == 2 and w[1].isdigit()}
    if not {"mismatches", "instructions", "stack", "spare"} <= said.keys():
        raise GateFailed(
            f"the self-test on {board.machine} ended with {done.returncode}: {printed.strip()[-200:]}",
            hint="the model may need more stack than the board has, or more instructions than can be counted",
        )
    return said


def _too_small(board: Board, region: str, over: int) -> str:
    found, kind = (board.code, "flash") if region == "CODE" else (board.data, "RAM")
    size = f"{found.size >> 10} KiB of {kind}" if found else kind
    return f"a board with more {kind} than {board.machine}: the image does not fit its {size} by {over:,} bytes"


def sections(board: Board, folder: Path, objects: Sequence[str]) -> Sections:
    """Of compiled ``objects`` in ``folder``."""
    paths = [str(folder / name) for name in objects]
    lines = subprocess.run([board.toolchain.size, *paths], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    text, data, bss = (sum(int(line.split()[i]) for line in lines) for i in range(3))
    return Sections(text + data, data + bss)
