"""Take the blob out of an artefact, for firmware that was built from the package of another."""

from __future__ import annotations

from dataclasses import dataclass

from components.quantization.targets.c99.blob import FILE, kinds_in, shape_id
from components.quantization.targets.c99.loader import kernels_of
from components.values import Artefact
from components.workspace.errors import GateFailed, InputError

_DIRECTORY = 96  # its first word: bytes of the arena


@dataclass(frozen=True)
class Blob:
    """``arena``: bytes of static memory that it needs."""

    data: bytes
    arena: int


def blob_of(artefact: Artefact, firmware: Artefact | None = None, arena: int | None = None) -> Blob:
    """The model of ``artefact`` as firmware loads it. ``firmware``: whose loader is to take it; ``arena``: the MODEL_ARENA that
    it was built with, where that is not the firmware's own model's.

    Raises:
        InputError: ``artefact`` or ``firmware`` has no blob: it is not in C, or holds what the loader has no kernel for.
        GateFailed: the firmware would refuse it; the message says why.
    """
    made = _loadable(artefact)
    if firmware is None:
        return made
    room = _loadable(firmware).arena if arena is None else arena
    wrong = []
    if artefact.profile != firmware.profile:
        wrong.append(f"it is for profile '{artefact.profile}', the firmware for '{firmware.profile}'")
    if (artefact.interface or "").split(".")[0] != (firmware.interface or "").split(".")[0]:
        wrong.append(f"interface {artefact.interface}, not {firmware.interface}")
    if shape_id(artefact) != shape_id(firmware):
        wrong.append("other windows, channels, tasks, classes or conditions are compiled in")
    if kinds_in(made.data) & ~kernels_of(firmware):
        wrong.append("it needs operations that the firmware does not have")
    if made.arena > room:
        wrong.append(f"it needs an arena of {made.arena:,} bytes, the firmware has {room:,}")
    if wrong:
        raise GateFailed(f"the firmware would refuse this model: {'; '.join(wrong)}", hint="build new firmware from its package")
    return made


def _loadable(artefact: Artefact) -> Blob:
    data = artefact.members.get(FILE)
    if artefact.runtime != "c99" or data is None:
        raise InputError(
            f"the artefact of {artefact.profile} holds no {FILE}",
            hint="networks in C have one since they can be loaded: build it again; trees are flashed with their firmware",
        )
    return Blob(data, int.from_bytes(data[_DIRECTORY : _DIRECTORY + 4], "little"))
