"""The C verifier of signed images, compiled as a shared library."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

from components.quantization.package.texts import verifier
from registry.contract.envelope import C_REASONS, HEADER, ImageTrust, profile_digest
from registry.contract.reasons import Reason

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]


class _Trust(ctypes.Structure):
    _fields_ = (
        ("keys", ctypes.c_char_p),
        ("key_count", ctypes.c_uint32),
        ("profile", ctypes.c_char_p),
        ("kind", ctypes.c_uint8),
        ("interface_major", ctypes.c_uint16),
        ("floor", ctypes.c_uint64),
    )


class Verifier:
    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))

    def is_signature(self, signature: bytes, message: bytes, key: bytes) -> bool:
        return bool(self._c.muster_ed25519_verify(signature, message, ctypes.c_size_t(len(message)), key))

    def digest(self, bits: int, pieces: list[bytes]) -> bytes:
        state, digest = ctypes.create_string_buffer(256), ctypes.create_string_buffer(64)
        call = {part: getattr(self._c, f"muster_sha{bits}_{part}") for part in ("start", "add", "end")}
        call["start"](state)
        for piece in pieces:
            call["add"](state, piece, ctypes.c_size_t(len(piece)))
        call["end"](state, digest)
        return digest.raw[: bits // 8]

    def refusal(self, image: bytes, trust: ImageTrust) -> Reason | None:
        about = self._trust(trust)
        return C_REASONS[self._c.muster_image_verify(image, ctypes.c_uint64(len(image)), ctypes.byref(about))]

    def refusal_in_pieces(self, image: bytes, trust: ImageTrust, size: int) -> Reason | None:
        """As a device does that has no room for the whole: the header first, then the payload piece by piece."""
        about, header = self._trust(trust), image[:HEADER]
        code = self._c.muster_image_check_header(header, ctypes.c_uint64(len(image)), ctypes.byref(about))
        if code:
            return C_REASONS[code]
        state = ctypes.create_string_buffer(256)
        self._c.muster_sha256_start(state)
        for start in range(HEADER, len(image), size):
            piece = image[start : start + size]
            self._c.muster_sha256_add(state, piece, ctypes.c_size_t(len(piece)))
        return C_REASONS[self._c.muster_image_check_digest(header, state)]

    @staticmethod
    def _trust(trust: ImageTrust) -> _Trust:
        keys = b"".join(trust.keys)
        return _Trust(keys, len(trust.keys), profile_digest(trust.profile), trust.kind, trust.interface_major, trust.floor)


def build(folder: Path, compiler: str = COMPILERS[0] if COMPILERS else "gcc", *flags: str) -> Verifier:
    """Compile with warnings as errors, and load."""
    for name, data in verifier().items():
        (folder / name).write_bytes(data)
    library = folder / f"verifier-{compiler}.so"
    sources = sorted(name for name in verifier() if name.endswith(".c"))
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", *flags]
    subprocess.run([compiler, *strict, "-shared", "-fPIC", *sources, "-o", library], cwd=folder, check=True)
    return Verifier(library)
