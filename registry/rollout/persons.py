"""Persons' signatures: only the keys of those who may release count."""

from __future__ import annotations

from securesystemslib.signer import Signer

from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound, VerificationFailed
from registry import trust
from registry.keys import no_keys, show_keys, signer_of


def sign_as(workspace: Workspace, person: str, data: bytes) -> tuple[str, str]:
    """(keyid, hex signature) over ``data``.

    Raises:
        NotFound, VerificationFailed: as `releasing_signer`.
    """
    signature = releasing_signer(workspace, person).sign(data)
    return signature.keyid, signature.signature


def releasing_signer(workspace: Workspace, person: str) -> Signer:
    """The person's key, which counts under `releases`.

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
    return signer


def require_person(workspace: Workspace, person: str) -> None:
    """The log names nobody who may not release; whose key it is is asked only where the key is needed.

    Raises:
        InputError: no name.
        NotFound: nobody of this name may release.
    """
    if not person.strip():
        raise InputError("no person is named", hint="--person NAME: the log says who decided")
    people = sorted({h.name for h in show_keys(workspace) if h.role == "releases"})
    if person not in people:
        raise NotFound(f"'{person}' is not one of those who may release", hint=f"they are {', '.join(people)} (muster keys show)")
