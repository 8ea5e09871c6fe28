"""Sign root metadata: with the threshold of the root before it, and of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, Root

from components.workspace import Workspace
from components.workspace.errors import NotFound
from registry import trust
from registry.keys.custody import is_here, signer_of, spare_signer
from registry.keys.holders import ROOTS


def sign_root(workspace: Workspace, metadata: Metadata[Root], own: Mapping[str, Key] | None = None) -> None:
    """Sign with every root key that is here, and keep it. ``own``: name -> public key, for the very first root.

    Raises:
        NotFound: too few of the root keys are here.
    """
    before = trust.newest_root(workspace)
    metadata.signatures.clear()
    for signer in _signers(workspace, own or {}):
        if any(
            signer.public_key.keyid in r.roles[Root.type].keyids
            for r in (metadata.signed, before.signed if before else None)
            if r
        ):
            trust.sign(metadata, signer, append=True)
    for delegator in (before.signed if before else metadata.signed, metadata.signed):
        result = delegator.get_verification_result(Root.type, metadata.signed_bytes, metadata.signatures)
        if not result.verified:
            raise NotFound(
                f"{len(result.signed)} of the root keys are here, and it takes {result.threshold}",
                hint="run this where the root keys are kept (root-1, root-2, root-3)",
            )
    trust.keep(workspace, metadata)


def _signers(workspace: Workspace, own: Mapping[str, Key]) -> Iterator[Signer]:
    for name in ROOTS:
        if is_here(workspace, name):
            yield signer_of(workspace, name, own.get(name))
        if spare := spare_signer(workspace, name):
            yield spare
