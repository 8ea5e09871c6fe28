"""Bind a firmware image to the artefact that its build put into it: look for the model inside, run its self-test if possible."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from components.quantization.boards import BOARDS, Board
from components.quantization.package import elf
from components.quantization.targets.c99.blob import FILE
from components.values import ImageRecord
from components.values.deliverable import Deliverable
from components.workspace.errors import GateFailed, InputError
from components.workspace.files import sha256_bytes

_TABLE = re.compile(r"static const (u?int(?:8|16|32))_t (\w+)(?:\[\d+\])+[^=;]*= (\{[-\d,{}\s]*\});")
_SMALLEST = 64
"""Bytes of a table that is looked for: a compiler may dissolve smaller ones into its instructions."""
_TIME_LIMIT_S = 300


@dataclass(frozen=True)
class Attached:
    """``payload``: what is to be signed and flashed, of an ELF the bytes that it puts into flash."""

    record: ImageRecord
    payload: bytes


def attach_image(artefact: Deliverable, image: bytes, name: str, board: str | None = None) -> Attached:
    """Bind ``image``, the content of the file ``name``, to ``artefact``.

    ``board``: an emulated one, on which an ELF runs; it must print "mismatches 0" by semihosting and exit with 0.

    Raises:
        GateFailed: the image does not hold this model, or its self-test fails.
        InputError: no such board, or the image is no ELF where one is to run.
    """
    payload = elf.flash_bytes(image) if image.startswith(elf.MAGIC) else image
    if len(payload) > elf.MOST:
        raise InputError(f"{name} has {len(payload):,} bytes; {elf.MOST:,} are taken", hint="attach what goes into flash")
    if _is_model(artefact, image):
        return _attached(artefact, image, name, payload, "model", "identical", "a file of the artefact")
    found = _find_model(artefact, payload)
    machine, level, missing = found, "model-inside", "an ELF that runs on an emulated board (--board)"
    if board is not None:
        if not image.startswith(elf.MAGIC):
            raise InputError(f"{name} is no ELF, which {board} would run", hint="attach the ELF, or leave --board out")
        emulated = _board(board)
        if not emulated.emulator.here:
            missing = f"Debian package {emulated.emulator.packages}"
        else:
            _run(image, emulated)
            machine, level, missing = f"QEMU {board}, self-test; {found}", "emulated", ""
    return _attached(artefact, image, name, payload, "firmware", level, machine, missing)


def _is_model(artefact: Deliverable, image: bytes) -> bool:
    """Whether ``image`` is a file that a runtime, or the loader of the C, takes as it is."""
    if artefact.runtime == "c99":
        return image == artefact.members.get(FILE)
    return sha256_bytes(image) == artefact.sha256 or image in artefact.members.values()


def _attached(
    artefact: Deliverable,
    image: bytes,
    name: str,
    payload: bytes,
    kind: Literal["firmware", "model"],
    level: str,
    machine: str,
    missing: str = "",
) -> Attached:
    record = ImageRecord(
        kind=kind,
        profile=artefact.profile,
        artefact_sha256=artefact.sha256,
        model_digest=artefact.model_digest,
        interface=_interface(artefact),
        payload_sha256=sha256_bytes(payload),
        payload_bytes=len(payload),
        source_name=name,
        source_sha256=sha256_bytes(image),
        level=level,
        machine=machine,
        missing=missing,
    )
    return Attached(record, payload)


def _find_model(artefact: Deliverable, payload: bytes) -> str:
    """How much of the model lies in the image, in words."""
    parts = model_parts(artefact)
    if not parts:
        raise InputError(f"the artefact of {artefact.profile} has nothing to look for in an image", hint="build it again")
    lacking = [part for part, content in parts.items() if content not in payload]
    if lacking:
        raise GateFailed(
            f"the image does not hold this model: {len(lacking)} of {len(parts)} tables are not in it, {lacking[0]} first",
            hint="build it from the sources of this very package, unpacked and not encrypted, with a call of model_run",
        )
    return f"{len(parts)} tables of the model, {sum(map(len, parts.values())):,} bytes, lie in the image"


def model_parts(artefact: Deliverable) -> dict[str, bytes]:
    """What an image must hold: the constant tables of `model.c` as the compiler lays them out, or the model's file."""
    if artefact.runtime != "c99":
        return dict(artefact.members)
    parts = {}
    for kind, name, values in _TABLE.findall(artefact.members["model.c"].decode()):
        content = np.array(re.findall(r"-?\d+", values), np.int64).astype(np.dtype(kind).newbyteorder("<")).tobytes()
        if len(content) >= _SMALLEST:
            parts[name] = content
    return parts


def _board(name: str) -> Board:
    bare = [known for known in BOARDS if known.bare]
    for known in bare:
        if known.machine == name:
            return known
    raise InputError(f"no emulated board {name}", hint=f"there are {', '.join(b.machine for b in bare)}")


def _run(image: bytes, board: Board) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.elf"
        file.write_bytes(image)
        try:
            done = subprocess.run([*board.command, file], capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise GateFailed(
                f"the image runs for more than {_TIME_LIMIT_S} s on {board.machine}", hint="it has to end itself"
            ) from None
    said = done.stdout + done.stderr  # semihosting writes to either, by the version of QEMU
    verdict = re.search(r"^mismatches (\d+)\b", said, re.MULTILINE)
    if verdict is None or int(verdict[1]) or done.returncode:
        raise GateFailed(
            f"the self-test failed on {board.machine}, exit code {done.returncode}: {said.strip()[-200:] or 'nothing printed'}",
            hint='it has to print "mismatches 0" and exit with 0, as examples/emulated_board of the package does',
        )


def _interface(artefact: Deliverable) -> str:
    return artefact.interface or ".".join([*artefact.runtime_minimal.split("."), "0"][:2])
