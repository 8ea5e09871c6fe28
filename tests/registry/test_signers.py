"""Private keys that are no files here: a cloud's key service, or any signer that securesystemslib resolves by its URI."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Key, Signer

from components.workspace import Workspace, open_workspace
from components.workspace.errors import BackendUnreachable, InputError, NotFound
from registry import images, rollout
from registry.device import check
from registry.inventory import import_devices
from registry.keys import exposed, init_keys, rotate_key, show_keys, signer_of
from registry.repository import refresh_expiring
from registry.rollout.publication import reconcile
from tests.registry.cli import Run
from tests.registry.workspaces import canary, image_root, make_workspace, release, repository_of


def with_signers(root: Path, signers: dict[str, str]) -> Workspace:
    """The same workspace with other `registry.signers`."""
    file = root / "muster.yaml"
    text = file.read_text().partition("registry:")[0]
    file.write_text(text + f"registry: {{signers: {json.dumps(signers)}}}\n")
    return open_workspace(root)


def pem(file: Path, der: bytes) -> Path:
    file.write_bytes(load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


def _sign_digest(key: Any, message: bytes, algorithm: str) -> bytes:
    """As the service signs a digest; moto 5.2 knows no MessageType and hashes it once more."""
    hashing = {"256": hashes.SHA256(), "384": hashes.SHA384()}[algorithm[-3:]]
    if algorithm.startswith("ECDSA"):
        return key.private_key.sign(message, ec.ECDSA(Prehashed(hashing)))
    pad = padding.PSS(mgf=padding.MGF1(hashing), salt_length=hashing.digest_size)
    return key.private_key.sign(message, pad, Prehashed(hashing))


@pytest.fixture
def kms(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A key management service; the server is that of the bucket."""
    import boto3
    from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey

    assert bucket
    for kind in (ECDSAPrivateKey, RSAPrivateKey):
        monkeypatch.setattr(kind, "sign", _sign_digest)
    return boto3.client("kms")


def made(kms: Any, spec: str, file: Path) -> tuple[str, Path]:
    """URI and public key of a new key of the service, whose private half nobody can have."""
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"]
    return f"awskms:{key}", pem(file, kms.get_public_key(KeyId=key)["PublicKey"])


@pytest.mark.slow
def test_a_release_is_signed_by_keys_of_a_cloud(kms: Any, tmp_path: Path, muster: Run) -> None:
    """Timestamp, a root key and a person have ECDSA and RSA keys that never left the service; devices take it all."""
    made_of = {
        "timestamp": made(kms, "ECC_NIST_P256", tmp_path / "timestamp.pem"),
        "root-1": made(kms, "ECC_NIST_P384", tmp_path / "root.pem"),
        "people/ana": made(kms, "RSA_2048", tmp_path / "ana.pem"),
    }
    make_workspace(tmp_path / "w", people=())
    workspace = with_signers(tmp_path / "w", {role: uri for role, (uri, _) in made_of.items()})
    public = [arg for role, (_, file) in made_of.items() for arg in ("--public-key", f"{role}={file}")]
    code, output, _ = muster("keys", "init", workspace.root, "--person", "ben", *public, "--json")
    assert code == 0
    here = {h["name"]: (h["here"], h["signer"].partition(":")[0]) for h in json.loads(output)["data"]}
    assert (here["timestamp"], here["ana"], here["snapshot"]) == ((True, "awskms"), (True, "awskms"), (True, "file"))
    assert not (workspace.state / "keys/timestamp.key").exists()
    import_devices(workspace)
    started = release(workspace)
    known = canary(workspace, started)
    assert check(str(repository_of(workspace)), image_root(workspace), known, tmp_path / "device").install
    assert rollout.verify(workspace).published
    assert len(images.release_keys(workspace)) == 1, "small devices take ed25519 only"


@pytest.mark.slow
def test_an_online_key_moves_into_the_cloud_and_a_cloud_that_fails_is_named(
    kms: Any, released: Workspace, tmp_path: Path, muster: Run
) -> None:
    uri, file = made(kms, "ECC_NIST_P256", tmp_path / "timestamp.pem")
    moved = with_signers(released.root, {})
    rotate_key(moved, "timestamp", public_key=file)
    moved = with_signers(released.root, {"timestamp": uri})
    reconcile(moved)
    known = canary(moved, rollout.show_release(moved, "north-r1"))
    assert check(str(repository_of(moved)), image_root(moved), known, tmp_path / "device").install
    with pytest.raises(InputError, match="the private key of 'timestamp' is not a file, but awskms:"):
        rotate_key(moved, "timestamp")
    gone = with_signers(released.root, {"timestamp": "awskms:nobody"})
    rollout.pause(moved, "north-r1", rollout.Order("ana", "wait"))
    with pytest.raises(BackendUnreachable, match="the signer of 'timestamp', awskms:nobody, does not sign"):
        rollout.resume(gone, "north-r1", rollout.Order("ana", "go on"))


