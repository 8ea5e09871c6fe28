"""The fixed texts that go into packages."""

from __future__ import annotations

from importlib.resources import files
from string import Template

_ROOM = files("components.quantization.package")


def text(name: str) -> str:
    return (_ROOM / "texts" / name).read_text(encoding="utf-8")


def filled(name: str, **values: object) -> bytes:
    """The text with each ``$key`` replaced."""
    return Template(text(name)).substitute(values).encode()


def verifier() -> dict[str, bytes]:
    """The C of the verifier of signed images: file name -> content."""
    found = (file for file in (_ROOM / "verifier").iterdir() if file.name.endswith((".c", ".h")))
    return {file.name: file.read_bytes() for file in found}
