"""Replace an online key, so that no device is refused meanwhile.

A root between the old and the new one trusts both keys: whatever a device finds while the repository changes, the
root that it finds accepts it. (The publisher writes the newest root last.) A fleet's key needs no such step: the
snapshot switches its metadata and the targets that name its key at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Key, Metadata, Root

from components.workspace import Workspace
from components.workspace.errors import InputError
from registry import trust
from registry.contract.times import utc_now
from registry.keys import ROOTS, adopt_key, no_keys, signer_of, spare_key

ONLINE = ("snapshot", "timestamp")


@dataclass(frozen=True)
class Rotation:
    role: str
    before: str
    after: str


def rotate_key(workspace: Workspace, role: str, *, now: datetime | None = None) -> Rotation:
    """Make a new key for 'snapshot', 'timestamp' or 'fleet-<name>', and let the offline keys name it. Publish afterwards.

    Raises:
        InputError: the role has no online key.
        NotFound: the root or targets keys, which have to sign this, are not here.
    """
    now, root, top = now or utc_now(), trust.newest_root(workspace), trust.newest_targets(workspace)
    if root is None or top is None or top.signed.delegations is None:
        raise no_keys(workspace)
    fleets = [r for r in top.signed.delegations.roles or {} if r.startswith("fleet-")]
    if role not in (*ONLINE, *fleets):
        raise InputError(f"'{role}' has no online key", hint=f"one of {', '.join((*ONLINE, *fleets))}")
    delegator = root.signed if role in ONLINE else top.signed
    before = trust.key_of(workspace, delegator.get_delegated_role(role).keyids[0])
    after = spare_key(workspace, role, like=before)
    if role in ONLINE:
        _next_root(workspace, root, role, after, now)
        adopt_key(workspace, role)
        _next_root(workspace, trust.newest_root(workspace) or root, role, before, now, drop=True)
    else:
        top.signed.revoke_key(before.keyid, role)
        top.signed.add_key(after, role)
        top.signed.version, top.signed.expires = top.signed.version + 1, trust.expiry("targets", now)
        top.sign(signer_of(workspace, "targets"))
        trust.keep(workspace, top)
        adopt_key(workspace, role)
    return Rotation(role, before.keyid, after.keyid)


def _next_root(workspace: Workspace, root: Metadata[Root], role: str, key: Key, now: datetime, *, drop: bool = False) -> None:
    """The next root: with ``key`` for the role, or without it."""
    if drop:
        root.signed.revoke_key(key.keyid, role)
    else:
        root.signed.add_key(key, role)
    root.signed.version, root.signed.expires = root.signed.version + 1, trust.expiry("root", now)
    root.signatures.clear()
    for name in ROOTS:
        root.sign(signer_of(workspace, name), append=True)
    trust.keep(workspace, root)
