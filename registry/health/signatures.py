"""Whether a report is signed. Half of the time of an intake goes here, and libsodium takes half of what OpenSSL does.

What is signed now and then is checked by `registry.contract.envelope.is_signature`.
"""

from __future__ import annotations

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from registry.contract.dsse import Sealed, pae
from registry.contract.envelope import is_key

_SIGNATURE = 64
"""Bytes."""


def is_signed(sealed: Sealed, key: bytes) -> bool:
    """Ed25519 (RFC 8032) by ``key``, 32 bytes.

    Stricter than `is_signature` by what no signer makes: R of small order.
    """
    if len(sealed.signature) != _SIGNATURE or not is_key(key):
        return False
    try:
        crypto_sign_open(sealed.signature + pae(sealed.payload_type, sealed.body), key)
    except BadSignatureError:
        return False
    return True
