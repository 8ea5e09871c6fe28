"""A C99 artefact as a library that CMake, Arduino, PlatformIO and ESP-IDF build, with the verifier of signed images."""

from __future__ import annotations

import json
import re

from components.quantization.boards import BOARDS
from components.quantization.package.texts import filled, text, verifier
from components.quantization.targets.c99.blob import FILE
from components.quantization.targets.c99.image import harness
from components.quantization.targets.c99.loader import loader_sources
from components.values import Artefact
from components.values.deliverable import Deliverable

SOURCES = ("model.h", "model.c", "model_selftest.c", "main.c")
"""What an artefact in C has at least; the last one is an example."""
_EXAMPLE = SOURCES[-1]
_BOARD = "mps2-an386"


def library_files(artefact: Deliverable) -> dict[str, bytes]:
    """Name in the archive -> content."""
    sources = {f"src/{name}": data for name, data in ({**artefact.members} | verifier()).items() if name not in {_EXAMPLE, FILE}}
    compiled = " ".join(sorted(name for name in sources if name.endswith(".c")))
    library = re.sub(r"\W", "_", f"Muster_{artefact.name}_{artefact.profile}")
    title = f"{artefact.name} for {artefact.profile}"
    board = next(known for known in BOARDS if known.machine == _BOARD)
    about = {
        "CMakeLists.txt": filled("CMakeLists.txt", sources=compiled),
        "library.properties": filled(
            "library.properties", library=library, version=_three_parts(artefact), title=title, sha256=artefact.sha256
        ),
        "library.json": _platformio(artefact, library, title),
        "examples/selftest/main.c": text("selftest.c").encode(),
        "examples/SelfTest/SelfTest.ino": text("SelfTest.ino").encode(),
        "examples/loop/main.c": artefact.members[_EXAMPLE],
    }
    if isinstance(artefact, Artefact) and FILE in artefact.members:
        about |= {f"loader/{name}": data for name, data in loader_sources(artefact).items()}
        about[f"model/{FILE}"] = artefact.members[FILE]
    return sources | about | {f"examples/emulated_board/{name}": text.encode() for name, text in harness(board).items()}


def _platformio(artefact: Deliverable, library: str, title: str) -> bytes:
    value = {
        "name": library,
        "version": _three_parts(artefact),
        "description": title,
        "license": "Apache-2.0 AND ISC",
        "headers": ["model.h", "muster_image.h"],
        "build": {"srcDir": "src", "includeDir": "src", "flags": ["-std=c99"]},
        "frameworks": "*",
        "platforms": "*",
    }
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _three_parts(artefact: Deliverable) -> str:
    """The version of the C interface, as library managers want it, with the artefact behind it."""
    return f"{artefact.interface or '0.0'}.0+{artefact.sha256[:12]}"
