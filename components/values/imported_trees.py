"""Boosted trees that were trained elsewhere: the file, how raw samples become its numbers, and rows to try it on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.sampling import Sampling
from components.values.imported import DESCRIPTION
from components.values.sealed import digests, load_sealed, save_sealed
from components.workspace.errors import VerificationFailed
from components.workspace.files import sha256_bytes

KIND, MODEL, EXAMPLES = "imported-trees", "model.json", "examples.npy"


@dataclass(frozen=True)
class ImportedTrees:
    """``data``: XGBoost's JSON. ``examples``: (rows, features) float32 with NaN for missing, as the model was trained on.

    ``drawn``: 'given', or 'random' where no examples were given. ``origin``: name of the file that was imported, with its
    SHA-256 in ``origin_sha256``. ``about``: what was found in it.
    """

    name: str
    data: bytes
    sampling: Sampling
    classes: tuple[str, ...]
    examples: NDArray[np.float32]
    drawn: str
    origin: str
    origin_sha256: str
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
            "origin": {"file": self.origin, "sha256": self.origin_sha256},
            "about": self.about,
            "sampling": self.sampling.to_json(),
            "classes": list(self.classes),
            "examples": {"rows": len(self.examples), "drawn": self.drawn},
            "files": digests(self.files),
        }

    def save(self, folder: Path) -> None:
        save_sealed(folder, DESCRIPTION, self.to_json(), self.files)

    @classmethod
    def load(cls, folder: Path) -> ImportedTrees:
        """Raises:
        NotFound: nothing was imported there.
        VerificationFailed: a file is not the one that was imported.
        """
        value, files = load_sealed(folder, DESCRIPTION, KIND)
        try:
            found = cls(
                name=str(value["name"]),
                data=files[MODEL],
                sampling=Sampling.from_json(value["sampling"]),
                classes=tuple(map(str, value["classes"])),
                examples=np.load(io.BytesIO(files[EXAMPLES]), allow_pickle=False).astype(np.float32),
                drawn=str(value["examples"]["drawn"]),
                origin=str(value["origin"]["file"]),
                origin_sha256=str(value["origin"]["sha256"]),
                about=dict(value["about"]),
            )
            found.check()
        except (KeyError, TypeError, ValueError) as error:
            raise VerificationFailed(
                f"{folder} holds no whole imported model: {type(error).__name__}: {error}", hint="import the model again"
            ) from None
        return found

    def check(self) -> None:
        """Raises:
        ValueError: samples and examples are of other features.
        """
        lsb, offset = self.sampling.converter.lsb, self.sampling.converter.offset
        if self.examples.ndim != 2 or {len(lsb), len(offset)} != {self.examples.shape[1]} or not min(lsb) > 0:
            raise ValueError(f"{len(lsb)} steps and {len(offset)} offsets for examples of shape {self.examples.shape}")


def _packed(values: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)
    return stream.getvalue()
