"""When a new root may be laid down: devices go to the newest that they find, whether the rest is signed for it yet or not."""

from __future__ import annotations

from collections.abc import Mapping

from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp

from registry.repository import metadata
from registry.repository.store import Store


def for_later(new: Mapping[str, bytes], signed: Mapping[str, bytes | None]) -> tuple[str, ...]:
    """Of the roots in ``new`` (file name -> bytes, in order), those from the first on that does not accept what is there now.

    ``signed``: of `signed_for`, before anything is written. They are written when all else is (see registry/keys/rotation.py).
    """
    names = list(new)
    for index, data in enumerate(new.values()):
        root = Metadata[Root].from_bytes(data).signed
        if not all(accepts(root, role, file) for role, file in signed.items()):
            return tuple(names[index:])
    return ()


def signed_for(store: Store, timestamp: bytes | None) -> dict[str, bytes | None]:
    """Role -> file of all that a root vouches for, as devices find it below ``timestamp``; None where they find nothing."""
    stamp = metadata.parse(timestamp, Timestamp)
    if stamp is None:
        return {Timestamp.type: timestamp}
    data = store.read(f"metadata/{stamp.signed.snapshot_meta.version}.snapshot.json")
    shot = metadata.parse(data, Snapshot)
    top = shot.signed.meta["targets.json"].version if shot and "targets.json" in shot.signed.meta else 0
    return {Timestamp.type: timestamp, Snapshot.type: data, Targets.type: store.read(f"metadata/{top}.targets.json")}


def accepts(root: Root, role: str, data: bytes | None) -> bool:
    """Whether ``data`` is the role's, signed by enough of the keys that ``root`` names for it."""
    found = metadata.parse(data, Signed)
    return found is not None and bool(root.get_verification_result(role, found.signed_bytes, found.signatures).verified)
