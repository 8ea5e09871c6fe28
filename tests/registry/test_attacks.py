"""Every attack that the device contract lists, on a device that asks a server in the attacker's hands.

Each is refused with the reason that docs/device-contract.md names; the device goes on running what it ran, and takes the true
release as soon as the attacker has gone.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp

from components.workspace import Workspace
from registry import rollout, trust
from registry.contract.cohort import bucket
from registry.contract.reasons import Reason
from registry.contract.times import stamp, utc_now
from registry.device import Facts, Refused, Unreachable, Updated, fetcher, update
from registry.device.slots import Slots
from registry.keys import rotate_key, signer_of
from registry.repository import publish
from registry.repository.metadata import snapshot, timestamp
from tests.registry.reporting import cohort, key_of
from tests.registry.rollouts import START, after, large, let_in, say
from tests.registry.workspaces import (
    artefacts,
    facts,
    gateway_artefact,
    image_root,
    make_workspace,
    node_artefact,
    proofs,
    release,
    repository_of,
    two_fleets,
    version,
)

PATH = "fleets/north/gateway-v2/rollout.json"
A, B, C = (gateway_artefact(label).sha256 for label in "abc")
Body = bytes | Iterator[bytes]


class Field:
    """A device, the true repository, and a server between them that does what the attacker wants."""

    def __init__(self, workspace: Workspace, folder: Path, url: str, lies: dict[str, Callable[[bytes], Body]]) -> None:
        self.workspace, self.folder, self.url, self._lies = workspace, folder, url, lies
        self.repository, self.state, self.clock = repository_of(workspace), folder / "device", utc_now
        variant = "gateway-v2"
        ids = cohort(workspace, variant)
        mine = min(ids, key=lambda i: max(bucket(f"north-r{n}", i) for n in (1, 2, 3)))
        self.facts = facts(workspace, mine, variant, rollout.show_release(workspace, "north-r1").offer(variant))

    def update(self, **changes: Any) -> Updated:
        known = Facts.model_validate(self.facts.model_dump() | changes)
        root = image_root(self.workspace)
        return update(self.url, root, known, self.state, key_of(known.device_id), now=self.clock(), deadline_s=20)

    @property
    def running(self) -> str | None:
        return Slots(self.state).running() if self.state.is_dir() else None

    def answer(self, pattern: str, lie: Callable[[bytes], Body]) -> None:
        """For requests whose path matches: something else than the file (empty where there is none)."""
        self._lies[pattern] = lie

    def swap(self, before: Path) -> None:
        """The repository as it was at another time."""
        self.answer(".*", lambda _: b"")
        self._lies[".*"] = lambda _: b""
        self._lies["@folder"] = lambda _: str(before).encode()

    def attacker_goes(self) -> None:
        self._lies.clear()

    def keep_old(self) -> Path:
        return Path(shutil.copytree(self.repository, self.folder / "old"))

    def newest(self, role: str) -> Path:
        found = self.repository.glob(f"metadata/*.{role}.json")
        return max(found, key=lambda f: int(f.name.partition(".")[0]))

    def offer(self, change: Callable[[dict[str, Any]], object]) -> None:
        """All that a stolen key of the fleet can do, with the online keys of the repository."""
        manifest = self.manifest()
        change(manifest)
        publish(self.workspace, {"north": {PATH: json.dumps(manifest).encode()}}, None)

    def manifest(self) -> dict[str, Any]:
        files = (self.repository / "targets" / PATH).parent.glob("*.json")
        value: dict[str, Any] = json.loads(max(files, key=lambda f: f.stat().st_mtime_ns).read_bytes())
        return value


@contextmanager
def _attacking_server(folder: Path, lies: dict[str, Callable[[bytes], Body]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: Any) -> None: ...

        def do_GET(self) -> None:
            base = Path(lies["@folder"](b"").decode()) if "@folder" in lies else folder  # type: ignore[union-attr]
            file = base / self.path.lstrip("/")
            data: Body = file.read_bytes() if file.is_file() else b""
            for pattern, lie in list(lies.items()):
                if pattern not in ("@folder", ".*") and re.search(pattern, self.path):
                    data = lie(data if isinstance(data, bytes) else b"")
            self.send_response(200 if data else 404)
            if isinstance(data, bytes):
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                for chunk in (data,) if isinstance(data, bytes) else data:
                    self.wfile.write(chunk)
            except OSError:
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def field(fleet: Workspace, tmp_path: Path) -> Iterator[Field]:
    lies: dict[str, Callable[[bytes], Body]] = {}
    with _attacking_server(repository_of(fleet), lies) as url:
        yield Field(fleet, tmp_path, url, lies)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def endless(_data: bytes) -> Iterator[bytes]:
    while True:
        yield b"x" * 65_536


def dripping(data: bytes) -> Iterator[bytes]:
    """The true file, so slowly that a device would wait for hours."""
    for i in range(len(data)):
        time.sleep(0.02)
        yield data[i : i + 1]


def old_metadata(field: Field) -> None:
    old = field.keep_old()
    release(field.workspace, 2, "b")
    field.update()
    field.swap(old)


def old_metadata_to_a_new_device(field: Field) -> None:
    old = field.keep_old()
    release(field.workspace, 2, "b")
    field.facts = field.facts.model_copy(update={"floor_sequence": field.manifest()["sequence_number"]})
    field.swap(old)


def old_metadata_after_a_lost_cache(field: Field) -> None:
    old_metadata(field)
    shutil.rmtree(field.state / "metadata")


def clock_of_1970(field: Field) -> None:
    field.facts = field.facts.model_copy(update={"floor_time": stamp(utc_now() - timedelta(days=30))})
    field.clock = lambda: datetime(1970, 1, 1, tzinfo=UTC)


def old_file_under_the_new_name(role: str) -> Callable[[Field], None]:
    def arrange(field: Field) -> None:
        before = field.newest(role).read_bytes()
        release(field.workspace, 2, "b")
        field.answer(rf"/metadata/\d+\.{role}\.json", lambda _: before)

    return arrange


def another_roles_file(field: Field) -> None:
    field.answer(r"fleet-north\.json", lambda _: field.newest("releases").read_bytes())


def signatures(change: Callable[[list[Any]], list[Any]]) -> Callable[[bytes], bytes]:
    def lie(data: bytes) -> bytes:
        value = json.loads(data)
        return json.dumps(value | {"signatures": change(value["signatures"])}).encode()

    return lie


def root_of_one(field: Field) -> None:
    """The next root names the attacker's keys, and one of three holders signed it."""
    root = trust.newest_root(field.workspace)
    assert root is not None
    root.signed.version += 1
    root.signatures.clear()
    root.sign(signer_of(field.workspace, "root-1"))
    data = root.to_bytes()
    field.answer(r"/2\.root\.json", lambda _: data)


