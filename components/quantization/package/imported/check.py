"""Whether the artefact in a package of an imported model is the one that is described."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from components.quantization.imported.loading import AnyBuilt, load_built
from components.quantization.package.imported.description import ImportedDescription
from components.workspace.errors import NotFound, VerificationFailed
from components.workspace.files import write_bytes

FOLDER = "artefact/"


def built_in(files: Mapping[str, bytes], description: ImportedDescription) -> AnyBuilt:
    """The artefact among the ``files`` of a package.

    Raises:
        VerificationFailed: it is not whole, or not the described one.
    """
    with tempfile.TemporaryDirectory() as name:
        for file, data in files.items():
            if file.startswith(FOLDER) and file.count("/") == 1:
                write_bytes(Path(name) / file.removeprefix(FOLDER), data)
        try:
            made = load_built(Path(name))
        except NotFound:
            made = None
    if made is None or (made.sha256, made.profile) != (description.artefact.sha256, description.profile.name):
        raise VerificationFailed(
            f"{description.artefact.file} is not the artefact that package.json describes",
            hint="fetch it again, or make it again with muster artefact package",
        )
    return made
