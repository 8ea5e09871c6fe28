"""What can be handed over to a firmware engineer: artefacts of a workspace's model, and of imported ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

_DECLARED = re.compile(rb'#define MODEL_INTERFACE "(\d+\.\d+)"')


class Deliverable(Protocol):
    """``members``: file name -> bytes of the runtime. ``sha256`` is that of the file ``file_name``."""

    @property
    def name(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def runtime(self) -> str: ...
    @property
    def runtime_minimal(self) -> str: ...
    @property
    def model_digest(self) -> str: ...
    @property
    def members(self) -> Mapping[str, bytes]: ...
    @property
    def sha256(self) -> str: ...
    @property
    def file_name(self) -> str: ...
    @property
    def interface(self) -> str | None: ...


def interface_of(members: Mapping[str, bytes]) -> str | None:
    """major.minor of the C interface, as `model.h` declares it; None for other runtimes."""
    declared = _DECLARED.search(members.get("model.h", b""))
    return declared[1].decode() if declared else None