def root_signed_twice_by_one(field: Field) -> None:
    root_of_one(field)
    first = json.loads(field._lies[r"/2\.root\.json"](b""))  # type: ignore[arg-type]
    one = first["signatures"][0]
    other = next(k for k in first["signed"]["roles"]["root"]["keyids"] if k != one["keyid"])
    data = json.dumps(first | {"signatures": [one, {"keyid": other, "sig": one["sig"]}]}).encode()
    field.answer(r"/2\.root\.json", lambda _: data)


def strangers_repository(field: Field) -> None:
    from registry.inventory import import_devices

    stranger = make_workspace(field.folder / "stranger")
    import_devices(stranger)
    release(stranger)
    field.swap(repository_of(stranger))


def unapproved(field: Field) -> None:
    digest = "ab" * 32
    change = {"sha256": digest, "path": f"artifacts/{digest}.artefact"}
    field.offer(lambda m: (m["artifact"].update(change), m.update(sequence_number=2)))


def others_hardware(field: Field) -> None:
    other = node_artefact()
    change = {"sha256": other.sha256, "path": f"artifacts/{other.sha256}.artefact", "length": other.size}
    field.offer(lambda m: (m["artifact"].update(change), m.update(sequence_number=2)))


def wider_firmware(field: Field) -> None:
    field.offer(lambda m: (m["compatibility"].update(firmware_version=">=1"), m.update(sequence_number=2)))


