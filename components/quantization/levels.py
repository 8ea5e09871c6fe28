"""How far an artefact can be proven on this machine, and what is missing for more."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from importlib.util import find_spec

from components.quantization.boards import BOARDS, Board, host_board
from components.workspace.errors import InputError
from components.workspace.profiles import Profile

HOST_COMPILERS = ("gcc", "clang", "cc")
_FAMILIES = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}
_XTENSA = "an emulated Xtensa: Debian has no compiler for the ESP32's and no QEMU machine of it"
_ETHOS = "the Ethos-U is not emulated; the sources run on the processor beside it"
_UNTIMED = "budget.latency_ms is not checked, which takes budget.clock_mhz, budget.cpi and a board that counts instructions"
_UNCOUNTED = "instructions of a window are not counted here"


@dataclass(frozen=True)
class Reach:
    """``level`` as in `Proof`; ``missing`` names what would raise it, or what it leaves open."""

    level: str
    missing: str = ""


def reach(profile: Profile) -> Reach:
    """The level that a proof for ``profile`` gets here.

    Raises:
        InputError: the profile names a board that there is none of, or that has another processor.
    """
    if profile.runtime.name != "c99":
        return _interpreted(profile)
    if host_compiler() is None:
        return Reach("none", "a C compiler (Debian: gcc libc6-dev)")
    if profile.proof.machine == "native" and profile.arch.family != family():
        return Reach("host-compiled", _better(profile))
    on = board(profile)
    if lacking := [tool for tool in on.tools if not tool.here]:
        tools, packages = ", ".join(t.program for t in lacking), " ".join(t.packages for t in lacking)
        return Reach("host-compiled", f"a run on {on.machine} (not run: {tools} missing; Debian packages {packages})")
    return Reach("native" if on.machine == "native" else "emulated", _left_open(profile, on))


def board(profile: Profile) -> Board:
    """The board that ``proof.machine`` names; of ``native``, this machine.

    Raises:
        InputError: no such board, or its processor is not the profile's.
    """
    if profile.proof.machine == "native":
        return host_board(host_compiler() or HOST_COMPILERS[0], family())
    for known in BOARDS:
        if known.machine == profile.proof.machine and known.runs(profile.arch.family, profile.arch.cpu):
            return known
    raise InputError(
        f"profile '{profile.name}': no emulated board {profile.proof.machine} "
        f"with a {profile.arch.cpu} of family {profile.arch.family}",
        hint=f"there are {', '.join(f'{b.machine} ({b.processors})' for b in BOARDS)}",
    )


def boards_for(profile: Profile) -> tuple[Board, ...]:
    """Emulated boards that run code of the profile's processor."""
    return tuple(b for b in BOARDS if b.runs(profile.arch.family, profile.arch.cpu))


def host_compiler() -> str | None:
    return next((c for c in HOST_COMPILERS if shutil.which(c)), None)


def family() -> str:
    """Architecture of this machine, in the words of a profile."""
    machine = platform.machine().lower()
    return _FAMILIES.get(machine, machine)


def _interpreted(profile: Profile) -> Reach:
    wanted = profile.arch.family
    if profile.runtime.name == "openvino" and find_spec("openvino") is None:
        return Reach("none", "OpenVINO (pip install 'muster-mlops[openvino]')")
    if family() == wanted:
        return Reach("native")
    emulation = f", which {profile.runtime.name} does not run on under emulation" if wanted == "aarch64" else ""
    return Reach("same-runtime", f"a machine of family {wanted}{emulation}")


def _better(profile: Profile) -> str:
    if profile.arch.family == "xtensa":
        return _XTENSA
    names = [b.machine for b in boards_for(profile)]
    return f"an emulated board in proof.machine ({' or '.join(names)})" if names else "an emulated board in proof.machine"


def _left_open(profile: Profile, on: Board) -> str:
    ethos = any(feature.startswith("ethos-u") for feature in profile.arch.features)
    estimable = on.counts and profile.budget.estimated
    blind = profile.budget.latency_ms is not None and not estimable and on.machine != "native"
    return "; ".join([_ETHOS] * ethos + [_UNCOUNTED] * (not on.counts) + [_UNTIMED] * blind)
