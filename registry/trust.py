"""Root and targets metadata: what the offline keys signed, kept in the workspace and copied to the repository."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from securesystemslib.signer import Key, Signer, SSlibKey
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Signed, Targets
from tuf.api.serialization.json import JSONSerializer

from components.workspace import Workspace
from components.workspace.errors import InputError, MusterError
from components.workspace.files import write_bytes

HOLDER = "x-muster-holder"
"""The field of a key that says whose it is, where the role's name does not."""
_ID_DIGITS = 16
ROOT_THRESHOLD = 2
RELEASES_THRESHOLD = 2
_LIFETIME_DAYS = {"root": 365, "targets": 90, "releases": 90, "fleet": 7, "snapshot": 7, "timestamp": 1}
"""How long a signature counts: the shorter, the sooner a device notices that it is shown old metadata."""


def newest_root(workspace: Workspace) -> Metadata[Root] | None:
    """The latest root metadata, None before the first."""
    files = files_of(workspace, Root.type)
    return Metadata[Root].from_bytes(files[-1].read_bytes()) if files else None


def newest_targets(workspace: Workspace) -> Metadata[Targets] | None:
    """The latest targets metadata, None before the first."""
    files = files_of(workspace, Targets.type)
    return Metadata[Targets].from_bytes(files[-1].read_bytes()) if files else None


def files_of(workspace: Workspace, role: str) -> list[Path]:
    """`<version>.<role>.json` of 'root' or 'targets', oldest first. The first root is what devices carry in their image."""
    return sorted((workspace.state / "trust").glob(f"*.{role}.json"), key=lambda f: int(f.name.partition(".")[0]))


def keep(workspace: Workspace, metadata: Metadata[Any]) -> None:
    file = workspace.state / "trust" / f"{metadata.signed.version}.{metadata.signed.type}.json"
    write_bytes(file, to_bytes(metadata))


def key_of_role(workspace: Workspace, role: str) -> Key | None:
    """The key that devices trust for 'timestamp', 'root-1', 'fleet-pumps', 'people/ana', ...; the newest where there are two."""
    for delegator in (newest_root(workspace), newest_targets(workspace)):
        if delegator and (found := key_under(delegator.signed, role)):
            return found
    return None


def key_under(delegator: Root | Targets, role: str) -> Key | None:
    """As `key_of_role`, among those that ``delegator`` names."""
    named = {"people": "releases", **dict.fromkeys(("root-1", "root-2", "root-3"), Root.type)}.get(role.partition("/")[0], role)
    holder = role.rpartition("/")[2]
    source = delegator if isinstance(delegator, Root) else delegator.delegations
    found = (source.roles or {}).get(named) if source else None
    held = [source.keys[i] for i in found.keyids if holder_of(source.keys[i], named) == holder] if source and found else []
    return held[-1] if held else None


def holder_of(key: Key, role: str) -> str:
    """Who has a key of the TUF role ``role``: a person, 'root-1' to 'root-3', or the role itself."""
    return str(key.unrecognized_fields.get(HOLDER, role))


def names_key(workspace: Workspace, keyid: str) -> bool:
    """Whether the newest root or targets metadata has a key or a signature under this id."""
    newest = (files_of(workspace, role)[-1:] for role in (Root.type, Targets.type))
    return any(keyid.encode() in file.read_bytes() for files in newest for file in files)


def key_of(public: PublicKeyTypes, keyid: str | None = None) -> SSlibKey:
    """``keyid``: what the key is called, if not by the first digits of its digest.

    What keys are called is up to those who sign for them, as long as each name is used once (TAP 12, in the specification
    since 1.0.20). Every device fetches each name twice; `require_distinct` holds how few digits they have.
    """
    key = SSlibKey.from_crypto(public, keyid=keyid)
    if keyid is None:
        key.keyid = key.keyid[:_ID_DIGITS]
    return key


def is_same(one: Key, other: Key) -> bool:
    """Whether both are one public key, whatever they are called."""
    return one.keyval == other.keyval


def require_distinct(keys: Iterable[Key]) -> None:
    """Each id names one key, and each key has one id: clients count a threshold by ids, so that one key under two of them
    would sign twice (GHSA-3633-5h82-39pq).

    Raises:
        InputError: a key is there twice, or two have one id.
    """
    seen: set[str] = set()
    for key in keys:
        marks = {key.keyid, json.dumps(key.keyval, sort_keys=True)}
        if marks & seen:
            raise InputError(f"one key, {key.keyid}, cannot belong to two", hint="make a key of its own for each of them")
        seen |= marks


def delegations(persons: dict[str, Key], fleets: dict[str, Key]) -> Delegations:
    """``persons`` release artefacts, two at a time; each fleet's key writes the manifests of its fleet alone.

    Raises:
        InputError: two of them have one key.
    """
    require_distinct((*persons.values(), *fleets.values()))
    roles = {
        "releases": DelegatedRole(
            "releases", [k.keyid for k in persons.values()], RELEASES_THRESHOLD, terminating=True, paths=["artifacts/*"]
        )
    }
    for role, key in fleets.items():
        path = f"fleets/{role.removeprefix('fleet-')}/*/rollout.json"
        roles[role] = DelegatedRole(role, [key.keyid], 1, terminating=True, paths=[path])
    return Delegations({k.keyid: k for k in (*persons.values(), *fleets.values())}, roles)


def expiry(role: str, now: datetime, days: Mapping[str, int] = MappingProxyType({})) -> datetime:
    """``days``: lifetimes of online roles that are not the usual ones."""
    return now + _lifetime(role, days)


def is_fresh(role: str, signed: Signed, now: datetime, days: Mapping[str, int] = MappingProxyType({})) -> bool:
    """Whether at least half of the lifetime is left."""
    return signed.expires - now > _lifetime(role, days) / 2


def sign(metadata: Metadata[Any], signer: Signer, *, append: bool = False) -> None:
    """Add the signature, to those that are there with ``append``. A signer's own error comes through as it is."""
    try:
        metadata.sign(signer, append=append)
    except UnsignedMetadataError as error:
        raise (error.__cause__ if isinstance(error.__cause__, MusterError) else error) from None


def to_bytes(metadata: Metadata[Any]) -> bytes:
    return metadata.to_bytes(JSONSerializer(compact=True))


def _lifetime(role: str, days: Mapping[str, int]) -> timedelta:
    kind = "fleet" if role.startswith("fleet-") else role
    return timedelta(days=days.get(kind, _LIFETIME_DAYS[kind]))
