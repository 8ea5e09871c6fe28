"""`muster artefact package`, `verify` and `blob`: an artefact as an archive, or as what firmware loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.workspace.errors import GateFailed, InputError, NotFound
from muster.console import Json, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from components.quantization.imported.loading import AnyBuilt
    from components.quantization.package.build import Package
    from components.values import Artefact, Proof
    from components.values.deliverable import Deliverable
    from components.workspace.profiles import Profile

BUILT = "artefact.json"
PackageFile = Annotated[Path, typer.Argument(metavar="PACKAGE", help="an archive that muster artefact package made")]

_MADE = "muster step quantize writes artefacts below out/quantize, muster artefact package makes packages"


def add_to(app: typer.Typer) -> None:
    app.command("package")(make)
    app.command("verify")(verify)
    app.command("blob")(blob)


def make(
    artefact: Annotated[Path, typer.Argument(help="an .artefact file, or what muster artefact build wrote")],
    proof: Annotated[Path | None, typer.Option(help="its <profile>.proof.json; of a folder the one in it")] = None,
    profile: Annotated[Path | None, typer.Option(help="profiles/<name>.yaml, to record its digest")] = None,
    firmware: Annotated[str | None, typer.Option(help="firmware versions it is meant for, as PEP 440: '>=2.1,<3'")] = None,
    unproven: Annotated[bool, typer.Option("--unproven", help="also without a proof that passed; the package says so")] = False,
    out: Annotated[Path, typer.Option(help="a folder, or the name of the archive, which ends in .zip")] = Path(),
    json: Json = False,
) -> None:
    """Pack an artefact with sources, proof, golden vectors and bill of materials; equal inputs give equal bytes.

    For c99 the archive is a library for CMake, Arduino, PlatformIO and ESP-IDF. Set SOURCE_DATE_EPOCH to date the bill.
    """
    from components.quantization.package.build import build_package
    from components.quantization.package.imported.build import build_imported_package
    from components.workspace.files import write_bytes

    known = None if profile is None else _profile(profile)
    if is_built(artefact):
        made = built(artefact)
        proven = _proof(proof or _beside(artefact, made.profile))
        package = build_imported_package(made, proven, profile=known, firmware=firmware, unproven=unproven)
    else:
        data = read_file(artefact, "muster step quantize writes artefacts below out/quantize")
        package = build_package(data, _proof(proof), profile=known, firmware=firmware, unproven=unproven)
    file = out if out.suffix == ".zip" else out / package.description.file_name
    write_bytes(file, package.data)
    if not package.description.proven:
        say("nothing vouches for this artefact: the package says that it is unproven")
    if json:
        emit_json("package", _made(file, package))
    else:
        emit_line(f"{file}: {len(package.files)} files, {len(package.data):,} bytes, sha256 {_made(file, package)['sha256']}")


def verify(package: PackageFile, json: Json = False) -> None:
    """Whether every byte of a package is what it was; exits 8 and names the file that differs.

    The digests are the package's own: who made it is said by where you had it from, or by its sha256.
    """
    from components.quantization.package.check import open_package

    opened = open_package(read_file(package, "muster artefact package makes one"))
    if json:
        emit_json("package", _made(package, opened))
    else:
        state = "proven" if opened.description.proven else "UNPROVEN"
        emit_line(f"{package}: {len(opened.files)} files as they were packed, {state}, sha256 {_made(package, opened)['sha256']}")


def blob(
    artefact: Annotated[
        Path, typer.Argument(help="the .artefact, or the package, of the new model; its profile's runtime is c99")
    ],
    firmware: Annotated[Path | None, typer.Option(help="package, or .artefact, that the firmware was built from")] = None,
    arena: Annotated[int | None, typer.Option(min=1, help="the MODEL_ARENA that the firmware was built with")] = None,
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("model.blob"),
    json: Json = False,
) -> None:
    """Write a model as firmware loads it, without being flashed anew; exits 4 where --firmware would refuse it.

    attach-image and sign-image make a signed image of the file (docs/over-the-air.md).
    """
    from components.quantization.package.loadable import blob_of
    from components.workspace.files import sha256_bytes, write_bytes

    known = None if firmware is None else _network(firmware)
    if arena is not None and known is None:
        raise InputError("--arena without --firmware", hint="name the package that the firmware was built from")
    made = blob_of(_network(artefact), known, arena)
    write_bytes(out, made.data)
    if json:
        facts = {"file": str(out), "sha256": sha256_bytes(made.data), "bytes": len(made.data), "arena": made.arena}
        emit_json("blob", facts | {"checked": known is not None})
    else:
        said = "the firmware takes it" if known else "give --firmware to see whether a firmware takes it"
        emit_line(f"{out}: {len(made.data):,} bytes, an arena of {made.arena:,}; {said}")


def _network(file: Path) -> Artefact:
    from components.values import Artefact

    found = opened(read_file(file, _MADE))
    if not isinstance(found, Artefact):
        raise InputError(f"{file} is of an imported model: its firmware is built with it", hint="package it, and flash that")
    return found


def opened(data: bytes) -> Deliverable:
    """The artefact in the file of an artefact or of a package.

    Raises:
        VerificationFailed: neither, or damaged.
        GateFailed: the package is unproven.
    """
    from components.quantization.package.check import artefact_in, is_package, open_package
    from components.values import Artefact

    if not is_package(data):
        return Artefact.from_bytes(data)
    package = open_package(data)
    if not package.description.proven:
        raise GateFailed("the package is unproven: nothing vouches for its artefact", hint="prove it and package it again")
    return artefact_in(package.files, package.description)


def show_package(data: bytes, name: str, *, json: bool) -> None:
    """What `package.json` says of a package that is whole."""
    from components.quantization.package.check import open_package

    value = open_package(data).description.model_dump(mode="json")
    if json:
        emit_json("package", value)
        return
    files, proof = value.pop("files"), value.pop("proof")
    value.pop("calibration", None)
    rows = [(key, shown(item)) for key, item in value.items()]
    if proof is not None:
        rows += [("proof", f"{proof['level']}, {proof['machine']}")]
        rows += [(f"check {check['name']}", _check(check)) for check in proof["checks"]]
    rows += [(f"file {file}", digest) for file, digest in files.items()]
    emit_table(name, ("key", "value"), rows)


def is_built(place: Path) -> bool:
    """Whether ``place`` is a folder that muster artefact build wrote, or the description in it."""
    return place.is_dir() or place.name == BUILT


def built(place: Path) -> AnyBuilt:
    """Raises NotFound and VerificationFailed as `loading.load_built`."""
    from components.quantization.imported.loading import load_built

    return load_built(place)


def shown(value: object) -> object:
    if isinstance(value, dict):
        return "; ".join(f"{key} {shown(item)}".strip() for key, item in value.items())
    return ", ".join(str(shown(item)) for item in value) if isinstance(value, list) else value


def read_file(file: Path, hint: str) -> bytes:
    """Raises NotFound with ``hint`` when there is no such file."""
    if not file.is_file():
        raise NotFound(f"no file {file}", hint=hint)
    return file.read_bytes()


def _beside(place: Path, profile: str) -> Path | None:
    """The proof that muster artefact prove wrote there, if it did."""
    file = (place if place.is_dir() else place.parent) / f"{profile}.proof.json"
    return file if file.is_file() else None


def _profile(file: Path) -> Profile:
    from components.workspace.profiles import Profile
    from components.workspace.workspace import read_yaml

    read_file(file, "profiles lie in profiles/ of a workspace")
    return read_yaml(file, Profile)


def _proof(file: Path | None) -> Proof | None:
    from components.values import Proof

    if file is None:
        return None
    read_file(file, "muster step prove writes proofs below out/prove")
    try:
        return Proof.load(file)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is no proof: {error}", hint="muster step prove writes proofs below out/prove") from None


def _made(file: Path, package: Package) -> dict[str, Any]:
    from components.workspace.files import sha256_bytes

    about = package.description
    return {
        "file": str(file),
        "sha256": sha256_bytes(package.data),
        "bytes": len(package.data),
        "artefact_sha256": about.artefact.sha256,
        "profile": about.profile.name,
        "firmware": about.firmware,
        "proven": about.proven,
        "files": sorted(package.files),
    }


def _check(check: dict[str, Any]) -> str:
    limit = "reported" if check["limit"] is None else f"limit {check['limit']:g}"
    return f"{check['value']:g} {check['unit']}".strip() + f" ({limit})" + ("" if check["passed"] else " FAILED")
