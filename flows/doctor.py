"""What a machine can do for Muster, and what would let it do more."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """``found``: version or path, empty when it is not here; ``install``: what brings it."""

    what: str
    found: str
    needed_for: str
    install: str


_PROGRAMS = (
    ("git", "lineage of model versions", "Debian package git"),
    ("gcc", "host-compiled proofs of C artefacts", "Debian package gcc"),
    ("clang", "the second compiler of C artefacts", "Debian package clang"),
    ("arm-none-eabi-gcc", "emulated proofs on Cortex-M", "Debian packages gcc-arm-none-eabi libnewlib-arm-none-eabi"),
    ("qemu-system-arm", "emulated proofs on Cortex-M", "Debian package qemu-system-arm"),
)
_PACKAGES = (
    ("prefect", "flows and schedules"),
    ("mlflow", "the model registry"),
    ("dvc", "data versions"),
    ("torch", "training"),
    ("tensorflow", "conversion to LiteRT and C"),
    ("ai-edge-litert", "LiteRT artefacts"),
    ("onnxruntime", "ONNX artefacts"),
    ("great-expectations", "validation"),
    ("tuf", "signed manifests"),
)


def examine() -> list[Finding]:
    """Every program and package that some part of Muster needs, found or not."""
    machine = Finding("machine", f"{platform.machine()}, Python {platform.python_version()}", "everything", "")
    programs = [Finding(name, shutil.which(name) or "", why, how) for name, why, how in _PROGRAMS]
    return [machine, *programs, *(Finding(name, _version(name), why, "make setup") for name, why in _PACKAGES)]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
