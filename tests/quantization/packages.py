"""Packages of forged artefacts, with proofs that nobody had to run."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from components.quantization.package.build import Package, build_package
from components.values import Artefact, Check, Proof

from . import boosted, forge


def c_artefact() -> Artefact:
    return forge.artefact(forge.graph(heads=2, numbers=1))


def onnx_artefact() -> Artefact:
    return boosted.artefact(boosted.model(), "onnxruntime")


def proof(artefact: Artefact, *, passed: bool = True) -> Proof:
    checks = (Check("flash", 900.0, 1000.0, passed=True, unit="bytes"), Check("self_test_mismatches", 0.0, 0.0, passed=passed))
    return Proof(artefact.profile, artefact.runtime, artefact.sha256, "host-compiled", "gcc on x86_64", checks)


def package(artefact: Artefact, **options: str | None) -> Package:
    return build_package(artefact.to_bytes(), proof(artefact), **options)


def unpacked(made: Package, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(made.data)) as archive:
        archive.extractall(folder)
    return folder
