"""How far an artefact can be proven on this machine, and what is missing for more."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass

from components.workspace.errors import InputError
from components.workspace.profiles import Profile

HOST_COMPILERS = ("gcc", "clang", "cc")
_FAMILIES = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}
_PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}


@dataclass(frozen=True)
class Reach:
    """``level`` as in `Proof`; ``missing`` names what would raise it."""

    level: str
    missing: str = ""


@dataclass(frozen=True)
class Board:
    """An Arm MPS2 board that QEMU emulates, and how to compile for it."""

    machine: str
    cpu: str
    flags: tuple[str, ...]


BOARDS = (
    Board("mps2-an385", "cortex-m3", ("-mfloat-abi=soft",)),
    Board("mps2-an386", "cortex-m4", ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")),
    Board("mps2-an500", "cortex-m7", ("-mfloat-abi=hard", "-mfpu=fpv5-sp-d16")),
)


def reach(profile: Profile) -> Reach:
    """The level that a proof for ``profile`` gets here."""
    if profile.runtime.name != "c99":
        here = family()
        return (
            Reach("native")
            if here == profile.arch.family
            else Reach("same-runtime", f"a machine of family {profile.arch.family}")
        )
    if host_compiler() is None:
        return Reach("none", "a C compiler (Debian: gcc libc6-dev)")
    if profile.proof.machine == "native":
        return Reach("host-compiled", "an emulated board in proof.machine")
    board(profile)
    lacking = [package for tool, package in _PACKAGES.items() if shutil.which(tool) is None]
    return Reach("host-compiled", f"Debian packages {' '.join(lacking)}") if lacking else Reach("emulated")


def board(profile: Profile) -> Board:
    """The board that ``proof.machine`` names.

    Raises:
        InputError: no such board, or its processor is not the profile's.
    """
    for known in BOARDS:
        if (known.machine, known.cpu) == (profile.proof.machine, profile.arch.cpu):
            return known
    raise InputError(
        f"profile '{profile.name}': no emulated board {profile.proof.machine} with a {profile.arch.cpu}",
        hint=f"there are {', '.join(f'{b.machine} ({b.cpu})' for b in BOARDS)}",
    )


def host_compiler() -> str | None:
    return next((c for c in HOST_COMPILERS if shutil.which(c)), None)


def family() -> str:
    """Architecture of this machine, in the words of a profile."""
    machine = platform.machine().lower()
    return _FAMILIES.get(machine, machine)
