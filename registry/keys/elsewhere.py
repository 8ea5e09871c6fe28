"""Signers that are no files of this workspace: a cloud's key service, a hardware module, a token, a file of another place."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.exceptions import Error as SignerError
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, Key, Signature, Signer

from components.workspace import Workspace
from components.workspace.errors import BackendUnreachable, InputError, MusterError, NotFound
from registry import trust

T = TypeVar("T")
_EXTRAS = {"awskms": "awskms", "gcpkms": "gcpkms", "azurekms": "azurekms", "hsm": "hsm", "hv": "vault"}
"""Scheme -> extra of securesystemslib that brings what it needs."""


class Elsewhere(Signer):
    """A signer whose failures name the role and the URI, and that calls its key as devices know it."""

    def __init__(self, role: str, uri: str, signer: Signer, key: Key) -> None:
        self._role, self._uri, self._signer, self._key = role, uri, signer, key

    @property
    def public_key(self) -> Key:
        return self._key

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: object = None) -> Signer:
        raise NotImplementedError("open_signer opens it")

    def sign(self, payload: bytes) -> Signature:
        made = _explained(self._role, self._uri, lambda: self._signer.sign(payload))
        return Signature(self._key.keyid, made.signature)


def open_signer(workspace: Workspace, role: str, uri: str, public: Key | None = None) -> Signer:
    """The signer of ``uri`` for ``public``, or for the role's key that devices trust.

    Raises:
        NotFound: devices trust no key of the role yet.
        InputError: nobody knows the scheme, its package is missing, or the URI is not as it wants it.
        BackendUnreachable: it does not answer, or refuses the credentials.
    """
    scheme = uri.partition(":")[0]
    if scheme not in SIGNER_FOR_URI_SCHEME:
        raise InputError(
            f"registry.signers: {role}: nobody knows the scheme '{scheme}'",
            hint=f"one of {', '.join(sorted(SIGNER_FOR_URI_SCHEME))}",
        )
    key = public or trust.key_of_role(workspace, role)
    if key is None:
        raise NotFound(f"devices trust no key of '{role}' yet", hint=f"muster keys init --public-key {role}=FILE brings it in")
    return Elsewhere(role, uri, _explained(role, uri, lambda: Signer.from_priv_key_uri(uri, key)), key)


def read_public_key(file: Path) -> Key:
    """A public key in PEM (ed25519, ECDSA P-256 or P-384, RSA).

    Raises:
        NotFound: no such file.
        InputError: it is no public key of these kinds.
    """
    if not file.is_file():
        raise NotFound(f"no {file}", hint="name the PEM file with the public key")
    try:
        return trust.key_of(load_pem_public_key(file.read_bytes()))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{file} is no public key: {error}", hint="write it as PEM: -----BEGIN PUBLIC KEY-----") from None


def _explained(role: str, uri: str, act: Callable[[], T]) -> T:
    try:
        return act()
    except MusterError:
        raise
    except (UnsupportedLibraryError, ImportError) as error:
        extra = _EXTRAS.get(uri.partition(":")[0], "crypto")
        raise InputError(
            f"registry.signers: {role}: {uri} cannot be used: {error}",
            hint=f"install what it needs: pip install 'securesystemslib[{extra}]'",
        ) from None
    except (ValueError, KeyError, FileNotFoundError) as error:
        raise InputError(f"registry.signers: {role}: {uri} is not right: {error}", hint="docs/releases.md, Keys") from None
    except _unreachable() as error:
        raise BackendUnreachable(
            f"the signer of '{role}', {uri}, does not sign: {error}", hint="check that it runs, and the credentials for it"
        ) from None


def _unreachable() -> tuple[type[Exception], ...]:
    """What signers and, where they are installed, clients of clouds raise."""
    found: list[type[Exception]] = [SignerError, OSError]
    for module, names in (
        ("botocore.exceptions", ("BotoCoreError", "ClientError")),
        ("google.api_core.exceptions", ("GoogleAPIError",)),
    ):
        try:
            loaded = import_module(module)
        except ImportError:
            continue
        found += [getattr(loaded, name) for name in names]
    return tuple(found)
