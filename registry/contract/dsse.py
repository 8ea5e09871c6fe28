"""DSSE version 1 with Ed25519: a signature over bytes and their type, so that no parser stands before the check.

``PAE(type, body) = "DSSEv1" SP len(type) SP type SP len(body) SP body``, lengths in ASCII decimal
(https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md). Exactly one signature, whose ``keyid`` is the SHA-256 of
the raw public key, in hex: 32 bytes that a microcontroller has at hand, no JSON of a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from registry.contract.envelope import is_signature

_STANDARD = str.maketrans("-_", "+/")
_OVERHEAD = 1024
"""Bytes that type, keyid, signature and white space may take beside the body."""


class Sealed(NamedTuple):
    """A body that is not trusted yet: ``is_signed_by`` tells."""

    payload_type: str
    body: bytes
    keyid: str
    signature: bytes

    def is_signed_by(self, public_key: bytes) -> bool:
        return is_signature(self.signature, pae(self.payload_type, self.body), public_key)


def pae(payload_type: str, body: bytes) -> bytes:
    """Pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def key_id(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()


def seal(payload_type: str, body: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """The envelope as compact JSON: one line."""
    signature = private_key.sign(pae(payload_type, body))
    keyid = key_id(private_key.public_key().public_bytes_raw())
    signatures = [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}]
    envelope = {"payload": base64.b64encode(body).decode(), "payloadType": payload_type, "signatures": signatures}
    return json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()


def unseal(data: bytes, payload_type: str, max_body: int) -> Sealed:
    """Parse without trusting.

    Raises:
        ValueError: too long, no envelope, of another type, or with another number of signatures than one.
    """
    if len(data) > (limit := max_body * 4 // 3 + _OVERHEAD):
        raise ValueError(f"{len(data)} bytes, more than {limit}")
    try:
        envelope = _ENVELOPE.validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"no envelope: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if envelope["payloadType"] != payload_type:
        raise ValueError(f"payloadType is not {payload_type}")
    (signature,) = envelope["signatures"]
    return Sealed(payload_type, _decoded(envelope["payload"]), signature["keyid"], _decoded(signature["sig"]))


class _Signature(TypedDict):
    keyid: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    sig: Annotated[str, Field(max_length=88)]


class _Envelope(TypedDict):
    """Fields that the standard may add are ignored, as it asks."""

    payload: str
    payloadType: str
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=1)]


_ENVELOPE = TypeAdapter(_Envelope)


def _decoded(text: str) -> bytes:
    """Base64, standard or URL-safe: a reader takes either."""
    if "-" in text or "_" in text:
        text = text.translate(_STANDARD)
    return binascii.a2b_base64(text, strict_mode=True)