class Vault(Signer):
    """A signer of a scheme of one's own, as plug-ins of securesystemslib register theirs."""

    held: dict[str, CryptoSigner] = {}  # noqa: RUF012 - what lies in the vault

    def __init__(self, signer: CryptoSigner) -> None:
        self._signer = signer

    @property
    def public_key(self) -> Key:
        return self._signer.public_key

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: object = None) -> Vault:
        name = priv_key_uri.partition(":")[2]
        if name == "nothing":
            raise UnsupportedLibraryError("Signing with a vault requires vaultlib")
        if name not in cls.held:
            raise ValueError(f"there is no key '{name}'")
        return cls(cls.held[name])

    def sign(self, payload: bytes) -> Any:
        return self._signer.sign(payload)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> type[Vault]:
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "testvault", Vault)
    monkeypatch.setattr(Vault, "held", {"one": CryptoSigner(ec.generate_private_key(ec.SECP256R1()))})
    return Vault


def public_of(signer: CryptoSigner, file: Path) -> Path:
    file.write_text(signer.public_key.keyval["public"])
    return file


def test_any_scheme_that_is_registered_signs(vault: type[Vault], tmp_path: Path) -> None:
    make_workspace(tmp_path / "w", people=())
    workspace = with_signers(tmp_path / "w", {"snapshot": "testvault:one"})
    init_keys(workspace, ("ana", "ben"), public_keys={"snapshot": public_of(vault.held["one"], tmp_path / "one.pem")})
    import_devices(workspace)
    started = release(workspace)
    assert check(str(repository_of(workspace)), image_root(workspace), canary(workspace, started), tmp_path / "device").install
    assert "snapshot" in refresh_expiring(workspace, now=_in_days(6))
    assert next(h.signer for h in show_keys(workspace) if h.name == "snapshot") == "testvault:one"
    assert "snapshot" not in exposed(show_keys(workspace))


def _in_days(days: int) -> Any:
    from datetime import timedelta

    from registry.contract.times import utc_now

    return utc_now() + timedelta(days=days)


def test_the_targets_key_moves_to_a_signer_elsewhere(vault: type[Vault], released: Workspace, tmp_path: Path) -> None:
    """Both keys sign the next targets, so the new one's signer is named first."""
    file = public_of(vault.held["one"], tmp_path / "one.pem")
    with pytest.raises(InputError, match="the new key of 'targets' has to sign, too"):
        rotate_key(released, "targets", public_key=file)
    moved = with_signers(released.root, {"targets": "testvault:one"})
    rotate_key(moved, "targets", public_key=file)
    reconcile(moved)
    known = canary(moved, rollout.show_release(moved, "north-r1"))
    assert check(str(repository_of(moved)), image_root(moved), known, tmp_path / "device").install
    rollout.add_person(moved, "cai")
    reconcile(moved)
    assert rollout.verify(moved).published


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("carrier-pigeon:home", "nobody knows the scheme 'carrier-pigeon'"),
        ("testvault:nothing", "requires vaultlib"),
        ("testvault:two", "there is no key 'two'"),
        ("gcpkms:projects/x", "cannot be used"),
    ],
)
def test_a_signer_that_cannot_be_used_is_named(vault: type[Vault], released: Workspace, uri: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        signer_of(with_signers(released.root, {"timestamp": uri}), "timestamp")


def test_a_missing_package_names_what_to_install(vault: type[Vault], released: Workspace, muster: Run) -> None:
    with_signers(released.root, {"timestamp": "gcpkms:projects/x", "fleet-north": "gcpkms:projects/y"})
    code, _, error = muster("release", "pause", "north-r1", released.root, "--person", "ana", "--reason", "wait")
    assert (code, "securesystemslib[gcpkms]" in error) == (2, True)


def test_keys_that_are_brought_in_are_checked(vault: type[Vault], tmp_path: Path, muster: Run) -> None:
    workspace = make_workspace(tmp_path / "w", people=())
    good = public_of(vault.held["one"], tmp_path / "one.pem")
    persons = ("--person", "ana", "--person", "ben")
    for wrong, code in (
        ("timestamp", 2),
        (f"timestamp={tmp_path / 'gone.pem'}", 3),
        (f"timestamp={workspace.root / 'muster.yaml'}", 2),
        (f"nobody={good}", 2),
        (f"people/Ana B.={good}", 2),
    ):
        assert muster("keys", "init", workspace.root, *persons, "--public-key", wrong)[0] == code, wrong
    shutil.rmtree(workspace.state / "keys", ignore_errors=True)
    init_keys(workspace, ("ana", "ben"))
    with pytest.raises(InputError, match="devices trust another key of 'timestamp' already"):
        init_keys(workspace, public_keys={"timestamp": good})
    with pytest.raises(NotFound, match="devices trust no key of 'people/cai' yet"):
        signer_of(with_signers(workspace.root, {"people/cai": "testvault:one"}), "people/cai")
