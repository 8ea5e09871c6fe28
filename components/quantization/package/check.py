"""Read a package without trusting it: every byte of the archive is what `package.json` and SHA256SUMS say."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from components.quantization.package import archive
from components.quantization.package.build import SUMS, Package, sums
from components.quantization.package.description import FILE, PackageDescription
from components.quantization.package.imported.check import built_in
from components.quantization.package.imported.description import ImportedDescription
from components.values import Artefact
from components.values.deliverable import Deliverable
from components.workspace.errors import VerificationFailed
from components.workspace.files import sha256_bytes

_AGAIN = "fetch it again, or make it again with muster artefact package"


def is_package(data: bytes) -> bool:
    """Whether an archive holds `package.json`; says nothing about its being sound."""
    try:
        return FILE in archive.unpack(data)
    except VerificationFailed:
        return False


def open_package(data: bytes) -> Package:
    """The package in ``data``.

    Raises:
        VerificationFailed: no package, or a byte of it differs; the message names the file.
    """
    files = archive.unpack(data)
    for needed in (FILE, SUMS):
        if needed not in files:
            raise VerificationFailed(f"no package: it has no {needed}", hint=_AGAIN)
    description = _description(files[FILE])
    _compare(files, description.files | {FILE: _listed(files[SUMS]), SUMS: sha256_bytes(sums(files))})
    if archive.pack(files) != data:
        raise VerificationFailed("the archive around the files was changed", hint=_AGAIN)
    _hold_artefact(files, description)
    return Package(description, files, data)


def artefact_in(files: Mapping[str, bytes], description: PackageDescription | ImportedDescription) -> Deliverable:
    """Raises:
    VerificationFailed: it is not the one that is described.
    """
    if isinstance(description, ImportedDescription):
        return built_in(files, description)
    artefact = Artefact.from_bytes(files.get(description.artefact.file, b""))
    if (artefact.sha256, artefact.profile) != (description.artefact.sha256, description.profile.name):
        raise VerificationFailed(f"{description.artefact.file} is not the artefact that {FILE} describes", hint=_AGAIN)
    return artefact


def _description(data: bytes) -> PackageDescription | ImportedDescription:
    kind = ImportedDescription if _says_imported(data) else PackageDescription
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise VerificationFailed(f"{FILE} does not parse: {where}: {first['msg']}", hint=_AGAIN) from None


def _says_imported(data: bytes) -> bool:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("kind") == "imported"


def _listed(table: bytes) -> str:
    """The digest that SHA256SUMS has of `package.json`."""
    lines = (line.split("  ", 1) for line in table.decode(errors="replace").splitlines())
    return next((line[0] for line in lines if line[1:] == [FILE]), "")


def _compare(files: Mapping[str, bytes], wanted: Mapping[str, str]) -> None:
    wrong = [name for name in sorted(files) if name in wanted and sha256_bytes(files[name]) != wanted[name]]
    problems = [f"{name} was changed" for name in wrong if name != SUMS or len(wrong) == 1]
    problems += [f"{name} is missing" for name in sorted(wanted.keys() - files.keys())]
    problems += [f"{name} does not belong to it" for name in sorted(files.keys() - wanted.keys())]
    if problems:
        raise VerificationFailed("; ".join(problems), hint=_AGAIN)


def _hold_artefact(files: Mapping[str, bytes], description: PackageDescription | ImportedDescription) -> None:
    """The artefact inside is the one that is described, and the sources or model beside it are its own."""
    artefact = artefact_in(files, description)
    beside = {
        name.rpartition("/")[2]: data for name, data in files.items() if name.startswith(("src/", "model/", "examples/loop/"))
    }
    if strange := [name for name, data in sorted(artefact.members.items()) if beside.get(name) != data]:
        raise VerificationFailed(f"{', '.join(strange)} beside the artefact differs from the artefact's own", hint=_AGAIN)
