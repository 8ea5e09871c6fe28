"""Keys change hands, get lost and are stolen, and devices go on."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from components.workspace import Workspace
from components.workspace.errors import ApprovalNeeded, BackendUnreachable, Conflict, InputError, NotFound, VerificationFailed
from registry import rollout, trust
from registry.contract.times import utc_now
from registry.device import Decision, check
from registry.inventory import import_devices
from registry.keys import exposed, init_keys, rotate_key, show_keys, signer_of
from registry.keys import rotation as rotating
from registry.repository import expiring_offline, refresh_expiring, unpublished_roots
from registry.repository.store import open_store
from registry.rollout.publication import reconcile
from tests.registry.cli import Run
from tests.registry.faults import Dying, Killed
from tests.registry.workspaces import (
    artefacts,
    canary,
    image_root,
    make_workspace,
    proofs,
    release,
    repository_of,
    version,
)

ROLES = ("root-1", "root-2", "targets", "timestamp", "snapshot", "fleet-north")


def looks(workspace: Workspace, state: Path, release_id: str = "north-r1") -> Decision:
    """What the first device in line decides, with its memory in ``state``."""
    known = canary(workspace, rollout.show_release(workspace, release_id))
    return check(str(repository_of(workspace)), image_root(workspace), known, state)


def publish_dying(workspace: Workspace, state: Path) -> int:
    """Publish with a publisher that dies at its first, second, ... write, while devices look; returns how often it died."""
    kills = 0
    while True:
        try:
            reconcile(workspace, store=Dying(open_store(workspace), 1 if kills else 0))
        except Killed:
            kills += 1
            assert looks(workspace, state).install
            assert looks(workspace, state.parent / f"fresh-{kills}").install
        else:
            return kills


def holder(workspace: Workspace, name: str) -> str:
    return next(h.keyid for h in show_keys(workspace) if h.name == name)


@pytest.mark.parametrize("compromised", [False, True])
@pytest.mark.parametrize("role", ROLES)
def test_a_key_is_rotated_without_a_device_noticing(released: Workspace, tmp_path: Path, role: str, compromised: bool) -> None:
    """Whatever dies in between, devices with and without a memory install at every moment."""
    assert looks(released, tmp_path / "device").install
    stolen, before = (released.state / f"keys/{role}.key").read_bytes(), holder(released, role)
    done = rotate_key(released, role, compromised=compromised)
    assert {r.role for r in done} == {role, *(("snapshot", "timestamp") if compromised else ())}
    assert publish_dying(released, tmp_path / "device") > 0
    assert looks(released, tmp_path / "device").install
    assert rollout.verify(released).published
    assert before not in {h.keyid for h in show_keys(released)}
    assert holder(released, role) == done[0].after == signer_of(released, role).public_key.keyid
    (released.state / f"keys/{role}.key").write_bytes(stolen)
    assert signer_of(released, role).public_key.keyid == before


@pytest.mark.parametrize("second", ["snapshot", "root-1"])
def test_what_was_rotated_before_is_published_before_the_next(
    muster: Run, released: Workspace, tmp_path: Path, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's publication failed. Published together, no root would take what a device finds in between."""
    assert looks(released, tmp_path / "device").install
    rotate_key(released, "timestamp")
    published: list[tuple[str, ...]] = []

    def noted(workspace: Workspace) -> None:
        published.append(unpublished_roots(workspace))
        reconcile(workspace)

    monkeypatch.setattr(rollout, "reconcile", noted)
    code, _, err = muster("keys", "rotate", second, released.root)
    assert (code, err) == (0, "")
    assert published[0] == ("2.root.json", "3.root.json")
    assert published[1][0] == "4.root.json"
    assert looks(released, tmp_path / "device").install


def test_a_dry_rotation_publishes_nothing(muster: Run, released: Workspace) -> None:
    rotate_key(released, "timestamp")
    assert muster("keys", "rotate", "snapshot", released.root, "--dry-run")[0] == 0
    assert unpublished_roots(released)


