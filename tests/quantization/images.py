"""Envelopes signed by keys that are made from their names, so that the same tests see the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.contract.envelope import Header, ImageTrust, Kind, Signature, key_id, profile_digest

PROFILE = "mcu-cortex-m4"


def private(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def public(name: str) -> bytes:
    return private(name).public_key().public_bytes_raw()


def trust(**changes: Any) -> ImageTrust:
    """A device of ``PROFILE`` that trusts ana, ben and cat, takes firmware, and runs sequence 7."""
    return replace(ImageTrust(tuple(map(public, ("ana", "ben", "cat"))), PROFILE, Kind.FIRMWARE, 1, 7), **changes)


def header(payload: bytes, **changes: Any) -> Header:
    digest = hashlib.sha256(payload).digest()
    bare = Header(Kind.FIRMWARE, (1, 1), 8, profile_digest(PROFILE), len(payload), digest, bytes(range(32)))
    return replace(bare, **changes)


def signed(made: Header, *people: str) -> Header:
    return replace(made, signatures=tuple(Signature(key_id(public(p)), private(p).sign(made.signed_bytes())) for p in people))


def image(payload: bytes = b"firmware" * 9, people: tuple[str, ...] = ("ana", "ben"), **changes: Any) -> bytes:
    return signed(header(payload, **changes), *people).to_bytes() + payload
