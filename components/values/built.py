"""What artefacts of imported models have in common: files, and a description that holds the digest of each."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from components.values.deliverable import interface_of
from components.workspace.files import sha256_bytes

DESCRIPTION = "artefact.json"


class Built(ABC):
    """``files``: what the description has the digests of."""

    @property
    @abstractmethod
    def files(self) -> dict[str, bytes]: ...

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The description."""

    @property
    def description(self) -> bytes:
        """Compact, so that its digest is that of the value."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def sha256(self) -> str:
        return sha256_bytes(self.description)

    @property
    def file_name(self) -> str:
        return DESCRIPTION

    @property
    def interface(self) -> str | None:
        return interface_of(self.files)
