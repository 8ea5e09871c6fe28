"""The envelope of a signed image: what a bootloader, or firmware that takes a new model, checks before it uses it.

A header of 272 bytes, little-endian, and the payload behind it (`docs/over-the-air.md` has the table). Two persons sign the
first 128 bytes, which hold the payload's digest. The C that devices run is `components/quantization/package/verifier`; tests
hold both to the same answers.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.contract.reasons import Reason

MAGIC, FORMAT = b"MUSTERIM", 1
SIGNED, HEADER = 128, 272
THRESHOLD = 2
_FIELDS = struct.Struct("<8sHBBHHQII32s32s32s")
_SIGNATURES = struct.Struct("<8s8s64s64s")
_PRIME = 2**255 - 19
_ORDER_EIGHT = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL = frozenset({0, 1, _PRIME - 1, _ORDER_EIGHT, _PRIME - _ORDER_EIGHT})
"""y of the points whose order divides 8, without regard to the sign of x."""

C_REASONS = (
    None,
    Reason.WRONG_SIZE,
    Reason.BAD_MAGIC,
    Reason.UNKNOWN_VERSION,
    Reason.WRONG_KIND,
    Reason.WRONG_INTERFACE,
    Reason.WRONG_HARDWARE,
    Reason.BAD_SIGNATURE,
    Reason.SEQUENCE_ROLLBACK,
    Reason.WRONG_DIGEST,
)
"""By the number that the C verifier gives; in the order of the checks."""


class Kind(IntEnum):
    FIRMWARE = 1
    MODEL = 2


@dataclass(frozen=True)
class Signature:
    key_id: bytes
    value: bytes


@dataclass(frozen=True)
class Header:
    """``interface``: (major, minor) of the model's; digests of 32 bytes; at most two ``signatures``."""

    kind: Kind
    interface: tuple[int, int]
    sequence: int
    profile_sha256: bytes
    payload_length: int
    payload_sha256: bytes
    artefact_sha256: bytes
    signatures: tuple[Signature, ...] = ()

    def signed_bytes(self) -> bytes:
        return _FIELDS.pack(
            MAGIC,
            FORMAT,
            self.kind,
            0,
            *self.interface,
            self.sequence,
            self.payload_length,
            0,
            self.profile_sha256,
            self.payload_sha256,
            self.artefact_sha256,
        )

    def to_bytes(self) -> bytes:
        """272 bytes; the place of a signature that is not there is zero."""
        both = (*self.signatures, *(Signature(bytes(8), bytes(64)),) * THRESHOLD)[:THRESHOLD]
        return self.signed_bytes() + _SIGNATURES.pack(*(s.key_id for s in both), *(s.value for s in both))

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Parse without trusting.

        Raises:
            ValueError: shorter than a header, another magic or format, or an unknown kind or field.
        """
        if (reason := _malformed(data)) is not None:
            raise ValueError(str(reason))
        fields = _FIELDS.unpack_from(data)
        first, second, *values = _SIGNATURES.unpack_from(data, SIGNED)
        pairs = zip((first, second), values, strict=True)
        return cls(
            kind=Kind(fields[2]),
            interface=(fields[4], fields[5]),
            sequence=fields[6],
            profile_sha256=fields[9],
            payload_length=fields[7],
            payload_sha256=fields[10],
            artefact_sha256=fields[11],
            signatures=tuple(Signature(key_id, value) for key_id, value in pairs if any(key_id)),
        )


@dataclass(frozen=True)
class ImageTrust:
    """What a device knows: public keys of 32 bytes, its profile, what it takes, and the sequence number of what it runs."""

    keys: tuple[bytes, ...]
    profile: str
    kind: Kind
    interface_major: int
    floor: int


def refusal(image: bytes, trust: ImageTrust) -> Reason | None:
    """Why the device refuses ``image``, the first reason in the order of the checks; None: it takes it."""
    if len(image) < HEADER or len(image) != HEADER + int.from_bytes(image[24:28], "little"):
        return Reason.WRONG_SIZE
    if (reason := _malformed(image)) is not None:
        return reason
    header = Header.from_bytes(image)
    interface = header.interface[0] if header.kind == Kind.MODEL else trust.interface_major
    rules: tuple[tuple[Reason, Callable[[], bool]], ...] = (
        (Reason.WRONG_KIND, lambda: header.kind == trust.kind),
        (Reason.WRONG_INTERFACE, lambda: interface == trust.interface_major),
        (Reason.WRONG_HARDWARE, lambda: header.profile_sha256 == profile_digest(trust.profile)),
        (Reason.BAD_SIGNATURE, lambda: _signed_twice(image, trust)),
        (Reason.SEQUENCE_ROLLBACK, lambda: header.sequence > trust.floor),
        (Reason.WRONG_DIGEST, lambda: hashlib.sha256(image[HEADER:]).digest() == header.payload_sha256),
    )
    return next((reason for reason, holds in rules if not holds()), None)


def profile_digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def key_id(key: bytes) -> bytes:
    """Of a public key of 32 bytes."""
    return hashlib.sha256(key).digest()[:8]


def is_key(key: bytes) -> bool:
    """Whether 32 bytes are a public key that can sign: written canonically, and not of small order."""
    y = int.from_bytes(key, "little") & ((1 << 255) - 1)
    return len(key) == 32 and y < _PRIME and y not in _SMALL


def is_signature(signature: bytes, message: bytes, key: bytes) -> bool:
    """Ed25519 (RFC 8032, without cofactor) under a key that `is_key`."""
    if not is_key(key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _malformed(data: bytes) -> Reason | None:
    if len(data) < HEADER:
        return Reason.WRONG_SIZE
    magic, version, kind, zero, _, _, _, _, flags, *_ = _FIELDS.unpack_from(data)
    if magic != MAGIC:
        return Reason.BAD_MAGIC
    known = version == FORMAT and kind in tuple(Kind) and zero == 0 and flags == 0
    return None if known else Reason.UNKNOWN_VERSION


def _signed_twice(image: bytes, trust: ImageTrust) -> bool:
    first, second, *values = _SIGNATURES.unpack_from(image, SIGNED)
    signers = [next((key for key in trust.keys if key_id(key) == name), b"") for name in (first, second)]
    if not all(signers) or signers[0] == signers[1]:
        return False
    return all(is_signature(value, image[:SIGNED], key) for value, key in zip(values, signers, strict=True))
