"""A workspace of its own for a rehearsal: the release's draft, its fleet and its artefacts are copied, keys are made anew.

The copy has databases, keys and a repository of its own, whatever the configuration or the environment names for the real
ones: no invented report and no signature of a rehearsal reaches a registry that real devices follow.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.values import Artefact, Proof
from components.workspace import Workspace
from components.workspace.errors import Conflict, InputError, NotFound
from components.workspace.files import write_text
from components.workspace.registry_settings import Registry
from registry.contract.times import stamp
from registry.database import devices, open_database, reading, releases, writing
from registry.health import keys, merging
from registry.health.counts import last_seen
from registry.health.keys import Enrolment
from registry.health.tables import ACTIVE
from registry.inventory import Device, list_devices, stored
from registry.keys import init_keys
from registry.models import ModelVersion
from registry.repository import upload_artefact
from registry.repository.metadata import artefact_path, stored_name
from registry.repository.store import open_store
from registry.rollout import Release, draft, events, history, list_releases, show_release
from registry.rollout.replaying import replay

PEOPLE = ("rehearsal-1", "rehearsal-2")
_DRAFT = 2
"""A log begins with two events that are the same in every rehearsal: it was drafted, and submitted."""


class Scratch(Workspace):
    """Everything lies inside: no address of the environment counts."""

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.state.resolve() / 'mlflow.db'}"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.state.resolve() / 'registry.db'}"


@dataclass(frozen=True)
class Stage:
    """Where a rehearsal plays: ``release`` waits for approval; ``private``: who signs -> key, empty without signatures."""

    workspace: Scratch
    release: Release
    devices: tuple[Device, ...]
    private: dict[str, Ed25519PrivateKey]


@contextmanager
def prepare(
    workspace: Workspace,
    release_id: str | None,
    start: datetime,
    seed: int,
    *,
    count: int | None = None,
    signed: bool = True,
    keep: Path | None = None,
) -> Iterator[Stage]:
    """A scratch workspace with one release, gone at the end unless ``keep`` names a new folder for it, and it came to its end.

    ``release_id``: None for the newest one, where there is one fleet with releases. ``count``: so many devices in the image of
    the fleet's, for whom the release is drafted anew.

    Raises:
        NotFound: there is no such release, or the repository lacks its artefacts.
        InputError: ``release_id`` has to say which fleet.
        Conflict: ``keep`` is there already.
    """
    base = _base(workspace, release_id)
    if keep is not None and keep.exists():
        raise Conflict(f"{keep} is there already", hint="name a new folder: a rehearsal always begins at its beginning")
    folder = keep or Path(tempfile.mkdtemp(prefix="muster-rehearsal-"))
    whole = False
    try:
        yield _prepared(workspace, folder, base, start, seed, count, signed=signed)
        whole = True
    finally:
        if keep is None or not whole:
            shutil.rmtree(folder, ignore_errors=True)


def _base(workspace: Workspace, release_id: str | None) -> Release:
    if release_id is not None:
        return show_release(workspace, release_id)
    newest = {r.fleet: r for r in list_releases(workspace)}
    if not newest:
        raise NotFound("there is no release to rehearse", hint="muster run or muster release draft makes a draft")
    if len(newest) > 1:
        raise InputError(
            f"there are releases for the fleets {', '.join(newest)}",
            hint=f"say which one: --release {' or '.join(r.id for r in newest.values())}",
        )
    return next(iter(newest.values()))


def _prepared(
    workspace: Workspace, folder: Path, base: Release, start: datetime, seed: int, count: int | None, *, signed: bool
) -> Stage:
    scratch = _copy(workspace, folder, base.fleet)
    artefacts = _artefacts(workspace, base)
    for digest, data in artefacts.items():
        upload_artefact(scratch, digest, data)
    init_keys(scratch, PEOPLE, demo=True, now=start)
    fleet = list_devices(workspace, fleet=base.fleet)
    crowd = fleet if count is None else _in_the_image_of(fleet, count)
    with reading(open_database(workspace.database_url)) as connection:
        seen = last_seen(connection, base.fleet) if count is None else {}
    signers = {d.device_id for d in crowd} | {d.via for d in crowd if d.via} if signed else set()
    private = {name: _key(seed, name) for name in sorted(signers)}
    _enrol(scratch, crowd, private, seen, start)
    if count is None:
        _copy_draft(workspace, scratch, base)
        release = show_release(scratch, base.id)
    else:
        release = _drafted_anew(scratch, base, artefacts, start)
    return Stage(scratch, release, tuple(crowd), private)


def _copy(workspace: Workspace, folder: Path, fleet: str) -> Scratch:
    """With one fleet, and a registry of its own."""
    chosen = tuple(f for f in workspace.settings.fleets if f.name == fleet)
    if not chosen:
        raise NotFound(f"fleet '{fleet}' is not in muster.yaml any more", hint="rehearse the release of another fleet")
    registry = Registry(reports=workspace.settings.registry.reports)
    settings = workspace.settings.model_copy(update={"fleets": chosen, "registry": registry})
    write_text(folder / "muster.yaml", yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    (folder / "profiles").mkdir()
    for profile in workspace.profiles:
        shutil.copy(workspace.root / "profiles" / f"{profile.name}.yaml", folder / "profiles")
    return Scratch(folder.resolve(), settings, workspace.profiles)


def _artefacts(workspace: Workspace, base: Release) -> dict[str, bytes]:
    store = open_store(workspace)
    found = {}
    for digest in {o.artefact_sha256 for o in base.manifests}:
        data = store.read(stored_name(artefact_path(digest), digest))
        if data is None:
            raise NotFound(
                f"artefact {digest[:12]} of '{base.id}' is not in the repository",
                hint="muster release publish puts back what was released; muster release draft --again makes a draft anew",
            )
        found[digest] = data
    return found


def _in_the_image_of(fleet: Sequence[Device], count: int) -> list[Device]:
    """``count`` devices: the fleet again and again, each copy at sites of its own, behind gateways of its own.

    Whoever hangs on a gateway comes after all gateways of its copy, so that none is without.
    """
    if not fleet:
        raise InputError("the fleet has no devices to take as a model", hint="muster fleet import reads its inventory")
    inside = {d.device_id for d in fleet}
    order = sorted(fleet, key=lambda d: bool(d.via))

    def copy(device: Device, number: int) -> Device:
        via = f"{device.via}-{number}" if device.via in inside else device.via
        return replace(device, device_id=f"{device.device_id}-{number}", site=f"{device.site}-{number}", via=via)

    return [copy(order[i % len(order)], i // len(order)) for i in range(count)]


def _key(seed: int, device_id: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(f"rehearsal/{seed}/{device_id}".encode()).digest())


def _enrol(
    scratch: Scratch, crowd: Sequence[Device], private: dict[str, Ed25519PrivateKey], seen: dict[str, int], start: datetime
) -> None:
    """``seen``: device -> when it was last heard of."""
    said = (ACTIVE, stamp(start), "rehearsal", "made up")
    new = [Enrolment(i, 1, key.public_key().public_bytes_raw().hex(), *said) for i, key in private.items()]
    with writing(open_database(scratch.database_url)) as connection:
        connection.execute(devices.insert(), [stored(d) for d in crowd])
        keys.append(connection, new)
        merging.join_presence(connection, [(device, at, 0, "", 0) for device, at in sorted(seen.items())])


def _copy_draft(workspace: Workspace, scratch: Scratch, base: Release) -> None:
    """The very draft: the same cohorts, cuts and rules, and the same devices first."""
    log = history(workspace, base.id)[:_DRAFT]
    drafted = replay(log)
    row = {
        "id": base.id,
        "fleet": base.fleet,
        "counter": base.counter,
        "model_name": drafted.model_name,
        "model_version": drafted.model_version,
        "attempt": 1,
    }
    with writing(open_database(scratch.database_url)) as connection:
        connection.execute(sa.insert(releases), row)
        events.append(connection, log)


def _drafted_anew(scratch: Scratch, base: Release, data: dict[str, bytes], start: datetime) -> Release:
    """The first draft let these artefacts in: their proofs are not asked for again."""
    levels = {o.artefact_sha256: o.proof_level for o in base.manifests}
    artefacts = [Artefact.from_bytes(data[digest]) for digest in sorted(levels)]
    proofs = [Proof(a.profile, a.runtime, a.sha256, levels[a.sha256], "the first draft", (), "") for a in artefacts]
    version = ModelVersion(base.model_name, base.model_version, "")
    (release,) = draft(scratch, version, artefacts, proofs, "rehearsal", now=start)
    return release
