"""Whom devices trust now: every key of the root and targets metadata, whose it is, and whether it can sign here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key

from components.workspace import Workspace
from components.workspace.errors import NotFound
from registry import trust
from registry.contract.times import utc_now
from registry.keys.custody import is_here, lies_in_a_file

DEMO = "x-muster-demo"
ROOTS = ("root-1", "root-2", "root-3")
ONLINE = ("snapshot", "timestamp")


@dataclass(frozen=True)
class Holder:
    """One trusted key. ``here``: this workspace can sign with it; ``demo``: made for a demonstration.

    ``public``: the public key, 32 bytes in hex (ed25519) or PEM; ``signer``: 'file', the URI of a signer elsewhere, or ''.
    """

    role: str
    name: str
    keyid: str
    here: bool
    demo: bool
    public: str
    signer: str


def show_keys(workspace: Workspace) -> tuple[Holder, ...]:
    """Every key that devices trust now, and whether its private half lies here.

    Raises:
        NotFound: there are no keys yet.
    """
    root, targets = trust.newest_root(workspace), trust.newest_targets(workspace)
    if root is None or targets is None:
        raise no_keys(workspace)
    delegations = targets.signed.delegations
    roles = {**root.signed.roles, **(delegations.roles or {} if delegations else {})}
    keys = {**root.signed.keys, **(delegations.keys if delegations else {})}
    return tuple(_holder(workspace, role, keys[keyid]) for role, named in roles.items() for keyid in named.keyids)


def exposed(holders: Sequence[Holder]) -> tuple[str, ...]:
    """Names of offline keys whose files lie beside those that unattended runs sign with: who breaks in there has both."""
    files = [h for h in holders if h.signer == "file"]
    if not any(_is_online(h.role) for h in files):
        return ()
    return tuple(h.name for h in files if not _is_online(h.role))


def near_expiry(workspace: Workspace, *, now: datetime | None = None) -> tuple[str, ...]:
    """Which of root and targets are past half of their lifetime."""
    held = {"root": trust.newest_root(workspace), "targets": trust.newest_targets(workspace)}
    return tuple(r for r, m in held.items() if m and not trust.is_fresh(r, m.signed, now or utc_now()))


def require_keys(workspace: Workspace) -> None:
    """Raises NotFound before the first `keys init`: nothing can be signed, published or verified."""
    if not (trust.files_of(workspace, "root") and trust.files_of(workspace, "targets")):
        raise no_keys(workspace)


def no_keys(workspace: Workspace) -> NotFound:
    return NotFound(
        f"{workspace.root} has no signing keys yet", hint="muster keys init --person ana --person ben, with your names"
    )


def is_demo(key: Key) -> bool:
    return bool(key.unrecognized_fields.get(DEMO))


def file_role(role: str, name: str) -> str:
    """Under which name the private half is kept."""
    return f"people/{name}" if role == "releases" else name


def _holder(workspace: Workspace, role: str, key: Key) -> Holder:
    name = trust.holder_of(key, role)
    kept = file_role(role, name)
    uri = workspace.settings.registry.signers.get(kept, "")
    signer = uri or ("file" if lies_in_a_file(workspace, kept) else "")
    return Holder(role, name, key.keyid, is_here(workspace, kept), is_demo(key), str(key.keyval["public"]), signer)


def _is_online(role: str) -> bool:
    return role in ONLINE or role.startswith("fleet-")
