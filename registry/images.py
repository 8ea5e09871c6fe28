"""Sign the image of a small device: two persons, one after the other, into one envelope."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

from components.values.image import PAYLOAD, RECORD, ImageRecord
from components.workspace import Workspace
from components.workspace.errors import Conflict, InputError, NotFound, VerificationFailed
from components.workspace.files import sha256_bytes, write_bytes
from registry import trust
from registry.contract.envelope import HEADER, THRESHOLD, Header, ImageTrust, Kind, Signature, key_id, profile_digest, refusal
from registry.keys import no_keys, signer_of

ENVELOPE = "image.muster"
_LARGEST = 2**64 - 1


@dataclass(frozen=True)
class SignedImage:
    """``missing``: how many persons have to sign yet."""

    file: Path
    sequence: int
    person: str
    missing: int


def sign_image(workspace: Workspace, folder: Path, person: str, sequence: int | None = None) -> SignedImage:
    """Add the signature of ``person`` to the envelope of the image in ``folder``; the first one sets ``sequence``.

    Raises:
        NotFound: no attached image in the folder, or the person's key is not here.
        InputError: no sequence number yet, or one that no header holds.
        VerificationFailed: the payload is not the one that was attached, or the key may not release.
        Conflict: signed already, or under another sequence number or for another image.
    """
    record, payload = _attached(folder)
    file, wanted = folder / ENVELOPE, _header(record, sequence)
    header = _begun(file, wanted, sequence)
    signer = signer_of(workspace, f"people/{person}")
    if signer.public_key.keytype != "ed25519":
        raise InputError(
            f"the key of '{person}' is {signer.public_key.keytype}; small devices know ed25519 only",
            hint="let another person sign",
        )
    public = bytes.fromhex(signer.public_key.keyval["public"])
    if public not in release_keys(workspace):
        raise VerificationFailed(
            f"the key of '{person}' is not one of those that may release", hint="muster keys show lists them"
        )
    if key_id(public) in {signature.key_id for signature in header.signatures}:
        raise Conflict(f"{person} has signed it already", hint="a second person has to sign")
    if len(header.signatures) >= THRESHOLD:
        raise Conflict("two persons have signed it already", hint="muster artefact verify-image says whether it is good")
    made = Signature(key_id(public), bytes.fromhex(signer.sign(header.signed_bytes()).signature))
    header = replace(header, signatures=(*header.signatures, made))
    write_bytes(file, header.to_bytes() + payload)
    return SignedImage(file, header.sequence, person, THRESHOLD - len(header.signatures))


def verify_image(image: bytes, device: ImageTrust) -> Header:
    """The header of an image that ``device`` takes.

    Raises:
        VerificationFailed: it refuses the image; the message opens with the reason.
    """
    if (reason := refusal(image, device)) is not None:
        raise VerificationFailed(f"[{reason}] the device refuses the image", hint="docs/over-the-air.md says what it checks")
    return Header.from_bytes(image)


def release_keys(workspace: Workspace) -> tuple[bytes, ...]:
    """Public keys of the persons who release: what devices trust. Small devices know ed25519 and no other kind.

    Raises:
        NotFound: there are no keys yet.
    """
    top = trust.newest_targets(workspace)
    if top is None or top.signed.delegations is None:
        raise no_keys(workspace)
    named = (top.signed.delegations.roles or {})["releases"].keyids
    keys = [top.signed.delegations.keys[keyid] for keyid in named]
    return tuple(bytes.fromhex(key.keyval["public"]) for key in keys if key.keytype == "ed25519")


def _attached(folder: Path) -> tuple[ImageRecord, bytes]:
    for name in (RECORD, PAYLOAD):
        if not (folder / name).is_file():
            raise NotFound(f"no {folder / name}", hint="muster artefact attach-image makes it")
    record, payload = ImageRecord.load(folder), (folder / PAYLOAD).read_bytes()
    if sha256_bytes(payload) != record.payload_sha256:
        raise VerificationFailed(f"{folder / PAYLOAD} is not what {RECORD} records", hint="attach the image again")
    return record, payload


def _header(record: ImageRecord, sequence: int | None) -> Header:
    if sequence is not None and not 1 <= sequence <= _LARGEST:
        raise InputError(f"sequence number {sequence}", hint="give one from 1 to 2^64 - 1, above that of every image before")
    try:
        major, minor = (int(part) for part in record.interface.split("."))
        header = Header(
            kind=Kind[record.kind.upper()],
            interface=(major, minor),
            sequence=sequence or 0,
            profile_sha256=profile_digest(record.profile),
            payload_length=record.payload_bytes,
            payload_sha256=bytes.fromhex(record.payload_sha256),
            artefact_sha256=bytes.fromhex(record.artefact_sha256),
        )
        header.signed_bytes()
    except (ValueError, TypeError, AttributeError, struct.error) as error:
        raise InputError(f"{RECORD} does not parse: {error}", hint="attach the image again") from None
    return header


def _begun(file: Path, wanted: Header, sequence: int | None) -> Header:
    """The envelope that another person began, or ``wanted``."""
    if not file.is_file():
        if sequence is None:
            raise InputError("the first signature sets the sequence number", hint="give --sequence, above every image before")
        return wanted
    try:
        header = Header.from_bytes(file.read_bytes()[:HEADER])
    except ValueError as error:
        raise InputError(f"{file} is no envelope: {error}", hint="take it away to begin anew") from None
    if sequence not in (None, header.sequence):
        raise Conflict(f"it was signed under sequence number {header.sequence}", hint="sign that one, or take the file away")
    if replace(header, signatures=()) != replace(wanted, sequence=header.sequence):
        raise Conflict(f"{file} is the envelope of another image", hint="take it away to begin anew")
    return header
