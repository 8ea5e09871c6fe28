"""The bytes that an ELF file puts into flash, as `objcopy -O binary` writes them, for any 32-bit little-endian processor.

Layout: System V ABI, 4th edition, chapter 4 (header) and 5 (program headers).
"""

from __future__ import annotations

import struct

from components.workspace.errors import InputError

MAGIC = b"\x7fELF"
_32_BIT_LITTLE_ENDIAN = b"\1\1"
_LOAD = 1
_SEGMENT = struct.Struct("<IIIIIIII")
MOST = 64 << 20
_MOST_SEGMENTS = 64


def flash_bytes(data: bytes) -> bytes:
    """From the lowest load address to the end of the highest segment, zeros between.

    Raises:
        InputError: no 32-bit little-endian ELF, cut off, with nothing to load, or spread over more than 64 MiB.
    """
    if not data.startswith(MAGIC + _32_BIT_LITTLE_ENDIAN):
        raise InputError("no ELF of a 32-bit little-endian processor", hint="attach the ELF or .bin of the device's own build")
    try:
        segments = _segments(data)
    except struct.error:
        raise InputError("the ELF is cut off", hint="link it again") from None
    if not segments:
        raise InputError("the ELF loads nothing", hint="attach the linked program, not an object file")
    first, last = min(at for at, _ in segments), max(at + len(content) for at, content in segments)
    if last - first > MOST:
        raise InputError(f"the ELF loads {last - first:,} bytes", hint="attach the .bin of each memory instead")
    flash = bytearray(last - first)
    for at, content in segments:
        flash[at - first : at - first + len(content)] = content
    return bytes(flash)


def _segments(data: bytes) -> list[tuple[int, bytes]]:
    """(load address, content) of every segment with content."""
    (table,) = struct.unpack_from("<I", data, 28)
    size, count = struct.unpack_from("<HH", data, 42)
    if count > _MOST_SEGMENTS:
        raise InputError(f"the ELF has {count} segments", hint="attach the .bin instead")
    found = []
    for i in range(count):
        kind, offset, _, address, length, *_ = _SEGMENT.unpack_from(data, table + i * size)
        if kind == _LOAD and length:
            content = data[offset : offset + length]
            if len(content) < length:
                raise struct.error
            found.append((address, content))
    return found
