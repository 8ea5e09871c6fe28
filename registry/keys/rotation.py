"""Replace a key, so that no device is refused meanwhile.

snapshot, timestamp   a root between the old and the new one trusts both keys: whatever a device finds while the
                      repository changes, the root that it finds accepts it
fleet-<name>          the snapshot switches the fleet's metadata and the targets that name its key at one moment
targets               the next targets carry both signatures, so that the root before and the root after take them
root-1, -2, -3        the new root is signed by the threshold of the old and by its own

The publisher writes those roots first that accept what is published, and the others last (registry/repository/publish.py).
A thief may have shown devices snapshots and timestamps of any version, up to the highest there is. Devices forget what
keys have signed that do not count any more (TUF 5.3.11), so that a rotation after a theft replaces these two as well:
one refresh later a device is where it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from components.workspace import Workspace
from components.workspace.errors import InputError
from registry import trust
from registry.contract.times import utc_now
from registry.keys.custody import adopt_key, file_signer, is_here, signer_of, spare_key, spare_signer
from registry.keys.elsewhere import open_signer, read_public_key
from registry.keys.holders import ONLINE, ROOTS, no_keys
from registry.keys.signing import sign_root


@dataclass(frozen=True)
class Rotation:
    role: str
    before: str
    after: str


def rotate_key(
    workspace: Workspace,
    role: str,
    *,
    compromised: bool = False,
    public_key: Path | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
) -> tuple[Rotation, ...]:
    """Give a role a new key, and let the offline keys name it. Publish afterwards.

    ``compromised``: somebody else has the old one: snapshot and timestamp get new keys, too. ``public_key``: PEM file of the
    new key, where its private half is kept elsewhere. ``dry_run``: only say which keys would be replaced (``after`` is '').

    Raises:
        InputError: no such role, or one of a person (registry/rollout/staffing.py), or the new key is another role's.
        NotFound: the root or targets keys, which have to sign this, are not here.
    """
    now = now or utc_now()
    top = _newest(workspace)[1]
    fleets = [r for r in (top.signed.delegations.roles or {} if top.signed.delegations else {}) if r.startswith("fleet-")]
    roles = (*ROOTS, Targets.type, *ONLINE, *fleets)
    if role not in roles:
        raise InputError(f"'{role}' has no key to rotate", hint=f"one of {', '.join(roles)}, or people/<name>")
    also = [r for r in ONLINE if compromised and r != role]
    if dry_run:
        return tuple(Rotation(r, _trusted(workspace, r).keyid, "") for r in (role, *also))
    _settle(workspace, roles, now)
    before = {r: _trusted(workspace, r) for r in (role, *also)}
    brought = {role: _brought(public_key, before[role])} if public_key else {}
    after = {r: brought[r] if r in brought else spare_key(workspace, r, like=key) for r, key in before.items()}
    if online := [r for r in after if r in ONLINE]:
        _replace_online(workspace, {r: (before[r], after[r]) for r in online}, now)
    if role == Targets.type:
        _replace_targets(workspace, before[role], after[role], now)
    elif role in ROOTS:
        _next_root(workspace, [(Root.type, before[role], after[role])], now)
        adopt_key(workspace, role)
    elif role not in ONLINE:
        _replace_fleet(workspace, role, before[role], after[role], now)
    return tuple(Rotation(r, before[r].keyid, after[r].keyid) for r in after)


def _replace_online(workspace: Workspace, keys: dict[str, tuple[Key, Key]], now: datetime) -> None:
    _next_root(workspace, [(role, None, new) for role, (_, new) in keys.items()], now)
    for role in keys:
        adopt_key(workspace, role)
    _next_root(workspace, [(role, old, None) for role, (old, _) in keys.items()], now)


def _replace_targets(workspace: Workspace, old: Key, new: Key, now: datetime) -> None:
    """The metadata first, signed by both: a root that names the new key is nothing without it."""
    spare, uri = spare_signer(workspace, Targets.type), workspace.settings.registry.signers.get(Targets.type)
    if spare and spare.public_key.keyid == new.keyid:
        before, after = signer_of(workspace, Targets.type, old), spare
    elif uri:
        before, after = file_signer(workspace, Targets.type), open_signer(workspace, Targets.type, uri, new)
    else:
        raise InputError("the new key of 'targets' has to sign, too", hint="name its signer in registry.signers: targets")

    def sign(top: Metadata[Targets]) -> None:
        trust.sign(top, before)
        trust.sign(top, after, append=True)

    _next_targets(workspace, lambda _top: None, now, sign)
    _next_root(workspace, [(Targets.type, old, new)], now)
    adopt_key(workspace, Targets.type)


def _replace_fleet(workspace: Workspace, role: str, old: Key, new: Key, now: datetime) -> None:
    def change(top: Targets) -> None:
        top.revoke_key(old.keyid, role)
        trust.require_distinct((*top.delegations.keys.values(), new) if top.delegations else ())
        top.add_key(new, role)

    _next_targets(workspace, change, now)
    adopt_key(workspace, role)


def _next_targets(
    workspace: Workspace,
    change: Callable[[Targets], None],
    now: datetime,
    sign: Callable[[Metadata[Targets]], None] | None = None,
) -> None:
    _, top = _newest(workspace)
    change(top.signed)
    top.signed.version, top.signed.expires = top.signed.version + 1, trust.expiry(Targets.type, now)
    if sign:
        sign(top)
    else:
        trust.sign(top, signer_of(workspace, Targets.type))
    trust.keep(workspace, top)


def _next_root(workspace: Workspace, changes: Sequence[tuple[str, Key | None, Key | None]], now: datetime) -> None:
    """The next root: each change is a role, the key that goes, and the key that comes."""
    root = deepcopy(_newest(workspace)[0])
    for role, gone, come in changes:
        if come:
            trust.require_distinct((*root.signed.keys.values(), come))
            root.signed.add_key(come, role)
        if gone:
            root.signed.revoke_key(gone.keyid, role)
    root.signed.version, root.signed.expires = root.signed.version + 1, trust.expiry(Root.type, now)
    sign_root(workspace, root)


def _settle(workspace: Workspace, roles: Sequence[str], now: datetime) -> None:
    """Finish what a rotation that was interrupted had begun: its new key is trusted already."""
    root, _ = _newest(workspace)
    for role in roles:
        spare, key = spare_signer(workspace, role), _trusted(workspace, role)
        if spare and spare.public_key.keyid == key.keyid:
            adopt_key(workspace, role)
    both = [r for r in ONLINE if len(root.signed.roles[r].keyids) > 1 and is_here(workspace, r)]
    if both:
        _next_root(workspace, [(r, root.signed.keys[root.signed.roles[r].keyids[0]], None) for r in both], now)


def _trusted(workspace: Workspace, role: str) -> Key:
    key = trust.key_of_role(workspace, role)
    if key is None:
        raise no_keys(workspace)
    return key


def _brought(file: Path, like: Key) -> Key:
    key = read_public_key(file)
    key.unrecognized_fields.update(like.unrecognized_fields)
    return key


def _newest(workspace: Workspace) -> tuple[Metadata[Root], Metadata[Targets]]:
    root, top = trust.newest_root(workspace), trust.newest_targets(workspace)
    if root is None or top is None:
        raise no_keys(workspace)
    return root, top