def test_where_the_last_rotation_cannot_be_published_the_next_one_may_be_the_remedy(muster: Run, released: Workspace) -> None:
    rotate_key(released, "timestamp")
    (released.state / "keys/timestamp.key").unlink()
    code, _, err = muster("keys", "rotate", "timestamp", released.root)
    assert code == 0, err
    assert "2.root.json, 3.root.json could not be published first" in err
    assert unpublished_roots(released) == ()


def test_an_unreachable_repository_stops_a_second_rotation(
    muster: Run, released: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate_key(released, "timestamp")
    before = holder(released, "snapshot")

    def unreachable(_: Workspace) -> None:
        raise BackendUnreachable("the bucket does not answer", hint="try again")

    monkeypatch.setattr(rollout, "reconcile", unreachable)
    assert muster("keys", "rotate", "snapshot", released.root)[0] == 6
    assert holder(released, "snapshot") == before


def test_what_an_old_key_signs_counts_no_more(released: Workspace) -> None:
    stolen = (released.state / "keys/timestamp.key").read_bytes()
    rotate_key(released, "timestamp")
    reconcile(released)
    (released.state / "keys/timestamp.key").write_bytes(stolen)
    with pytest.raises(VerificationFailed, match="not the one that devices trust"):
        refresh_expiring(released, now=utc_now() + timedelta(days=5))


def test_every_root_key_is_replaced_one_after_the_other(released: Workspace, tmp_path: Path) -> None:
    """A device that knows only the root in its image follows the whole way."""
    first = {h.keyid for h in show_keys(released)}
    for name in ("root-1", "root-2", "root-3", "targets"):
        rotate_key(released, name)
    reconcile(released)
    assert looks(released, tmp_path / "device").install
    root = Metadata[Root].from_bytes(trust.files_of(released, "root")[-1].read_bytes())
    assert not set(root.signed.roles["root"].keyids) & first
    assert len(trust.files_of(released, "root")) == 5


def test_two_root_keys_of_three_are_enough_to_replace_the_lost_one(released: Workspace, tmp_path: Path) -> None:
    keys = released.state / "keys"
    (keys / "root-3.key").unlink()
    rotate_key(released, "root-3")
    reconcile(released)
    assert looks(released, tmp_path / "device").install
    (keys / "root-1.key").unlink()
    (keys / "root-2.key").unlink()
    with pytest.raises(NotFound, match="1 of the root keys are here, and it takes 2"):
        rotate_key(released, "root-1")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("killed", ["adopt_key", "sign_root"])
def test_a_rotation_that_was_killed_is_finished_by_the_next(released: Workspace, tmp_path: Path, role: str, killed: str) -> None:
    """The new key may be trusted already, while the old one still lies in its place."""

    def die(*_args: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotating, killed, die)
        try:
            rotate_key(released, role)
        except Killed:
            pass
        else:
            assert (role, killed) == ("fleet-north", "sign_root"), "a fleet's key takes no root"
    rotate_key(released, role)
    reconcile(released)
    assert looks(released, tmp_path / "device").install
    assert signer_of(released, role).public_key.keyid == holder(released, role)
    assert not list((released.state / "keys").glob("*.next.key"))


def _fast_forward(workspace: Workspace, keys: Path) -> None:
    """Who stole the online keys shows devices the highest numbers there are, and a manifest of their own."""
    folder = repository_of(workspace)
    highest = 2**31
    stolen = {r: _thief(keys / f"{r}.key") for r in ("timestamp", "snapshot", "fleet-north")}
    newest = Metadata[Targets].from_bytes((folder / "metadata/1.fleet-north.json").read_bytes()).signed
    listed = {}
    for path, target in newest.targets.items():
        name = folder / f"targets/{path.rpartition('/')[0]}/{target.hashes['sha256']}.rollout.json"
        manifest = json.loads(name.read_bytes()) | {"sequence_number": highest}
        data = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        listed[path] = TargetFile.from_data(path, data, ["sha256"])
        (name.parent / f"{listed[path].hashes['sha256']}.rollout.json").write_bytes(data)
    expires = utc_now() + timedelta(days=300)
    fleet = Metadata(Targets(highest, expires=expires, targets=listed))
    fleet.sign(stolen["fleet-north"])
    (folder / f"metadata/{highest}.fleet-north.json").write_bytes(trust.to_bytes(fleet))
    meta = {"targets.json": MetaFile(1), "releases.json": MetaFile(1), "fleet-north.json": MetaFile(highest)}
    shot = Metadata(Snapshot(highest, expires=expires, meta=meta))
    shot.sign(stolen["snapshot"])
    (folder / f"metadata/{highest}.snapshot.json").write_bytes(trust.to_bytes(shot))
    stamp = Metadata(
        Timestamp(highest, expires=expires, snapshot_meta=MetaFile.from_data(highest, trust.to_bytes(shot), ["sha256"]))
    )
    stamp.sign(stolen["timestamp"])
    (folder / "metadata/timestamp.json").write_bytes(trust.to_bytes(stamp))


def _thief(file: Path) -> CryptoSigner:
    private = cast(Ed25519PrivateKey, load_pem_private_key(file.read_bytes(), None))
    return CryptoSigner(private, trust.key_of(private.public_key()))


def test_devices_recover_in_one_refresh_from_stolen_online_keys(released: Workspace, tmp_path: Path) -> None:
    """The thief had timestamp, snapshot and the fleet's key, and ran all numbers up as far as they go."""
    assert looks(released, tmp_path / "device").install
    shutil.copytree(released.state / "keys", tmp_path / "stolen")
    _fast_forward(released, tmp_path / "stolen")
    seen = looks(released, tmp_path / "device").manifest
    assert seen is not None
    assert seen.sequence_number == 2**31
    rotate_key(released, "fleet-north", compromised=True)
    reconcile(released)
    stamp = Metadata[Timestamp].from_bytes((repository_of(released) / "metadata/timestamp.json").read_bytes())
    assert stamp.signed.version < 100, "what a thief signed does not count"
    again = looks(released, tmp_path / "device")
    assert again.install
    assert again.manifest is not None
    assert again.manifest.sequence_number == 1
    _fast_forward(released, tmp_path / "stolen")
    with pytest.raises(VerificationFailed, match="bad_signature"):
        looks(released, tmp_path / "device")


@pytest.mark.parametrize("role", ["root-1", "targets", "timestamp", "fleet-north", "people/ana"])
def test_keys_that_have_long_ids_keep_them_until_they_are_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """Ids are longer than needed in workspaces from before; what such keys sign counts as before, and new ones are short."""
    with monkeypatch.context() as before:
        before.setattr(trust, "_ID_DIGITS", 64)
        workspace = make_workspace(tmp_path / "w")
        import_devices(workspace)
    assert {len(h.keyid) for h in show_keys(workspace)} == {64}
    release(workspace)
    assert looks(workspace, tmp_path / "device").install
    if role == "people/ana":
        with pytest.raises(ApprovalNeeded):
            rollout.rotate_person(workspace, "ana")
        for person in ("ana", "ben"):
            rollout.renew(workspace, person, "a new key")
        rollout.rotate_person(workspace, "ana")
    else:
        rotate_key(workspace, role)
    assert sorted(len(h.keyid) for h in show_keys(workspace))[:2] == [16, 64]
    reconcile(workspace)
    assert looks(workspace, tmp_path / "device").install


def test_one_key_is_never_two(released: Workspace, tmp_path: Path, muster: Run) -> None:
    """Clients count signatures by the ids of keys: one key under two ids would be two persons."""
    pem = tmp_path / "ana.pem"
    private = load_pem_private_key((released.state / "keys/people/ana.key").read_bytes(), None)
    pem.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for wrong in (
        ("rotate", "fleet-north", "--public-key", pem),
        ("rotate", "people/ben", "--public-key", pem),
        ("add", "cai", "--public-key", pem),
        ("init", "--public-key", f"people/cai={pem}"),
    ):
        code, _, said = muster("keys", *wrong[: 1 + (wrong[0] != "init")], released.root, *wrong[-2:])
        assert code == 2, wrong
        assert f"one key, {holder(released, 'ana')}, cannot belong to two" in said


def test_only_known_roles_are_rotated(released: Workspace) -> None:
    for role in ("releases", "fleet-south", "root-4"):
        with pytest.raises(InputError, match=f"'{role}' has no key to rotate"):
            rotate_key(released, role)


# Persons


def test_a_third_person_makes_room_for_a_new_key_at_once(released: Workspace, tmp_path: Path) -> None:
    rollout.add_person(released, "cai")
    reconcile(released)
    (drafted,) = rollout.draft(released, version(2), artefacts("b"), proofs("b"), "pipeline")
    rollout.approve(released, drafted.id, "ben", "fine")
    rollout.approve(released, drafted.id, "cai", "fine")
    assert looks(released, tmp_path / "device", "north-r2").install
    before = holder(released, "ana")
    done = rollout.rotate_person(released, "ana")
    assert publish_of(released, tmp_path / "device", "north-r2") > 0
    assert (done.before, done.after) == (before, holder(released, "ana"))
    assert signer_of(released, "people/ana").public_key.keyid == done.after


def publish_of(workspace: Workspace, state: Path, release_id: str) -> int:
    kills = 0
    while True:
        try:
            reconcile(workspace, store=Dying(open_store(workspace), 1 if kills else 0))
        except Killed:
            kills += 1
            assert looks(workspace, state, release_id).install
        else:
            assert looks(workspace, state, release_id).install
            return kills


@pytest.mark.parametrize("lost", [False, True])
def test_one_of_two_persons_gets_a_new_key_when_both_have_signed_what_is_released(
    released: Workspace, tmp_path: Path, lost: bool
) -> None:
    """Also when the old key is lost: then what both sign counts only together with the change."""
    before = holder(released, "ana")
    with pytest.raises(ApprovalNeeded, match="two of ana, ben have to sign what is released anew"):
        rollout.rotate_person(released, "ana")
    if lost:
        (released.state / "keys/people/ana.key").unlink()
    assert not rollout.renew(released, "ana", "new key").in_force
    with pytest.raises(ApprovalNeeded, match="ana signed it already"):
        rollout.rotate_person(released, "ana")
    assert rollout.renew(released, "ben", "ana has a new key").in_force == (not lost)
    assert looks(released, tmp_path / "device").install
    done = rollout.rotate_person(released, "ana")
    assert publish_of(released, tmp_path / "device", "north-r1") > 0
    assert done.before == before != holder(released, "ana")
    assert rollout.verify(released).published
    assert release(released, 2, "b").state == "running"


def test_who_goes_counts_no_more_and_what_is_released_stays(released: Workspace, tmp_path: Path) -> None:
    rollout.add_person(released, "cai")
    reconcile(released)
    with pytest.raises(ApprovalNeeded, match="two of ana, cai have to sign"):
        rollout.remove_person(released, "ben")
    for name in ("ana", "cai"):
        rollout.renew(released, name, "ben leaves")
    (drafted,) = rollout.draft(released, version(2), artefacts("b"), proofs("b"), "pipeline")
    rollout.approve(released, drafted.id, "ben", "before I go")
    assert rollout.remove_person(released, "ben") == ("ana", "cai")
    assert publish_of(released, tmp_path / "device", "north-r1") > 0
    with pytest.raises(VerificationFailed, match="not one of those that may release"):
        rollout.approve(released, drafted.id, "ben", "again")
    assert rollout.approve(released, drafted.id, "ana", "fine").state == "waiting_for_approval", "ben's does not count"
    assert rollout.approve(released, drafted.id, "cai", "fine").state == "running"
    assert looks(released, tmp_path / "device", "north-r2").install


def test_two_persons_have_to_be_left(released: Workspace) -> None:
    with pytest.raises(InputError, match="without ben nobody could release"):
        rollout.remove_person(released, "ben")
    with pytest.raises(NotFound, match="nobody called 'eve'"):
        rollout.remove_person(released, "eve")
    with pytest.raises(Conflict, match="ana may release already"):
        rollout.add_person(released, "ana")
    with pytest.raises(InputError, match="no name"):
        rollout.add_person(released, "Ana B.")


def test_before_the_first_release_persons_change_at_once(stocked: Workspace) -> None:
    rollout.add_person(stocked, "cai")
    assert rollout.remove_person(stocked, "ben") == ("ana", "cai")
    rollout.rotate_person(stocked, "ana")
    with pytest.raises(NotFound, match="nothing is released yet"):
        rollout.renew(stocked, "ana", "why not")


def test_two_persons_renew_what_nears_its_expiry(stocked: Workspace, tmp_path: Path) -> None:
    """Nothing that devices may run changes, and the next release builds on it."""
    release(stocked, now=utc_now() - timedelta(days=60))
    assert "releases" in expiring_offline(stocked)
    assert rollout.renew(stocked, "ana", "it expires", dry_run=True).persons == ("ana",)
    rollout.renew(stocked, "ana", "it expires")
    with pytest.raises(Conflict, match="ana has signed version 2 already"):
        rollout.renew(stocked, "ana", "again")
    assert rollout.renew(stocked, "ben", "it expires").in_force
    assert "releases" not in expiring_offline(stocked)
    assert rollout.verify(stocked).published
    assert release(stocked, 2, "b").state == "running"
    assert looks(stocked, tmp_path / "device", "north-r2").install
    assert (repository_of(stocked) / "metadata/3.releases.json").is_file()


# The command line


def test_the_whole_story_on_the_command_line(released: Workspace, muster: Run, tmp_path: Path) -> None:
    root, why = released.root, ("--reason", "the laptop was stolen")
    code, output, _ = muster("keys", "rotate", "people/ana", root, "--dry-run", "--json")
    assert (code, json.loads(output)["data"][0]["after"]) == (0, "")
    assert muster("keys", "rotate", "people/ana", root, "--compromised")[0] == 7
    assert "waits for 1 more" in muster("keys", "renew", root, "--person", "ana", *why)[1]
    assert "in force" in muster("keys", "renew", root, "--person", "ben", *why)[1]
    code, output, _ = muster("keys", "rotate", "people/ana", root, "--compromised", "--json")
    assert (code, [r["role"] for r in json.loads(output)["data"]]) == (0, ["people/ana", "timestamp", "snapshot"])
    assert muster("keys", "remove", "ben", root)[0] == 2
    assert muster("keys", "add", "cai", root)[1] == "who may release: ana, ben, cai; two of them at a time\n"
    assert muster("keys", "remove", "ben", root)[0] == 7
    for role in ("root-1", "targets", "fleet-north"):
        assert muster("keys", "rotate", role, root)[0] == 0
    assert muster("keys", "rotate", "nobody", root)[0] == 2
    assert muster("release", "verify", root)[0] == 0
    assert looks(released, tmp_path / "device").install


def test_offline_keys_beside_online_ones_are_named(tmp_path: Path, stocked: Workspace, muster: Run) -> None:
    shutil.rmtree(stocked.state / "keys")
    shutil.rmtree(stocked.state / "trust")
    _, _, error = muster("keys", "init", stocked.root, "--person", "ana", "--person", "ben")
    assert "offline keys lie beside the online ones: root-1, root-2, root-3, targets, ana, ben" in error.replace("\n", " ")
    for name in ("root-1", "root-2", "root-3", "targets", "people/ana", "people/ben"):
        (stocked.state / f"keys/{name}.key").rename(tmp_path / name.replace("/", "-"))
    assert exposed(show_keys(stocked)) == ()
    _, output, error = muster("keys", "show", stocked.root, "--json")
    assert (error, {h["signer"] for h in json.loads(output)["data"] if h["here"]}) == ("", {"file"})


def test_keys_that_near_their_expiry_are_named_and_renewed(stocked: Workspace) -> None:
    from registry.keys import near_expiry

    later = utc_now() + timedelta(days=60)
    assert near_expiry(stocked, now=later) == ("targets",)
    init_keys(stocked, now=later)
    assert near_expiry(stocked, now=later) == ()
