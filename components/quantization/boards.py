"""The emulated processors that C artefacts are proven on: how to compile for each, and what runs the result.

One table; the proof harness in `targets/c99/boards/` is the same everywhere, with a port an architecture. Memory maps
are those of QEMU 7.2 (`docs/system/arm/mps2.rst`, `nrf.rst`, `riscv/virt.rst`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A program on PATH, and the Debian packages that bring it with what it needs."""

    program: str
    packages: str

    @property
    def here(self) -> bool:
        return shutil.which(self.program) is not None


@dataclass(frozen=True)
class Toolchain:
    """``flags`` compile, ``libraries`` end the link; '{cpu}' is the profile's processor. ``port``: its C beside the harness."""

    compiler: Tool
    size: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    port: tuple[str, ...]


@dataclass(frozen=True)
class Region:
    """Memory of a board: address and bytes."""

    origin: int
    size: int


@dataclass(frozen=True)
class Board:
    """A machine that ``command`` emulates. ``cpus``: processors of ``families`` whose code it runs; none: all of them.

    ``code`` and ``data`` None: no bare board but a Linux program, which can read all held-out windows. ``counts``: the
    emulator tells instructions.
    """

    machine: str
    families: tuple[str, ...]
    cpus: tuple[str, ...]
    toolchain: Toolchain
    emulator: Tool
    command: tuple[str, ...]
    flags: tuple[str, ...] = ()
    code: Region | None = None
    data: Region | None = None
    counts: bool = True

    @property
    def bare(self) -> bool:
        return self.code is not None

    @property
    def tools(self) -> tuple[Tool, Tool]:
        return self.toolchain.compiler, self.emulator

    @property
    def processors(self) -> str:
        return ", ".join(self.cpus) or f"any {self.families[0]}"

    def runs(self, family: str, cpu: str) -> bool:
        return family in self.families and (not self.cpus or cpu in self.cpus)


_ARM = Toolchain(
    Tool("arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi"),
    "arm-none-eabi-size",
    ("-mcpu={cpu}", "-mthumb"),
    ("-nostdlib", "-lc", "-lgcc"),
    ("bare.c", "cortex_m.c"),
)
_RISCV = Toolchain(
    Tool("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"),
    "riscv64-unknown-elf-size",
    ("-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"),
    ("-nostdlib", "-lc", "-lgcc"),
    ("bare.c", "riscv.c"),
)
_AARCH64 = Toolchain(
    Tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    "aarch64-linux-gnu-size",
    (),
    ("-static",),
    ("linux.c",),
)
_QEMU_ARM = Tool("qemu-system-arm", "qemu-system-arm")
_QEMU_RISCV = Tool("qemu-system-riscv32", "qemu-system-misc")
_QEMU_USER = Tool("qemu-aarch64-static", "qemu-user-static")

# One instruction is one nanosecond to the emulator, so that runs are repeatable.
_BARE = ("-nographic", "-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel")
_K, _M = 1 << 10, 1 << 20


def _arm(
    machine: str, family: tuple[str, ...], cpus: tuple[str, ...], flags: tuple[str, ...], code: Region, data: Region
) -> Board:
    return Board(machine, family, cpus, _ARM, _QEMU_ARM, ("qemu-system-arm", "-M", machine, *_BARE), flags, code, data)


_OLDER = ("armv7e-m", "armv7-m")  # profiles have named either for all three processors
_MPS2 = Region(0, 4 * _M), Region(0x20000000, 4 * _M)
BOARDS = (
    _arm(
        "microbit",
        ("armv6-m",),
        ("cortex-m0", "cortex-m0plus"),
        ("-mfloat-abi=soft",),
        Region(0, 256 * _K),
        Region(0x20000000, 16 * _K),
    ),
    _arm("mps2-an385", ("armv7-m", "armv7e-m"), ("cortex-m3",), ("-mfloat-abi=soft",), *_MPS2),
    _arm("mps2-an386", _OLDER, ("cortex-m4",), ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), *_MPS2),
    _arm("mps2-an500", _OLDER, ("cortex-m7",), ("-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"), *_MPS2),
    _arm(
        "mps2-an505",
        ("armv8-m.main", "armv8-m"),
        ("cortex-m33",),
        ("-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"),
        Region(0x10000000, 4 * _M),
        Region(0x38000000, 4 * _M),
    ),
    _arm(
        "mps3-an547",
        ("armv8.1-m.main",),
        ("cortex-m55",),
        ("-mfloat-abi=hard",),
        Region(0, 512 * _K),
        Region(0x20000000, 512 * _K),
    ),
    Board(
        "virt-rv32",
        ("rv32imc",),
        (),
        _RISCV,
        _QEMU_RISCV,
        ("qemu-system-riscv32", "-M", "virt", "-cpu", "rv32", "-bios", "none", *_BARE),
        (),
        Region(0x80000000, 4 * _M),
        Region(0x80400000, 4 * _M),
    ),
    Board("qemu-aarch64", ("aarch64",), (), _AARCH64, _QEMU_USER, ("qemu-aarch64-static",), counts=False),
)


def host_board(compiler: str, family: str) -> Board:
    """The machine that we are on, which runs Linux programs without an emulator."""
    toolchain = Toolchain(Tool(compiler, "gcc libc6-dev"), "size", (), (), ("linux.c",))
    return Board("native", (family,), (), toolchain, toolchain.compiler, (), counts=False)


def toolchains() -> dict[Tool, list[Board]]:
    """Every cross compiler and emulator, with the boards that need it."""
    found: dict[Tool, list[Board]] = {}
    for board in BOARDS:
        for tool in board.tools:
            found.setdefault(tool, []).append(board)
    return found
