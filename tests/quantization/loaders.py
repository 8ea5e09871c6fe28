"""Firmware that takes new models: the generated loader as a shared library."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np

from components.quantization.package.texts import verifier
from components.quantization.targets.c99 import loadable
from components.quantization.targets.c99.loader import loader_sources
from components.runtime.integers import Graph
from components.values import Artefact

from . import forge

STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic")
REASONS = ("", "size", "alignment", "magic", "version", "interface", "digest", "shape", "kernels", "arena", "tables", "graph")


def loadable_artefact(made: Graph, **options: object) -> Artefact:
    """A forged artefact with its blob."""
    artefact = forge.artefact(made, **options)
    return replace(artefact, members=artefact.members | loadable(artefact, made)).sealed()


class Firmware(forge.Device):
    """Made with one model; takes others."""

    def __init__(self, library: Path, made: Artefact) -> None:
        super().__init__(library, made)
        self._kept: list[ctypes.Array[ctypes.c_char]] = []

    def load(self, blob: bytes, *, shift: int = 0) -> str:
        """The reason of a refusal, '' for none. The blob lies in memory of exactly its size, at a multiple of 16."""
        buffer = ctypes.create_string_buffer(len(blob) + 32)
        at = ctypes.addressof(buffer)
        at += -at % 16 + shift
        ctypes.memmove(at, blob, len(blob))
        self._kept.append(buffer)
        return REASONS[self._c.model_load(ctypes.c_void_p(at), ctypes.c_uint32(len(blob)))]

    @property
    def vectors(self) -> int:
        return int(self._c.model_vectors())

    @property
    def digest(self) -> str:
        self._c.model_digest.restype = ctypes.POINTER(ctypes.c_uint8)
        return bytes(self._c.model_digest()[:32]).hex()

    def verdicts(self, raw: np.ndarray) -> list[tuple[int, list[int], list[int]]]:
        """Surprise, classes and values of windows."""
        found = []
        for window in raw:
            self.reset()
            surprise, _, classes = self.run(window)
            found.append((surprise, classes, self.values(window)))
        return found


def write(folder: Path, made: Artefact) -> list[str]:
    """The firmware's files; returns the C among them."""
    files = loader_sources(made) | verifier() | {"model.h": made.members["model.h"]}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return ["model_loader.c", "model_blob.c", "muster_sha2.c"]


def build(folder: Path, made: Artefact, compiler: str = "gcc", *flags: str) -> Firmware:
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "firmware.so"
    subprocess.run([compiler, *STRICT, *flags, "-shared", "-fPIC", *write(folder, made), "-o", library], cwd=folder, check=True)
    return Firmware(library, made)
