"""Persons' signatures: only the keys of those who may release count."""

from __future__ import annotations

from components.workspace import Workspace
from components.workspace.errors import VerificationFailed
from registry import trust
from registry.keys import no_keys, signer_of


def sign_as(workspace: Workspace, person: str, data: bytes) -> tuple[str, str]:
    """(keyid, hex signature) over ``data``.

    Raises:
        NotFound: the person's key is not here.
        VerificationFailed: the key is not one of those that may release.
    """
    top = trust.newest_targets(workspace)
    if top is None or top.signed.delegations is None:
        raise no_keys(workspace)
    signer = signer_of(workspace, f"people/{person}")
    if signer.public_key.keyid not in (top.signed.delegations.roles or {})["releases"].keyids:
        raise VerificationFailed(
            f"the key of '{person}' is not one of those that may release", hint="muster keys show lists them"
        )
    signature = signer.sign(data)
    return signature.keyid, signature.signature
