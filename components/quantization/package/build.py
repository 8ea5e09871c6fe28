"""Build the package of an artefact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from components.quantization.package import archive, bill, vectors
from components.quantization.package.description import FILE, PackageDescription, describe
from components.quantization.package.imported.description import ImportedDescription
from components.quantization.package.library import SOURCES, library_files
from components.quantization.package.readme import readme
from components.quantization.package.texts import text
from components.values import Artefact, Proof
from components.values.deliverable import Deliverable
from components.workspace.errors import GateFailed, InputError, VerificationFailed
from components.workspace.files import sha256_bytes
from components.workspace.profiles import Profile

SUMS = "SHA256SUMS"
_MADE_BY = {
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "onnxruntime", "openvino"),
    "litert": ("tensorflow", "ai-edge-litert"),
    "c99": ("tensorflow",),
}


@dataclass(frozen=True)
class Package:
    """``data``: the archive; ``files``: what is in it, `package.json` and SHA256SUMS included."""

    description: PackageDescription | ImportedDescription
    files: dict[str, bytes]
    data: bytes


def build_package(
    data: bytes,
    proof: Proof | None,
    *,
    profile: Profile | None = None,
    firmware: str | None = None,
    unproven: bool = False,
) -> Package:
    """The package of the artefact file ``data``. Equal inputs and versions give equal bytes.

    ``unproven``: also without a proof that passed; the package then says so.

    Raises:
        VerificationFailed: ``data`` is no artefact.
        GateFailed: the proof is missing, failed, or of another artefact.
        InputError: ``firmware`` is no PEP 440 range or holds no version, or ``profile`` is another one than the artefact's.
    """
    artefact = Artefact.from_bytes(data)
    _check_members(artefact)
    check_packable(artefact, proof, profile, firmware, unproven=unproven)
    toolchain = toolchain_of(artefact.runtime)
    files = _contents(artefact, data)
    is_library = artefact.runtime == "c99"
    files[bill.FILE] = bill.bill_of_materials(artefact, digests(files), toolchain, verifier=is_library)

    def described() -> PackageDescription:
        return describe(artefact, proof, profile, firmware, toolchain, digests(files), vectors.FILE)

    files["README.txt"] = readme(described())
    return sealed_package(described(), files)


def sealed_package(description: PackageDescription | ImportedDescription, files: dict[str, bytes]) -> Package:
    """The archive of ``files`` and of their description."""
    files = dict(files)
    files[FILE] = (description.model_dump_json(indent=2) + "\n").encode()
    files[SUMS] = sums(files)
    return Package(description, files, archive.pack(files))


def sums(files: Mapping[str, bytes]) -> bytes:
    """What `sha256sum` writes for all files but this one."""
    found = digests(files)
    return "".join(f"{found[name]}  {name}\n" for name in sorted(found) if name != SUMS).encode()


def _contents(artefact: Artefact, data: bytes) -> dict[str, bytes]:
    files = {f"artefact/{artefact.file_name}": data, vectors.FILE: vectors.golden_vectors(artefact)}
    files["LICENSES/Apache-2.0.txt"] = text("LICENSE.Apache-2.0.txt").encode()
    if artefact.runtime != "c99":
        return files | {f"model/{name}": member for name, member in artefact.members.items()}
    return files | library_files(artefact) | {"LICENSES/ISC.txt": text("LICENSE.ISC.txt").encode()}


def _check_members(artefact: Artefact) -> None:
    lacking = set(SOURCES) - artefact.members.keys() if artefact.runtime == "c99" else set()
    if lacking:
        raise VerificationFailed(
            f"not an artefact: a model in C without {', '.join(sorted(lacking))}", hint="muster step quantize builds it again"
        )


def check_packable(
    artefact: Deliverable, proof: Proof | None, profile: Profile | None, firmware: str | None, *, unproven: bool
) -> None:
    """Raises:
    GateFailed, InputError: as `build_package`.
    """
    if profile is not None and profile.name != artefact.profile:
        raise InputError(
            f"the artefact is for profile '{artefact.profile}', not '{profile.name}'", hint="name its own profile's file"
        )
    if firmware is not None:
        _check_range(firmware)
    if proof is not None and proof.artefact_sha256 != artefact.sha256:
        raise GateFailed(
            f"the proof is of artefact {proof.artefact_sha256[:12]}, not of {artefact.sha256[:12]}",
            hint="prove it again: muster step prove, of an imported model muster artefact prove",
        )
    if unproven:
        return
    if proof is None:
        raise GateFailed("no proof is given", hint="name it with --proof, or package it with --unproven, which the package says")
    if not proof.passed:
        failed = ", ".join(check.name for check in proof.checks if not check.passed) or f"level {proof.level}"
        raise GateFailed(
            f"the proof of {artefact.profile} failed: {failed}",
            hint="mend it, or package it with --unproven, which the package says",
        )


def _check_range(firmware: str) -> None:
    try:
        versions = SpecifierSet(firmware)
    except InvalidSpecifier:
        raise InputError(f"'{firmware}' is no range of versions", hint="write it as PEP 440 has it: '>=2.1,<3'") from None
    if versions.is_unsatisfiable():
        raise InputError(f"no version is in '{firmware}'", hint="write the older bound first: '>=2.1,<3'")


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256_bytes(content) for name, content in sorted(files.items())}


def toolchain_of(runtime: str) -> dict[str, str]:
    found = {}
    for key, name in (("muster", "muster-mlops"), *((n, n) for n in _MADE_BY[runtime])):
        try:
            found[key] = version(name)
        except PackageNotFoundError:
            found[key] = "not installed"
    return found
