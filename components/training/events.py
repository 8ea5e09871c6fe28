"""Learning curves as TensorBoard reads them, written without it: a few bytes a number need no library of hundreds of megabytes.

A file is a sequence of TFRecords (length, its checksum, data, its checksum), each a serialised `Event`: wall time (1), step (2),
file version (3) or a summary (5) of values with tag (1) and number (2). Checksums are CRC-32C, masked (tensorflow/core/lib/io/
record_writer.h and event.proto say so). Wall times are the steps, in seconds since 1970, so that equal curves are equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.values.curves import Point
from components.workspace.files import write_bytes

FILE = "events.out.tfevents.0.muster"
_VERSION = b"brain.Event:2"
_POLYNOMIAL, _MASK = 0x82F63B78, 0xA282EAD8


def write_events(folder: Path, points: Sequence[Point]) -> None:
    """One run a phase and part, `<folder>/<phase>/<part>`, with a scalar for each loss, their sum and the learning rate."""
    for phase, part in dict.fromkeys((point.phase, point.part) for point in points):
        mine = [point for point in points if (point.phase, point.part) == (phase, part)]
        events = [_event(0, _text(3, _VERSION))]
        events += [_event(p.step, _summary({**p.losses, "total": p.total, "learning_rate": p.learning_rate})) for p in mine]
        write_bytes(folder / phase / part / FILE, b"".join(_record(event) for event in events))


def _event(step: int, content: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", float(step)) + b"\x10" + _varint(step) + content


def _summary(values: Mapping[str, float]) -> bytes:
    parts = [_text(1, _text(1, tag.encode()) + b"\x15" + struct.pack("<f", value)) for tag, value in values.items()]
    return _text(5, b"".join(parts))


def _text(field: int, data: bytes) -> bytes:
    """A field of bytes, text or a message: its number with wire type 2, the length, the data."""
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the highest bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_entry(byte) for byte in range(256))