def downgrade(field: Field) -> None:
    old = field.manifest()["artifact"]
    release(field.workspace, 2, "b")
    field.update()
    field.offer(lambda m: m.update(artifact=old, sequence_number=9))


def downgrade_dressed_as_new(field: Field) -> None:
    old = field.manifest()["artifact"]
    release(field.workspace, 2, "b")
    field.update()
    field.offer(lambda m: m.update(artifact=old | {"release_counter": 99}, sequence_number=9))


def forged_rollback(field: Field) -> None:
    """The way back from release 2 to 1 was approved; the thief sends a device back from release 3."""
    old = field.manifest()["artifact"]
    release(field.workspace, 2, "b")
    release(field.workspace, 3, "c")
    field.update()
    field.offer(lambda m: m.update(artifact=old, state="rollback", withdrawn=C, sequence_number=9))


def captive_portal(field: Field) -> None:
    field.answer(r"timestamp\.json", lambda _: b"<html>Welcome to the hotel</html>")


class Attack(NamedTuple):
    """``reason``: what the device says. ``before``: what it runs then; ``lasting``: only persons can mend it."""

    arrange: Callable[[Field], object]
    reason: Reason
    before: str | None = None
    lasting: bool = False


ATTACKS = {
    "changed artefact": Attack(lambda f: f.answer(r"\.artefact", flipped), Reason.WRONG_DIGEST),
    "changed manifest": Attack(lambda f: f.answer(r"rollout\.json", flipped), Reason.WRONG_DIGEST),
    "data after the artefact": Attack(lambda f: f.answer(r"\.artefact", lambda d: d + b"x"), Reason.TOO_LARGE),
    "cut artefact": Attack(lambda f: f.answer(r"\.artefact", lambda d: d[:-1]), Reason.WRONG_DIGEST),
    "endless metadata": Attack(lambda f: f.answer(r"timestamp\.json", endless), Reason.TOO_LARGE),
    "endless root": Attack(lambda f: f.answer(r"/2\.root\.json", endless), Reason.TOO_LARGE),
    "endless artefact": Attack(lambda f: f.answer(r"\.artefact", endless), Reason.TOO_LARGE),
    "slow metadata": Attack(lambda f: f.answer(r"timestamp\.json", dripping), Reason.TOO_SLOW),
    "slow artefact": Attack(lambda f: f.answer(r"\.artefact", dripping), Reason.TOO_SLOW),
    "no answer": Attack(lambda f: f.answer(r"\.artefact", lambda _: b""), Reason.UNREACHABLE),
    "page of another server": Attack(captive_portal, Reason.BAD_METADATA),
    "old metadata": Attack(old_metadata, Reason.METADATA_ROLLBACK, B),
    "old metadata after a lost cache": Attack(old_metadata_after_a_lost_cache, Reason.SEQUENCE_ROLLBACK, B),
    "old metadata to a device fresh from the factory": Attack(old_metadata_to_a_new_device, Reason.SEQUENCE_ROLLBACK),
    "clock set back": Attack(clock_of_1970, Reason.CLOCK_BEHIND),
    "old snapshot under the new name": Attack(old_file_under_the_new_name("snapshot"), Reason.WRONG_DIGEST),
    "old fleet role under the new name": Attack(old_file_under_the_new_name("fleet-north"), Reason.METADATA_ROLLBACK),
    "old releases role under the new name": Attack(old_file_under_the_new_name("releases"), Reason.METADATA_ROLLBACK),
    "another role's file": Attack(another_roles_file, Reason.BAD_SIGNATURE),
    "a stranger's repository": Attack(strangers_repository, Reason.BAD_SIGNATURE),
    "releases with one signature": Attack(lambda f: f.answer("releases", signatures(lambda s: s[:1])), Reason.BAD_SIGNATURE),
    "releases with one person's signature twice": Attack(
        lambda f: f.answer("releases", signatures(lambda s: [s[0], s[1] | {"sig": s[0]["sig"]}])), Reason.BAD_SIGNATURE
    ),
    "root with one signature": Attack(root_of_one, Reason.BAD_SIGNATURE),
    "root with one holder's signature twice": Attack(root_signed_twice_by_one, Reason.BAD_SIGNATURE),
    "stolen fleet key: an unapproved artefact": Attack(unapproved, Reason.NOT_APPROVED, lasting=True),
    "stolen fleet key: another hardware's artefact": Attack(others_hardware, Reason.WRONG_HARDWARE, lasting=True),
    "stolen fleet key: a wider firmware range": Attack(wider_firmware, Reason.NOT_APPROVED, lasting=True),
    "stolen fleet key: an older release": Attack(downgrade, Reason.COUNTER_ROLLBACK, B, lasting=True),
    "stolen fleet key: an older release dressed as new": Attack(downgrade_dressed_as_new, Reason.NOT_APPROVED, B, lasting=True),
    "stolen fleet key: a way back that nobody approved": Attack(forged_rollback, Reason.COUNTER_ROLLBACK, C, lasting=True),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_attack_is_refused_with_its_reason_and_the_device_recovers(
    name: str, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = ATTACKS[name]
    monkeypatch.setattr(fetcher, "WINDOW_S", 0.5)
    monkeypatch.setattr(fetcher.DeadlineFetcher.__init__, "__kwdefaults__", {"window_s": 0.5})
    attack.arrange(field)
    with pytest.raises((Refused, Unreachable)) as caught:
        field.update()
    assert caught.value.reason == attack.reason  # type: ignore[union-attr]
    assert field.running == attack.before
    if attack.lasting:
        return
    field.attacker_goes()
    field.clock = lambda: utc_now() + timedelta(minutes=5)
    field.update()
    assert field.running == json.loads(json.dumps(field.manifest()))["artifact"]["sha256"]


def test_the_device_contract_lists_exactly_these_attacks(checkout: Path) -> None:
    """What firmware engineers read is what is tested."""
    page = (checkout / "docs/device-contract.md").read_text()
    rows = re.findall(r"^\| ([^|]+?) \| `(\w+)` \|$", page[page.index("## Attacks") :], re.MULTILINE)
    assert rows == [(name, attack.reason.value) for name, attack in ATTACKS.items()]


ROLES = ("snapshot", "targets", "releases", "fleet-north")


@pytest.mark.parametrize("asked", ROLES)
def test_no_roles_file_passes_for_another(asked: str, field: Field) -> None:
    """Mix and match, all pairs."""
    for given in ROLES:
        if given == asked:
            continue
        data = field.newest(given).read_bytes()
        field.answer(rf"/\d+\.{asked}\.json", lambda _, data=data: data)
        with pytest.raises(Refused):
            field.update()
        shutil.rmtree(field.state / "metadata")
    assert field.running is None


def test_a_fleets_key_says_nothing_of_another_fleet(tmp_path: Path) -> None:
    """South's key signs a manifest for north: north's devices see what north's key says, which is nothing."""
    workspace = two_fleets(tmp_path / "w")
    for drafted in rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline"):
        for person in ("ana", "ben"):
            rollout.approve(workspace, drafted.id, person, "fine")
    (file,) = (repository_of(workspace) / "targets" / PATH).parent.glob("*.json")
    publish(workspace, {"north": {}, "south": {PATH: file.read_bytes()}}, None)
    known = facts(workspace, "gw-005", "gateway-v2", rollout.show_release(workspace, "north-r1").offer("gateway-v2"))
    done = update(str(repository_of(workspace)), image_root(workspace), known, tmp_path / "d", key_of("gw-005"))
    assert (done.installed, done.reason) == (False, Reason.NOTHING_OFFERED)


def test_fast_forwarded_versions_are_recovered_from_once_the_keys_are_rotated(field: Field) -> None:
    """Stolen timestamp and snapshot keys give the highest numbers there are; new keys in the root make devices forget them."""
    field.update()
    far, now = 2**31 - 1, utc_now()
    roles = {r: _version(field, r) for r in ("targets", "releases", "fleet-north")}
    evil_snapshot: Metadata[Snapshot] = snapshot(far, roles, now)
    evil_snapshot.sign(signer_of(field.workspace, "snapshot"))
    of = trust.to_bytes(evil_snapshot)
    evil_timestamp: Metadata[Timestamp] = timestamp(far, of, far, now)
    evil_timestamp.sign(signer_of(field.workspace, "timestamp"))
    field.answer(r"timestamp\.json", lambda _: trust.to_bytes(evil_timestamp))
    field.answer(rf"{far}\.snapshot\.json", lambda _: of)
    assert field.update().reason == Reason.ALREADY_INSTALLED
    field.attacker_goes()
    with pytest.raises(Refused) as caught:
        field.update()
    assert caught.value.reason == Reason.METADATA_ROLLBACK
    for role in ("timestamp", "snapshot"):
        rotate_key(field.workspace, role)
    release(field.workspace, 2, "b")
    assert field.update().running_sha256 == B


def test_a_sequence_that_a_thief_ran_up_is_forgotten_with_the_stolen_key(field: Field) -> None:
    """The device's own memory must not become the lock-out: new keys of the fleet count anew, and old ones no more."""
    field.offer(lambda m: m.update(sequence_number=2**53 - 1, state="paused"))
    assert field.update().reason == Reason.NOT_RUNNING
    release(field.workspace, 2, "b")
    with pytest.raises(Refused) as caught:
        field.update()
    assert caught.value.reason == Reason.SEQUENCE_ROLLBACK
    rotate_key(field.workspace, "fleet-north")
    rollout.reconcile(field.workspace)
    assert field.update().running_sha256 == B


def _version(field: Field, role: str) -> int:
    return int(field.newest(role).name.partition(".")[0])


def test_every_single_holder_of_a_root_key_is_refused(field: Field) -> None:
    """Threshold two of three: no holder alone, every two of them."""
    root = trust.newest_root(field.workspace)
    assert root is not None
    root.signed.version += 1
    names = ("root-1", "root-2", "root-3")
    for number in range(1, 8):
        signers = [n for i, n in enumerate(names) if number >> i & 1]
        signed: Metadata[Root] = copy.deepcopy(root)
        signed.signatures.clear()
        for name in signers:
            signed.sign(signer_of(field.workspace, name), append=True)
        data = signed.to_bytes()
        field.answer(r"/2\.root\.json", lambda _, data=data: data)
        shutil.rmtree(field.state, ignore_errors=True)
        if len(signers) == 1:
            with pytest.raises(Refused) as caught:
                field.update()
            assert caught.value.reason == Reason.BAD_SIGNATURE
        else:
            assert field.update().installed


def test_freshness_ends_with_the_timestamp(tmp_path: Path, stocked: Workspace) -> None:
    """A freeze shows after a day, on a device that was never online before."""
    release(stocked, now=utc_now() - timedelta(days=2))
    known = facts(stocked, "gw-005", "gateway-v2", rollout.show_release(stocked, "north-r1").offer("gateway-v2"))
    with pytest.raises(Refused) as caught:
        update(str(repository_of(stocked)), image_root(stocked), known, tmp_path / "d", key_of("gw-005"))
    assert caught.value.reason == Reason.METADATA_EXPIRED


@pytest.mark.parametrize("profile", ["gateway", "node"])
@pytest.mark.parametrize("variant", ["gateway-v2", "gateway-v3", "node-v2"])
def test_each_hardware_takes_its_own_manifests_only(profile: str, variant: str, released: Workspace, tmp_path: Path) -> None:
    offer = rollout.show_release(released, "north-r1").offer("gateway-v2" if profile == "gateway" else "node-v2")
    known = facts(released, "gw-005" if profile == "gateway" else "node-000", variant, offer)
    ask = (str(repository_of(released)), image_root(released), known, tmp_path / "d", key_of("gw-005"))
    if variant == f"{profile}-v2":
        update(*ask)
        return
    with pytest.raises(Refused) as caught:
        update(*ask)
    assert caught.value.reason in (Reason.WRONG_HARDWARE, Reason.WRONG_FIRMWARE)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    else:
        yield path


def _others(value: Any) -> list[Any]:
    """What an attacker may write in place of a value, of its kind and of others."""
    if isinstance(value, bool) or value is None:
        return ["ab" * 32, 1]
    if isinstance(value, int):
        return [0, value + 1, max(value - 1, 0), 10_000_000, 2**63]
    if isinstance(value, str):
        return ["", value + "x", "0" * len(value), B if value == A else A, ">=0", "2999-01-01T00:00:00Z", None]
    return [[], ["x"], None]


@pytest.mark.slow
def test_a_stolen_fleet_key_can_only_choose_among_what_persons_approved(field: Field) -> None:
    """Every value of a manifest, changed in every way: whatever then runs, two persons approved it for this device."""
    true = field.manifest()
    field.url = str(field.repository)
    sequence, outcomes = 1, []
    for path in _leaves(true):
        inner = true
        for key in path:
            inner = inner[key]
        for other in _others(inner):
            forged = copy.deepcopy(true)
            sequence += 1
            forged["sequence_number"] = sequence
            place = forged
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = other
            publish(field.workspace, {"north": {PATH: json.dumps(forged).encode()}}, None)
            shutil.rmtree(field.state, ignore_errors=True)
            try:
                outcomes.append(field.update().reason)
            except Refused as refused:
                outcomes.append(refused.reason)
            assert field.running in (None, A)
    assert {Reason.OFFERED, Reason.BAD_MANIFEST, Reason.NOT_APPROVED, Reason.WRONG_HARDWARE} <= set(outcomes)


# Devices that lie.


@pytest.mark.slow
def test_one_in_twenty_devices_that_lie_promote_no_bad_release(tmp_path: Path) -> None:
    """They say that all is well; the others fail, and the release is stopped in its first stage."""
    workspace = large(tmp_path / "w", 400, canary=0.2)
    started = release(workspace, now=START)
    told: list[str] = []
    for hour in range(12):
        fresh = [d for d in let_in(workspace, started.id) if d not in told]
        liars = fresh[::20]
        say(workspace, started.id, "installed", liars, after(hours=hour, minutes=30))
        say(workspace, started.id, "failed", [d for d in fresh if d not in liars], after(hours=hour, minutes=30))
        told += fresh
        rollout.tick(workspace, now=after(hours=hour + 1))
    offer = rollout.show_release(workspace, started.id).offer("gateway-v2")
    assert offer.state.value == "halted"
    assert offer.stage == 0
    assert len(told) <= 80


@pytest.mark.slow
def test_liars_alone_promote_nothing(tmp_path: Path) -> None:
    """Silence of all others is no success: a report speaks for its own device."""
    workspace = large(tmp_path / "w", 400, canary=0.2)
    started = release(workspace, now=START)
    for hour in range(12):
        say(workspace, started.id, "installed", let_in(workspace, started.id)[::20], after(hours=hour, minutes=30))
        rollout.tick(workspace, now=after(hours=hour + 1))
    assert rollout.show_release(workspace, started.id).offer("gateway-v2").stage == 0
