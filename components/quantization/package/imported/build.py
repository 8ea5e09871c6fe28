"""Build the package of an imported model's artefact."""

from __future__ import annotations

from components.quantization.imported.loading import AnyBuilt
from components.quantization.package import bill
from components.quantization.package.build import Package, check_packable, digests, sealed_package, toolchain_of
from components.quantization.package.imported.check import FOLDER
from components.quantization.package.imported.description import ImportedDescription, describe_imported
from components.quantization.package.imported.vectors import golden_numbers
from components.quantization.package.library import library_files
from components.quantization.package.readme import imported_readme
from components.quantization.package.texts import text
from components.quantization.package.vectors import FILE as VECTORS
from components.values import Proof
from components.workspace.profiles import Profile


def build_imported_package(
    made: AnyBuilt,
    proof: Proof | None,
    *,
    profile: Profile | None = None,
    firmware: str | None = None,
    unproven: bool = False,
) -> Package:
    """The package of ``made``. Equal inputs and versions give equal bytes. ``unproven``: as of `build_package`.

    Raises:
        GateFailed, InputError: as `build_package`.
    """
    check_packable(made, proof, profile, firmware, unproven=unproven)
    is_library, toolchain = made.runtime == "c99", toolchain_of(made.runtime)
    files = _contents(made)
    files[bill.FILE] = bill.bill_of_materials(made, digests(files), toolchain, verifier=is_library)

    def described() -> ImportedDescription:
        return describe_imported(made, proof, profile, firmware, toolchain, digests(files), VECTORS)

    files["README.txt"] = imported_readme(described())
    return sealed_package(described(), files)


def _contents(made: AnyBuilt) -> dict[str, bytes]:
    files = {f"{FOLDER}{name}": data for name, data in made.files.items()} | {f"{FOLDER}{made.file_name}": made.description}
    files |= {VECTORS: golden_numbers(made), "LICENSES/Apache-2.0.txt": text("LICENSE.Apache-2.0.txt").encode()}
    if made.runtime != "c99":
        return files | {f"model/{name}": data for name, data in made.members.items()}
    return files | library_files(made) | {"LICENSES/ISC.txt": text("LICENSE.ISC.txt").encode()}
