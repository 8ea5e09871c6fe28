"""`muster artefact attach-image`, `sign-image` and `verify-image`: firmware images for devices too small for metadata."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from components.workspace import open_workspace
from components.workspace.errors import Conflict, InputError
from muster.commands.package import opened, read_file
from muster.console import Json, check_folder, emit_json, emit_line


def add_to(app: typer.Typer) -> None:
    app.command("attach-image")(attach)
    app.command("sign-image")(sign)
    app.command("verify-image")(verify)


def attach(
    artefact: Annotated[Path, typer.Argument(help="the .artefact, or the package that the firmware was built from")],
    image: Annotated[Path, typer.Option(help="the firmware, an ELF or a raw .bin; or the blob of a model")],
    out: Annotated[Path, typer.Option(help="folder for payload.bin and image.json")],
    board: Annotated[str | None, typer.Option(help="emulated board that runs the ELF's self-test, e.g. mps2-an386")] = None,
    json: Json = False,
) -> None:
    """Bind a firmware image to the artefact in it; exits 4 when the model is not in it, or its self-test fails.

    With --board the image runs with semihosting, by which it can do on this machine what you can: only images of your own.
    """
    from components.quantization.package.image import attach_image
    from components.values.image import PAYLOAD
    from components.workspace.files import write_bytes

    check_folder(out)
    known = opened(read_file(artefact, "muster artefact package makes packages"))
    made = attach_image(known, read_file(image, "name the file that your build made"), image.name, board)
    _check_unsigned(out, made.payload)
    write_bytes(out / PAYLOAD, made.payload)
    made.record.save(out)
    if json:
        emit_json("image", made.record.to_json())
        return
    emit_line(f"{out}: {made.record.payload_bytes:,} bytes, {made.record.level}: {made.record.machine}")
    if made.record.missing:
        emit_line(f"  for more: {made.record.missing}")


def sign(
    folder: Annotated[Path, typer.Argument(help="what attach-image wrote")],
    workspace: Annotated[Path, typer.Argument(help="folder with muster.yaml, where the person's key lies")] = Path(),
    *,
    person: Annotated[str, typer.Option(help="whose key signs")],
    sequence: Annotated[int | None, typer.Option(help="above that of every image before; the first signature sets it")] = None,
    json: Json = False,
) -> None:
    """Sign an attached image with your key. Devices take it once a second person has signed, too."""
    from registry.images import sign_image

    done = sign_image(open_workspace(workspace), folder, person, sequence)
    if json:
        emit_json("signed-image", asdict(done))
    else:
        waits = "a second person has to sign" if done.missing else "devices take it"
        emit_line(f"{done.file}: sequence {done.sequence}, signed by {person}; {waits}")


def verify(
    envelope: Annotated[Path, typer.Argument(help="image.muster")],
    profile: Annotated[str, typer.Option(help="hardware profile of the device")],
    key: Annotated[list[str] | None, typer.Option(help="a trusted public key, 64 hex digits or a PEM file; repeat it")] = None,
    workspace: Annotated[Path | None, typer.Option(help="trust the persons who release in this workspace")] = None,
    floor: Annotated[int, typer.Option(min=0, help="sequence number of what the device runs")] = 0,
    model: Annotated[bool, typer.Option("--model", help="the device takes a model here, not firmware")] = False,
    interface: Annotated[int, typer.Option(min=0, max=65535, help="major number of its C interface")] = 1,
    json: Json = False,
) -> None:
    """Judge a signed image as a device does; exits 8 with the device's reason when it is refused."""
    from registry.contract.envelope import ImageTrust, Kind
    from registry.images import release_keys, verify_image

    keys = tuple(map(_public, key or ())) + (release_keys(open_workspace(workspace)) if workspace else ())
    if not keys:
        raise InputError("no trusted keys", hint="give --key or --workspace; muster keys show --json prints public keys")
    device = ImageTrust(keys, profile, Kind.MODEL if model else Kind.FIRMWARE, interface, floor)
    header = verify_image(read_file(envelope, "muster artefact sign-image makes it"), device)
    if json:
        signers = [signature.key_id.hex() for signature in header.signatures]
        facts = {"sequence": header.sequence, "kind": header.kind.name.lower(), "signers": signers}
        digests = {"artefact_sha256": header.artefact_sha256.hex(), "payload_sha256": header.payload_sha256.hex()}
        emit_json("verified-image", facts | digests | {"payload_bytes": header.payload_length})
    else:
        emit_line(f"{envelope}: a {profile} above sequence {floor} takes it; sequence {header.sequence}")


def _check_unsigned(folder: Path, payload: bytes) -> None:
    """Signatures under another image must not come to stand beside this one."""
    from registry.contract.envelope import HEADER
    from registry.images import ENVELOPE

    file = folder / ENVELOPE
    if file.is_file() and file.read_bytes()[HEADER:] != payload:
        raise Conflict(f"{file} is the signed image of another firmware", hint="name a folder of its own with --out")


def _public(given: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", given):
        return bytes.fromhex(given)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = read_file(Path(given), "a key is 64 hex digits, or a file")
    try:
        key = load_pem_public_key(data)
    except ValueError:
        raise InputError(f"{given} is no public key", hint="give a PEM file with an Ed25519 key, or 64 hex digits") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{given} is no Ed25519 key", hint="muster keys show --json prints those that may sign")
    return key.public_bytes_raw()
