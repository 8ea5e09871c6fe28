"""Who may sign: key files, and the root and targets metadata that name them.

====================  =========  ====================================================================
role                  threshold  what its keys may say
====================  =========  ====================================================================
root-1, -2, -3        2 of 3     which keys all other roles have; kept offline
targets               1          which persons release, and which key serves which fleet; kept offline
releases (persons)    2          which artefacts may run on which hardware: four eyes
fleet-<name>          1          which of these artefacts its fleet is offered, and from which stage on
snapshot, timestamp   1          that all of this belongs together, and is fresh
====================  =========  ====================================================================

The last two rows are the online keys: unattended runs hold them and no others. A key file is PKCS #8 PEM with
mode 0600, encrypted when MUSTER_KEY_PASSPHRASE is set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Root, Targets

from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.files import write_bytes
from registry import trust
from registry.contract.times import utc_now

PASSPHRASE = "MUSTER_KEY_PASSPHRASE"  # noqa: S105 - the name of the variable
HOLDER, DEMO = "x-muster-holder", "x-muster-demo"
_PERSON = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ROOTS = ("root-1", "root-2", "root-3")


@dataclass(frozen=True)
class Holder:
    """One trusted key. ``here``: the private key lies in this workspace; ``demo``: made for a demonstration.

    ``public``: the public key, 32 bytes in hex.
    """

    role: str
    name: str
    keyid: str
    here: bool
    demo: bool
    public: str


def init_keys(
    workspace: Workspace, people: Sequence[str] = (), *, demo: bool = False, now: datetime | None = None
) -> tuple[Holder, ...]:
    """Make every key that is missing, and sign who they belong to.

    Running it again adds new persons and the keys of new fleets, renews what nears its expiry, and else changes nothing.

    Raises:
        InputError: fewer than two persons, or a name that is no name.
    """
    now = now or utc_now()
    for name in people:
        if not _PERSON.fullmatch(name):
            raise InputError(f"'{name}' is no name for a person", hint="use small letters, digits, - and _")
    everyone = sorted({*people, *_people(workspace)})
    if len(everyone) < trust.RELEASES_THRESHOLD:
        raise InputError(
            "a release takes the keys of two persons", hint="muster keys init --person ana --person ben, with your names"
        )
    fleets = [f"fleet-{f.name}" for f in workspace.settings.fleets]
    public = {r: _public(workspace, r, demo=demo) for r in (*ROOTS, "targets", "snapshot", "timestamp", *fleets)}
    persons = {name: _public(workspace, f"people/{name}", demo=demo) for name in everyone}
    _sign_targets(workspace, persons, {f: public[f] for f in fleets}, now)
    _sign_root(workspace, public, now)
    return show_keys(workspace)


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
    return tuple(
        Holder(
            role,
            _holder(keys[keyid]),
            keyid,
            _file_of(workspace, role, _holder(keys[keyid])).is_file(),
            is_demo(keys[keyid]),
            str(keys[keyid].keyval["public"]),
        )
        for role, named in roles.items()
        for keyid in named.keyids
    )


def signer_of(workspace: Workspace, role: str) -> CryptoSigner:
    """The private key of a role that has one key ('timestamp', 'fleet-pumps', 'people/ana', ...).

    Raises:
        NotFound: the key is not in this workspace.
        InputError: the key file does not open with the given passphrase.
    """
    file = _key_file(workspace, role)
    if not file.is_file():
        raise NotFound(f"the private key of '{role}' is not in {file.parent}", hint="run this where the key is kept")
    try:
        key = load_pem_private_key(file.read_bytes(), _passphrase())
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}: the key does not open: {error}", hint=f"set {PASSPHRASE} to its passphrase") from None
    return CryptoSigner(cast(Ed25519PrivateKey, key))


def spare_key(workspace: Workspace, role: str, *, like: Key) -> Key:
    """A new key for ``role``, kept beside the one in use until `adopt_key`."""
    file = _key_file(workspace, f"{role}.next")
    file.unlink(missing_ok=True)
    key = _make(workspace, f"{role}.next").public_key
    key.unrecognized_fields.update(like.unrecognized_fields)
    return key


def adopt_key(workspace: Workspace, role: str) -> None:
    """Sign with the spare key from now on; the old one is gone."""
    os.replace(_key_file(workspace, f"{role}.next"), _key_file(workspace, role))


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


def _holder(key: Key) -> str:
    return str(key.unrecognized_fields.get(HOLDER, ""))


def _people(workspace: Workspace) -> list[str]:
    return sorted(h.name for h in show_keys(workspace) if h.role == "releases") if trust.newest_root(workspace) else []


def _sign_targets(workspace: Workspace, persons: dict[str, Key], fleets: dict[str, Key], now: datetime) -> None:
    before = trust.newest_targets(workspace)
    wanted = trust.delegations(persons, fleets)
    if before and before.signed.delegations == wanted and trust.is_fresh("targets", before.signed, now):
        return
    version = before.signed.version + 1 if before else 1
    metadata = Metadata(Targets(version, expires=trust.expiry("targets", now), delegations=wanted))
    metadata.sign(signer_of(workspace, "targets"))
    trust.keep(workspace, metadata)


def _sign_root(workspace: Workspace, public: dict[str, Key], now: datetime) -> None:
    before = trust.newest_root(workspace)
    if before and trust.is_fresh("root", before.signed, now):
        return
    version = before.signed.version + 1 if before else 1
    root = Root(version, expires=trust.expiry("root", now), consistent_snapshot=True)
    for name in (*ROOTS, "targets", "snapshot", "timestamp"):
        root.add_key(public[name], name.partition("-")[0])
    root.roles["root"].threshold = trust.ROOT_THRESHOLD
    metadata = Metadata(root)
    for name in ROOTS:
        metadata.sign(signer_of(workspace, name), append=True)
    trust.keep(workspace, metadata)


def _public(workspace: Workspace, role: str, *, demo: bool) -> Key:
    """The public half of a key that is made if nobody has it yet, with its holder's name and whether it is a demo's."""
    name = role.rpartition("/")[2]
    known = {h.name: h.keyid for h in show_keys(workspace)} if trust.newest_root(workspace) else {}
    if name in known:
        return trust.key_of(workspace, known[name])
    key = _make(workspace, role).public_key
    key.unrecognized_fields[HOLDER] = name
    if demo:
        key.unrecognized_fields[DEMO] = True
    return key


def _make(workspace: Workspace, role: str) -> CryptoSigner:
    file = _key_file(workspace, role)
    if not file.is_file():
        data = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _encryption())
        write_bytes(file, data, mode=0o600)
    return signer_of(workspace, role)


def _file_of(workspace: Workspace, role: str, name: str) -> Path:
    return _key_file(workspace, f"people/{name}" if role == "releases" else name)


def _key_file(workspace: Workspace, role: str) -> Path:
    return workspace.state / "keys" / f"{role}.key"


def _passphrase() -> bytes | None:
    return os.environ.get(PASSPHRASE, "").encode() or None


def _encryption() -> KeySerializationEncryption:
    phrase = _passphrase()
    return BestAvailableEncryption(phrase) if phrase else NoEncryption()
