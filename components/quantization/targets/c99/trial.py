"""Run the C sources of an artefact: held-out windows where a program can read them, the self-test on the profile's board."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.quantization.boards import Board, host_board
from components.quantization.levels import board, boards_for, family, host_compiler, reach
from components.quantization.targets import Trial
from components.quantization.targets.c99 import image
from components.quantization.targets.c99.text import kernel
from components.runtime.scaling import Scaling
from components.runtime.surprise import Verdict
from components.values import Artefact, Windows
from components.workspace.errors import GateFailed
from components.workspace.profiles import Profile

WITHOUT_STACK = "static memory and the state of one sensor, without stack"
WITH_STACK = "static memory with the state of one sensor, and the deepest stack of the self-test"


def try_c(profile: Profile, artefact: Artefact, windows: Windows, rows: NDArray[np.int64]) -> Trial:
    """Run the held-out windows ``rows`` through the compiled sources, from raw samples on.

    Without a C compiler the level is none. Without the processor's compiler or the emulator it is host-compiled, and
    sizes are those of the host's code. Where the emulated board has too little memory it is host-compiled too, with the
    sizes of the processor's code.

    Raises:
        GateFailed: a compiler refuses the sources.
    """
    reached, compiler = reach(profile), host_compiler()
    if compiler is None:
        return Trial("none", "no C compiler", None, None, None, None, missing=reached.missing)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(artefact, folder)
        on, host = board(profile) if reached.level != "host-compiled" else None, host_board(compiler, family())
        reader = host if on is None or on.bare else on
        trial = _windows(reader, profile, folder, artefact, windows, rows)
        if on is None:
            return replace(trial, missing=reached.missing)
        return _on_board(on, profile, folder, replace(trial, level=reached.level, missing=reached.missing))


def try_self_test(profile: Profile, artefact: Artefact) -> Trial:
    """Sizes and the self-test alone, without held-out windows.

    Without the emulator, the sizes are those of the processor's own code where its compiler is here, else of the host's.

    Raises:
        GateFailed: a compiler refuses the sources.
    """
    reached, compiler = reach(profile), host_compiler()
    if compiler is None:
        return Trial("none", "no C compiler", None, None, None, None, missing=reached.missing)
    here, runs = host_board(compiler, family()), reached.level != "host-compiled"
    wanted = (board(profile),) if runs else boards_for(profile)
    on = next((b for b in wanted if b.toolchain.compiler.here), here)
    with tempfile.TemporaryDirectory() as name:
        folder, cpu = Path(name), profile.arch.cpu
        unpack(artefact, folder)
        bare = Trial(reached.level, "", None, None, None, None, missing=reached.missing)
        if runs or on is here:
            trial = _on_board(on, profile, folder, bare)
            return replace(trial, machine=f"{on.machine} ({on.toolchain.compiler.program})")
        sections = image.compiled(on, cpu, folder)
        machine = f"{on.toolchain.compiler.program}, not run"
        return replace(bare, machine=machine, flash=sections.flash, ram=sections.static, note=WITHOUT_STACK)


def unpack(artefact: Artefact, folder: Path) -> None:
    for member, data in artefact.members.items():
        (folder / member).write_bytes(data)


def _windows(on: Board, profile: Profile, folder: Path, artefact: Artefact, windows: Windows, rows: NDArray[np.int64]) -> Trial:
    (folder / "host.c").write_text(kernel("host.c"))
    sections = image.compiled(on, profile.arch.cpu, folder)
    command = image.program(on, profile.arch.cpu, folder, "host.c")
    order, data = _stream(artefact, windows, rows)
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=image.TIME_LIMIT_S)
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
    return Trial(
        level="host-compiled",
        machine=f"{on.toolchain.compiler.program} on {platform.machine()}",
        verdict=Verdict(table[:, 0].copy(), classes, values),
        self_test_mismatches=int(said[1]),
        flash=sections.flash,
        ram=sections.static + int(said[3]),
        note=WITHOUT_STACK,
    )


def _on_board(on: Board, profile: Profile, folder: Path, trial: Trial) -> Trial:
    """Raise a host-compiled trial to one on ``on``, unless that has too little memory."""
    cpu = profile.arch.cpu
    sections = image.compiled(on, cpu, folder)
    try:
        ran = image.self_test(on, cpu, folder)
    except image.TooSmall as error:
        return replace(
            trial, level="host-compiled", missing=str(error), flash=sections.flash, ram=sections.static, note=WITHOUT_STACK
        )
    return replace(
        trial,
        machine=_words(on, cpu, trial.machine),
        self_test_mismatches=ran.mismatches,
        flash=sections.flash,
        ram=sections.static + ran.stack,
        latency_ms=ran.latency_ms if trial.level == "native" else None,
        instructions=ran.instructions,
        note=WITH_STACK,
    )


def _words(on: Board, cpu: str, windows: str) -> str:
    if on.bare:
        return f"QEMU {on.machine} ({cpu}), self-test; all held-out windows: {windows}"
    return windows if on.machine == "native" else f"{on.machine} ({on.toolchain.compiler.program}), all held-out windows"


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
