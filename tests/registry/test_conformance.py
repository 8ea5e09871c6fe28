"""The client that the TUF conformance suite drives keeps the suite's protocol, and the workflow behind it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from components.workspace import Workspace
from registry.contract.times import utc_now
from registry.device.conformance import run
from registry.keys import rotate_key
from registry.repository import refresh_expiring
from tests.registry.servers import Served, folder_server
from tests.registry.workspaces import gateway_artefact, image_root, release, repository_of

ARTEFACT = f"artifacts/{gateway_artefact().sha256}.artefact"


class Client:
    """As the suite calls it: one folder for metadata, one for targets, one call a step."""

    def __init__(self, folder: Path, url: str) -> None:
        self.metadata, self.targets, self._url = folder / "metadata", folder / "targets", url
        self.metadata.mkdir(parents=True)

    def init(self, root: bytes) -> int:
        file = self.metadata.parent / "initial_root.json"
        file.write_bytes(root)
        return run(["--metadata-dir", str(self.metadata), "init", str(file)])

    def refresh(self) -> int:
        return run([*self._place(), "refresh"])

    def download(self, *names: str) -> int:
        where = ["--target-dir", str(self.targets), "--target-base-url", f"{self._url}/targets"]
        named = [part for name in names for part in ("--target-name", name)]
        return run([*self._place(), *named, *where, "download"])

    def version(self, role: str) -> int:
        value: int = json.loads((self.metadata / f"{role}.json").read_bytes())["signed"]["version"]
        return value

    def files(self) -> list[bytes]:
        return [f.read_bytes() for f in self.targets.iterdir()]

    def _place(self) -> list[str]:
        return ["--metadata-dir", str(self.metadata), "--metadata-url", f"{self._url}/metadata"]


@pytest.fixture
def served(released: Workspace) -> Iterator[Served]:
    with folder_server(repository_of(released)) as server:
        yield server


@pytest.fixture
def client(released: Workspace, served: Served, tmp_path: Path) -> Client:
    client = Client(tmp_path / "client", served.url)
    assert client.init(image_root(released)) == 0
    return client


def test_init_asks_nobody_and_refresh_keeps_what_it_trusts(client: Client, served: Served) -> None:
    assert served.requests == []
    assert client.refresh() == 0
    assert {f.name for f in client.metadata.glob("*.json")} == {f"{r}.json" for r in ("root", "timestamp", "snapshot", "targets")}
    assert served.requests[:2] == ["/metadata/2.root.json", "/metadata/timestamp.json"]


def test_a_target_is_downloaded_once(client: Client, served: Served) -> None:
    assert client.download(ARTEFACT) == 0
    assert client.files() == [gateway_artefact().to_bytes()]
    served.requests.clear()
    assert client.download(ARTEFACT) == 0
    assert not [r for r in served.requests if "/targets/" in r]


def test_an_unknown_or_changed_target_is_a_failure(client: Client, released: Workspace) -> None:
    assert client.download("artifacts/nothing") == 1
    (file,) = repository_of(released).glob(f"targets/artifacts/*{gateway_artefact().sha256}.artefact")
    file.write_bytes(b"x" * file.stat().st_size)
    assert client.download(ARTEFACT) == 1
    assert client.files() == []


def test_older_metadata_is_refused_and_what_is_trusted_stays(client: Client, released: Workspace, tmp_path: Path) -> None:
    shutil.copytree(repository_of(released) / "metadata", tmp_path / "old")
    release(released, 2, "b")
    assert client.refresh() == 0
    trusted = client.version("timestamp")
    shutil.copytree(tmp_path / "old", repository_of(released) / "metadata", dirs_exist_ok=True)
    assert client.refresh() == 1
    assert client.version("timestamp") == trusted


def test_expired_metadata_is_refused_until_it_is_signed_anew(stocked: Workspace, tmp_path: Path) -> None:
    release(stocked, now=utc_now() - timedelta(days=2))
    with folder_server(repository_of(stocked)) as server:
        client = Client(tmp_path / "client", server.url)
        client.init(image_root(stocked))
        assert client.refresh() == 1
        refresh_expiring(stocked)
        assert client.refresh() == 0


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_keys_rotate_by_the_root(client: Client, released: Workspace, role: str) -> None:
    assert client.refresh() == 0
    rotate_key(released, role)
    release(released, 2, "b")
    assert client.refresh() == 0
    assert client.version("root") == 3


def test_a_root_that_no_holder_signed_is_refused(client: Client, released: Workspace) -> None:
    root = json.loads((repository_of(released) / "metadata/1.root.json").read_bytes())
    root["signed"]["version"] = 2
    (repository_of(released) / "metadata/2.root.json").write_text(json.dumps(root))
    assert client.refresh() == 1
    assert client.version("root") == 1


@pytest.mark.slow
def test_it_runs_as_a_program_with_exit_codes(released: Workspace, served: Served, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "root.json").write_bytes(image_root(released))
    command = [sys.executable, "-m", "registry.device.conformance", "--metadata-dir", str(tmp_path / "m")]
    assert subprocess.run([*command, "init", str(tmp_path / "root.json")], check=False).returncode == 0
    assert subprocess.run([*command, "--metadata-url", f"{served.url}/metadata", "refresh"], check=False).returncode == 0
    gone = subprocess.run([*command, "--metadata-url", "http://127.0.0.1:1", "refresh"], check=False, capture_output=True)
    assert (gone.returncode, b"Traceback" in gone.stderr) == (1, False)
    assert subprocess.run([*command, "refresh"], check=False, capture_output=True).returncode == 2


def diamond(folder: Path, *, signed_for: str) -> bytes:
    """targets -> a and b -> shared: each names its own key for the shared role, which the key of ``signed_for`` signed."""
    keys = {name: CryptoSigner.generate_ed25519() for name in ("top", "a", "b", "shared-a", "shared-b")}
    expires = datetime.now(UTC) + timedelta(days=1)
    (folder / "metadata").mkdir(parents=True)
    (folder / "targets").mkdir()

    def named(role: str, key: str, path: str) -> Delegations:
        public = keys[key].public_key
        return Delegations({public.keyid: public}, {role: DelegatedRole(role, [public.keyid], 1, False, paths=[path])})

    def write(name: str, role: object, key: str) -> None:
        metadata = Metadata(role)  # type: ignore[type-var]
        metadata.sign(keys[key])
        (folder / "metadata" / name).write_bytes(metadata.to_bytes())

    root = Root(1, expires=expires, consistent_snapshot=False)
    for role in ("root", "timestamp", "snapshot", "targets"):
        root.add_key(keys["top"].public_key, role)
    both = named("a", "a", "a-*")
    assert both.roles is not None
    other = named("b", "b", "b-*")
    assert other.roles is not None
    both.keys.update(other.keys)
    both.roles.update(other.roles)
    write("1.root.json", root, "top")
    write("targets.json", Targets(1, expires=expires, delegations=both), "top")
    write("a.json", Targets(1, expires=expires, delegations=named("shared", "shared-a", "a-*")), "a")
    write("b.json", Targets(1, expires=expires, delegations=named("shared", "shared-b", "b-*")), "b")
    files = {n: TargetFile.from_data(n, n.encode()) for n in ("a-file", "b-file")}
    for name in files:
        (folder / "targets" / name).write_bytes(name.encode())
    write("shared.json", Targets(1, expires=expires, targets=files), f"shared-{signed_for}")
    roles = ("targets", "a", "b", "shared")
    write("snapshot.json", Snapshot(1, expires=expires, meta={f"{r}.json": MetaFile(1) for r in roles}), "top")
    write("timestamp.json", Timestamp(1, expires=expires, snapshot_meta=MetaFile(1)), "top")
    return (folder / "metadata/1.root.json").read_bytes()


def test_a_role_that_one_delegator_vouches_for_is_not_trusted_for_another(tmp_path: Path) -> None:
    """Looked up by way of a, the shared role is in order; by way of b, in the same call, it is not."""
    root = diamond(tmp_path / "r", signed_for="a")
    with folder_server(tmp_path / "r") as server:
        client = Client(tmp_path / "client", server.url)
        client.init(root)
        assert client.download("a-file") == 0
        assert client.download("b-file") == 1
        assert client.download("a-file", "b-file") == 1


class Delegated:
    """A repository with one delegated role, `files`, that a test may spoil before it is written. Versions rise."""

    def __init__(self, folder: Path, role: str = "files", *, expires_in: timedelta = timedelta(days=1)) -> None:
        self.folder, self.role, self._version = folder, role, 0
        for part in ("metadata", "targets"):
            (folder / part).mkdir(parents=True)
        self.keys = {name: CryptoSigner.generate_ed25519() for name in ("top", "role", "second")}
        self.expires = datetime.now(UTC) + timedelta(days=1)
        self.role_expires = datetime.now(UTC) + expires_in
        self.threshold, self.signatures = 1, ["role"]
        (folder / "targets/file").write_bytes(b"file")
        root = Root(1, expires=self.expires, consistent_snapshot=False)
        for name in ("root", "timestamp", "snapshot", "targets"):
            root.add_key(self.keys["top"].public_key, name)
        self._write("1.root", root, ["top"])
        self.root = (folder / "metadata/1.root.json").read_bytes()

    def publish(self, *, listed: bool = True) -> None:
        """``listed``: whether the snapshot has the delegated role."""
        self._version += 1
        named = [self.keys[name].public_key for name in ("role", "second")]
        delegations = Delegations(
            {key.keyid: key for key in named},
            {self.role: DelegatedRole(self.role, [key.keyid for key in named], self.threshold, False, paths=["*"])},
        )
        files = {"file": TargetFile.from_data("file", b"file")}
        self._write(self.role, Targets(self._version, expires=self.role_expires, targets=files), self.signatures)
        self._write("targets", Targets(self._version, expires=self.expires, delegations=delegations), ["top"])
        meta = {f"{name}.json": MetaFile(self._version) for name in ("targets", *([self.role] if listed else []))}
        self._write("snapshot", Snapshot(self._version, expires=self.expires, meta=meta), ["top"])
        self._write("timestamp", Timestamp(self._version, expires=self.expires, snapshot_meta=MetaFile(self._version)), ["top"])

    def _write(self, name: str, signed: Root | Targets | Snapshot | Timestamp, signers: list[str]) -> None:
        metadata = Metadata(signed)
        for signer in dict.fromkeys(signers):
            metadata.sign(self.keys[signer], append=True)
        document = json.loads(metadata.to_bytes())
        by_key = {s["keyid"]: s for s in document["signatures"]}
        document["signatures"] = [by_key[self.keys[signer].public_key.keyid] for signer in signers]
        file = Path(os.path.normpath(self.folder / "metadata" / f"{name.lstrip('/')}.json"))  # where a file server looks for it
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(document))


@contextmanager
def following(repository: Delegated, tmp_path: Path) -> Iterator[Client]:
    repository.publish()
    with folder_server(repository.folder) as server:
        client = Client(tmp_path / "client", server.url)
        client.init(repository.root)
        yield client


def test_a_delegated_role_that_expired_vouches_for_nothing(tmp_path: Path) -> None:
    """And it is not kept; fresh, it is taken."""
    repository = Delegated(tmp_path / "r", expires_in=-timedelta(hours=1))
    with following(repository, tmp_path) as client:
        assert client.refresh() == 0
        assert client.download("file") == 1
        assert (client.files(), (client.metadata / "files.json").exists()) == ([], False)
        repository.role_expires = repository.expires
        repository.publish()
        assert client.download("file") == 0


def test_a_role_does_not_vanish_from_the_snapshot(tmp_path: Path) -> None:
    repository = Delegated(tmp_path / "r")
    with following(repository, tmp_path) as client:
        assert client.download("file") == 0
        repository.publish(listed=False)
        assert client.refresh() == 1
        assert client.version("snapshot") == 1


def test_a_signature_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    """One key never makes two, whether or not one were enough."""
    repository = Delegated(tmp_path / "r")
    repository.threshold, repository.signatures = 2, ["role", "role"]
    with following(repository, tmp_path) as client:
        assert client.download("file") == 1
        repository.signatures = ["role", "second"]
        repository.publish()
        assert client.download("file") == 0
        repository.threshold, repository.signatures = 1, ["role", "role"]
        repository.publish()
        assert client.download("file") == 1


@pytest.mark.parametrize("role", ["../climbs", "/absolute", "a/b", "?", "#", "%2e%2e"])
def test_no_name_of_a_role_leaves_the_folder_of_what_is_trusted(role: str, tmp_path: Path) -> None:
    """Whatever it is called, it is asked for by that name, trusted, and kept beside the others."""
    with following(Delegated(tmp_path / "r", role), tmp_path) as client:
        before = set(tmp_path.rglob("*"))
        assert client.download("file") == 0
        assert len(list(client.metadata.glob("*.json"))) == 5
        assert all({client.metadata, client.targets} & {f, *f.parents} for f in set(tmp_path.rglob("*")) - before)
