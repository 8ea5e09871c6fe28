"""Boosted trees that were trained elsewhere: the file, how raw samples become its numbers, and rows to try it on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import Converter
from components.values.imported import DESCRIPTION
from components.values.kept import about_files, keep, read_kept
from components.workspace.errors import VerificationFailed
from components.workspace.files import sha256_bytes

KIND, MODEL, EXAMPLES = "imported-trees", "model.json", "examples.npy"


@dataclass(frozen=True)
class ImportedTrees:
    """``data``: the bytes of the file. ``examples``: (rows, features) float32 with NaN for missing, as the model was trained on.

    ``exact``: samples are those of the device's own converter, each one number; else numbers that were rounded to samples.
    ``about``: what was found in the file. ``drawn``: 'given', or 'random' where no examples were given.
    """

    name: str
    data: bytes
    converter: Converter
    exact: bool
    classes: tuple[str, ...]
    examples: NDArray[np.float32]
    drawn: str
    origin: str
    about: dict[str, Any]

    @property
    def digest(self) -> str:
        return sha256_bytes(self.data)

    @property
    def files(self) -> dict[str, bytes]:
        return {MODEL: self.data, EXAMPLES: _packed(self.examples)}

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": 1,
            "kind": KIND,
            "name": self.name,
            "origin": {"file": self.origin, "sha256": self.digest},
            "about": self.about,
            "converter": {"lsb": list(self.converter.lsb), "offset": list(self.converter.offset), "exact": self.exact},
            "classes": list(self.classes),
            "examples": {"rows": len(self.examples), "drawn": self.drawn},
            "files": about_files(self.files),
        }

    def save(self, folder: Path) -> None:
        keep(folder, DESCRIPTION, self.to_json(), self.files)

    @classmethod
    def load(cls, folder: Path) -> ImportedTrees:
        """Raises:
        NotFound: nothing was imported there.
        VerificationFailed: a file is not the one that was imported.
        """
        value, files = read_kept(folder, DESCRIPTION)
        try:
            return cls(
                name=str(value["name"]),
                data=files[MODEL],
                converter=Converter(*(tuple(map(float, value["converter"][key])) for key in ("lsb", "offset"))),
                exact=bool(value["converter"]["exact"]),
                classes=tuple(map(str, value["classes"])),
                examples=np.load(io.BytesIO(files[EXAMPLES]), allow_pickle=False).astype(np.float32),
                drawn=str(value["examples"]["drawn"]),
                origin=str(value["origin"]["file"]),
                about=dict(value["about"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise VerificationFailed(
                f"{folder} holds no whole imported model: {type(error).__name__}: {error}", hint="import the model again"
            ) from None


def _packed(values: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)
    return stream.getvalue()
