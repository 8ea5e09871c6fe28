"""Private keys: where they are, and how they sign.

A key is a file below `.muster/keys`, PKCS #8 PEM with mode 0600, encrypted when MUSTER_KEY_PASSPHRASE is set, unless
`registry.signers` of muster.yaml names a signer elsewhere: `awskms:<key id>`, `gcpkms:`, `azurekms:`, `hsm:`, `file2:`
and whatever else securesystemslib resolves. Its public half is then known from the metadata that devices trust.
"""

from __future__ import annotations

import os
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
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.files import write_bytes
from registry import trust
from registry.keys.elsewhere import open_signer

PASSPHRASE = "MUSTER_KEY_PASSPHRASE"  # noqa: S105 - the name of the variable
_SPARE = ".next"


def signer_of(workspace: Workspace, role: str, public: Key | None = None) -> Signer:
    """The private key of a role that has one key ('timestamp', 'fleet-pumps', 'people/ana', ...).

    ``public``: its public half, where it is known already, or for a signer elsewhere not trusted yet.

    Raises:
        NotFound: the key is not in this workspace.
        InputError: the key file does not open with the given passphrase, or the signer's URI or package is not right.
        BackendUnreachable: the signer elsewhere does not answer.
    """
    if uri := workspace.settings.registry.signers.get(role):
        return open_signer(workspace, role, uri, public)
    return file_signer(workspace, role, public)


def file_signer(workspace: Workspace, role: str, public: Key | None = None) -> Signer:
    """The role's key file, whatever `registry.signers` says.

    Raises:
        NotFound, InputError: as `signer_of`.
    """
    return _of_file(workspace, _key_file(workspace, role), role, public)


def is_here(workspace: Workspace, role: str) -> bool:
    """Whether whoever has this workspace can sign with the role's key."""
    return role in workspace.settings.registry.signers or _key_file(workspace, role).is_file()


def lies_in_a_file(workspace: Workspace, role: str) -> bool:
    return role not in workspace.settings.registry.signers and _key_file(workspace, role).is_file()


def make_key(workspace: Workspace, role: str) -> Key:
    """The public half of the role's key file, which is made if there is none."""
    file = _key_file(workspace, role)
    if not file.is_file():
        data = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _encryption())
        write_bytes(file, data, mode=0o600)
    return _of_file(workspace, file, role).public_key


def spare_key(workspace: Workspace, role: str, *, like: Key) -> Key:
    """The key that is to follow the role's: kept beside it until `adopt_key`, made if there is none yet.

    Raises:
        InputError: the role's key is elsewhere: who keeps it makes the new one.
    """
    if uri := workspace.settings.registry.signers.get(role):
        raise InputError(
            f"the private key of '{role}' is not a file, but {uri}",
            hint=f"make the new key there, and name it: --public-key FILE, and its URI in registry.signers: {role}",
        )
    key = make_key(workspace, f"{role}{_SPARE}")
    key.unrecognized_fields.update(like.unrecognized_fields)
    return key


def spare_signer(workspace: Workspace, role: str) -> Signer | None:
    """The signer of the key that is to follow the role's, if one was made."""
    file = _key_file(workspace, f"{role}{_SPARE}")
    return _of_file(workspace, file, role) if file.is_file() else None


def adopt_key(workspace: Workspace, role: str) -> None:
    """Sign with the spare key from now on; the old one is gone."""
    spare = _key_file(workspace, f"{role}{_SPARE}")
    if spare.is_file():
        os.replace(spare, _key_file(workspace, role))


def _of_file(workspace: Workspace, file: Path, role: str, public: Key | None = None) -> CryptoSigner:
    if not file.is_file():
        raise NotFound(f"the private key of '{role}' is not in {file.parent}", hint="run this where the key is kept")
    try:
        key = load_pem_private_key(file.read_bytes(), _passphrase())
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}: the key does not open: {error}", hint=f"set {PASSPHRASE} to its passphrase") from None
    private = cast(Ed25519PrivateKey, key)
    whole = SSlibKey.from_crypto(private.public_key())
    if public and trust.is_same(whole, public):
        return CryptoSigner(private, trust.key_of(private.public_key(), public.keyid))
    is_old = trust.names_key(workspace, whole.keyid)  # from before ids were short
    return CryptoSigner(private, trust.key_of(private.public_key(), whole.keyid if is_old else None))


def _key_file(workspace: Workspace, role: str) -> Path:
    return workspace.state / "keys" / f"{role}.key"


def _passphrase() -> bytes | None:
    return os.environ.get(PASSPHRASE, "").encode() or None


def _encryption() -> KeySerializationEncryption:
    phrase = _passphrase()
    return BestAvailableEncryption(phrase) if phrase else NoEncryption()
