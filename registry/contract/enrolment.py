"""What a device sends to enrol itself: its key, a one-time token, and, by the seal, the proof that it has the private half."""

from __future__ import annotations

import json
from typing import Annotated, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from registry.contract import dsse
from registry.contract.manifest import Part
from registry.contract.report import DeviceId

PAYLOAD_TYPE: Final = "application/vnd.muster.enrolment+json"
MAX_BYTES: Final = 1024
PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class EnrolmentRequest(Part):
    """``public_key``: ed25519, 64 hex digits."""

    schema_version: Literal[1] = 1
    device_id: DeviceId
    public_key: PublicKey
    token: str = Field(min_length=1, max_length=128)


def sign_request(device_id: str, token: str, private_key: Ed25519PrivateKey) -> bytes:
    """The envelope to send, and to send again until it is answered."""
    public_key = private_key.public_key().public_bytes_raw().hex()
    request = EnrolmentRequest(device_id=device_id, public_key=public_key, token=token)
    body = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
    return dsse.seal(PAYLOAD_TYPE, body, private_key)


def open_request(data: bytes) -> EnrolmentRequest | None:
    """The request; None where the sender does not prove that it has the private key.

    Raises:
        ValueError: no envelope of a request.
    """
    sealed = dsse.unseal(data, PAYLOAD_TYPE, MAX_BYTES)
    request = EnrolmentRequest.model_validate_json(sealed.body)
    return request if sealed.is_signed_by(bytes.fromhex(request.public_key)) else None
