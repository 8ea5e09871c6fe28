"""Compile the C sources of an artefact and run them: on this machine, and on an emulated board when its tools are here."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.quantization.levels import Board, board, host_compiler, reach
from components.quantization.targets import Trial
from components.quantization.targets.c99.text import kernel
from components.runtime.scaling import Scaling
from components.runtime.surprise import Verdict
from components.values import Artefact, Windows
from components.workspace.errors import GateFailed
from components.workspace.profiles import Profile

_STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-fdata-sections"]
_SOURCES = ("model.c", "model_selftest.c")
_TIME_LIMIT_S = 300


def try_c(profile: Profile, artefact: Artefact, windows: Windows, rows: NDArray[np.int64]) -> Trial:
    """Run the held-out windows ``rows`` through the compiled sources, from raw samples on.

    Without a C compiler the level is none; without the Arm compiler and the emulator it is host-compiled, and sizes
    are those of the host's code.

    Raises:
        GateFailed: a compiler refuses the sources.
    """
    reached, compiler = reach(profile), host_compiler()
    if compiler is None:
        return Trial("none", "no C compiler", None, None, None, None, missing=reached.missing)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for member, data in artefact.members.items():
            (folder / member).write_bytes(data)
        trial = _on_host(compiler, folder, artefact, windows, rows)
        if reached.level != "emulated":
            return replace(trial, missing=reached.missing)
        return _on_board(board(profile), folder, trial)


def _on_host(compiler: str, folder: Path, artefact: Artefact, windows: Windows, rows: NDArray[np.int64]) -> Trial:
    (folder / "host.c").write_text(kernel("host.c"))
    program = folder / "host"
    _compile([compiler, *_STRICT, *_SOURCES, "host.c", "-o", str(program)], folder)
    _compile([compiler, *_STRICT, "-c", *_SOURCES], folder)
    order, data = _stream(artefact, windows, rows)
    done = subprocess.run([program], input=data, capture_output=True, check=False, timeout=_TIME_LIMIT_S)
    said = done.stderr.decode().split()
    tasks, numbers = sorted(t for t, classes in artefact.tasks.items() if classes), sorted(artefact.scoring.gauges)
    verdicts = np.frombuffer(done.stdout, np.int32)
    if done.returncode or verdicts.size != len(rows) * (2 + len(tasks) + len(numbers)):
        raise GateFailed(
            f"the compiled model of {artefact.profile} ended with {done.returncode}", hint="report this with the artefact"
        )
    table = np.empty((len(rows), 2 + len(tasks) + len(numbers)), np.int32)
    table[order] = verdicts.reshape(table.shape)
    classes = {task: table[:, 2 + i].astype(np.int8) for i, task in enumerate(tasks)}
    values = {task: table[:, 2 + len(tasks) + i].copy() for i, task in enumerate(numbers)}
    flash, static = _sections("size", folder)
    return Trial(
        level="host-compiled",
        machine=f"{compiler} on {platform.machine()}",
        verdict=Verdict(table[:, 0].copy(), classes, values),
        self_test_mismatches=int(said[1]),
        flash=flash,
        ram=static + int(said[3]),
        note="static memory and the state of one sensor, without stack",
    )


def _on_board(board: Board, folder: Path, trial: Trial) -> Trial:
    """Raise a host-compiled trial to an emulated one."""
    for name in ("cortex_m.c", "cortex_m.ld"):
        (folder / name).write_text((files("components.quantization.targets.c99") / "boards" / name).read_text(encoding="utf-8"))
    arm = ["arm-none-eabi-gcc", f"-mcpu={board.cpu}", "-mthumb", *board.flags, *_STRICT]
    _compile([*arm, "-c", *_SOURCES], folder)
    objects = [Path(s).with_suffix(".o").name for s in _SOURCES]
    link = ["-nostartfiles", "-nostdlib", "-Wl,--gc-sections", "-T", "cortex_m.ld", "cortex_m.c", *objects, "-lc", "-lgcc"]
    _compile([*arm, *link, "-o", "board.elf"], folder)
    flash, static = _sections("arm-none-eabi-size", folder)
    said = _emulate(board.machine, folder)
    return replace(
        trial,
        level="emulated",
        machine=f"QEMU {board.machine} ({board.cpu}), self-test; all held-out windows: {trial.machine}",
        self_test_mismatches=said["mismatches"],
        flash=flash,
        ram=static + said["stack"],
        instructions=said["instructions"],
        note="static memory with the state of one sensor, and the deepest stack of the self-test",
    )


def _emulate(machine: str, folder: Path) -> dict[str, int]:
    """What the board prints. One instruction is one nanosecond to the emulator, so runs are repeatable."""
    command = ["qemu-system-arm", "-M", machine, "-nographic", "-semihosting-config", "enable=on,target=native"]
    command += ["-icount", "shift=0", "-kernel", "board.elf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
    printed = done.stdout + done.stderr  # semihosting writes to either, by the version of QEMU
    words = [line.split() for line in printed.splitlines()]
    said = {w[0]: int(w[1]) for w in words if len(w) == 2 and w[1].isdigit()}
    if not {"mismatches", "instructions", "stack"} <= said.keys():
        raise GateFailed(
            f"the emulated {machine} ended with {done.returncode}: {printed.strip()[-200:]}",
            hint="the model may need more memory than the board has",
        )
    return said


def _compile(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise GateFailed(f"{command[0]} refuses the generated sources: {first}", hint="report this with the artefact")


def _sections(tool: str, folder: Path) -> tuple[int, int]:
    """(flash, static RAM) in bytes of the compiled sources: text and data, data and bss."""
    objects = [str(folder / Path(s).with_suffix(".o")) for s in _SOURCES]
    lines = subprocess.run([tool, *objects], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    text, data, bss = (sum(int(line.split()[i]) for line in lines) for i in range(3))
    return text + data, data + bss


def _stream(artefact: Artefact, windows: Windows, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], bytes]:
    """(order of the windows, input of `host.c`): windows device by device, raw, under the device's scaling."""
    devices = windows.index["device_id"].to_numpy()[rows].astype(str)
    order, parts = [], []
    for device in np.unique(devices):
        mine = np.flatnonzero(devices == device)
        scaling: Scaling = windows.scalings.get(device, artefact.calibration.fallback)
        raw = artefact.converter.raw(windows.values[rows[mine]])
        head = np.asarray([len(mine), *scaling.center, *scaling.multiplier], np.int32)
        parts += [head.tobytes(), raw.tobytes()]
        order.append(mine)
    return np.concatenate(order), b"".join(parts)
