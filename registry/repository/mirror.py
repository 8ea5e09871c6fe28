"""Lay what is published into another place as well: the same bytes, so that a device may read either.

What devices read now is copied, and only what verifies as it does on a device; what is there already stays. A reader of
the other place finds a whole repository wherever the copying stops: nobody reads the new files before the timestamp names
them, and a root that does not accept what was there before comes after it.
"""

from __future__ import annotations

import random
import time

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import Updater

from components.workspace import Workspace
from components.workspace.errors import Conflict, MusterError, VerificationFailed
from registry import trust
from registry.contract.manifest import Manifest, manifest_path
from registry.repository import metadata, roots
from registry.repository.reading import StoreFetcher, device_of
from registry.repository.store import Store, address, create_all, open_store

_ATTEMPTS = 8
_PAUSE_S = 0.05


def mirrors(workspace: Workspace) -> tuple[str, ...]:
    """The places of `registry.mirrors`."""
    return tuple(address(workspace, place) for place in workspace.settings.registry.mirrors)


def mirror_all(workspace: Workspace) -> None:
    """`mirror` to every place of `registry.mirrors`, once something is published. One that cannot be had keeps no other waiting.

    Raises:
        MusterError: what kept the first of them from being written, with the names of all.
    """
    places, failed = mirrors(workspace), []
    if not places or open_store(workspace).read(metadata.TIMESTAMP) is None:
        return
    for place in places:
        try:
            _persistently(workspace, place)
        except MusterError as error:
            failed.append((place, error))
    if failed:
        raise type(failed[0][1])(
            "\n".join(f"not mirrored to {place}: {error.message}" for place, error in failed),
            hint="the repository itself is published; muster release publish goes on with its mirrors",
        )


def _persistently(workspace: Workspace, place: str) -> None:
    """Who is overtaken may find the place newer than what it read: it reads again."""
    for again in range(_ATTEMPTS):
        try:
            mirror(workspace, open_store(workspace), open_store(workspace, place))
        except Conflict:
            if again == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - keeps publishers apart, no secret
        else:
            return


def mirror(workspace: Workspace, source: Store, place: Store) -> tuple[str, ...]:
    """Make ``place`` what ``source`` is now; returns the files that were written, none when it is that already.

    Raises:
        NotFound: the workspace has no keys, so nobody could say which signatures count.
        VerificationFailed: a device would refuse what ``source`` has.
        Conflict: ``place`` has a newer repository, or another publisher was first.
    """
    fetcher = StoreFetcher(source)
    with place.lock(), device_of(workspace, fetcher) as device:
        image = trust.files_of(workspace, Root.type)[0]
        before = place.read(metadata.TIMESTAMP)
        there = {f"metadata/{name}" for name in place.names("metadata")} | place.below("targets")
        try:
            paths = _read_all_but_artefacts(device, fetcher)
            live = {f"metadata/{image.name}": image.read_bytes()} | fetcher.read
            stamp = live.pop(metadata.TIMESTAMP)
            known = {name: data for name, data in live.items() if name.endswith(".root.json")}
            _refuse_to_go_back(before, stamp, [*known.values()][-1])
            written = _copy_artefacts(device, fetcher, place, {n: p for n, p in paths.items() if n not in there})
        except (RepositoryError, DownloadError, ValueError) as error:
            raise VerificationFailed(
                f"devices would refuse what is published: {error}", hint="muster release verify names what is wrong"
            ) from None
        new = {name: data for name, data in known.items() if name not in there}
        later = roots.for_later(new, roots.signed_for(place, before)) if new else ()
        create_all(place, {name: data for name, data in live.items() if name not in there and name not in later})
        if stamp != before:
            place.replace(metadata.TIMESTAMP, stamp, before)
        for name in later:
            place.create(name, known[name])
    written += [name for name in live if name not in there]
    return tuple(written if stamp == before else [*written, metadata.TIMESTAMP])


def _read_all_but_artefacts(device: Updater, fetcher: StoreFetcher) -> dict[str, str]:
    """Read what any device of any fleet would; returns where the artefacts lie that it would then fetch, and their paths."""
    device.refresh()
    published = Metadata[Snapshot].from_bytes(_file_of("snapshot", fetcher)).signed.meta
    if "releases.json" in published:
        device.get_targetinfo(metadata.artefact_path("any"))  # reads the role, whatever it lists
    found = {}
    for role in [n.removesuffix(".json") for n in published if n.startswith("fleet-")]:
        device.get_targetinfo(manifest_path(role.removeprefix("fleet-"), "any"))
        for path, target in Metadata[Targets].from_bytes(_file_of(role, fetcher)).signed.targets.items():
            device.download_target(target)
            artefact = Manifest.from_bytes(fetcher.read[metadata.stored_name(path, target.hashes["sha256"])]).artifact
            found[metadata.stored_name(artefact.path, artefact.sha256)] = artefact.path
    return found


def _file_of(role: str, fetcher: StoreFetcher) -> bytes:
    return next(data for name, data in fetcher.read.items() if name.partition(".")[2] == f"{role}.json")


def _refuse_to_go_back(before: bytes | None, stamp: bytes, newest: bytes) -> None:
    """A version under a key that does not count any more may be a thief's; devices have forgotten it."""
    if not roots.accepts(Metadata[Root].from_bytes(newest).signed, Timestamp.type, before):
        return
    there, here = (Metadata[Timestamp].from_bytes(data).signed.version for data in (before or b"", stamp))
    if there > here:
        raise Conflict(
            f"the other place has version {there} of the timestamp, which is newer than version {here} here",
            hint="mirror from where it was published last, or name an empty place",
        )


def _copy_artefacts(device: Updater, fetcher: StoreFetcher, place: Store, paths: dict[str, str]) -> list[str]:
    """One at a time: they are the large ones."""
    for name, path in paths.items():
        target = device.get_targetinfo(path)
        if target is None:
            raise ValueError(f"no persons have released {path}")
        device.download_target(target)
        place.create(name, fetcher.read.pop(name))
    return list(paths)
