"""What a machine can do for Muster, and what would let it do more."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from dataclasses import dataclass

from components.quantization.boards import toolchains
from components.workspace import Workspace


@dataclass(frozen=True)
class Finding:
    """``found``: version or path, empty when it is not here; ``install``: what brings it; ``debian``: names of packages."""

    what: str
    found: str
    needed_for: str
    install: str
    debian: str = ""


_PROGRAMS = (
    ("git", "lineage of model versions", "git"),
    ("gcc", "host-compiled proofs of C artefacts", "gcc libc6-dev"),
    ("clang", "the second compiler of C artefacts", "clang"),
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
_EXTRAS = (("openvino", "OpenVINO artefacts, of profiles whose runtime.name is openvino"),)


def examine() -> list[Finding]:
    """Every program and package that some part of Muster needs, found or not."""
    machine = Finding("machine", f"{platform.machine()}, Python {platform.python_version()}", "everything", "")
    programs = [_program(name, why, packages) for name, why, packages in _PROGRAMS]
    boards = [
        _program(tool.program, f"emulated proofs on {', '.join(board.machine for board in boards)}", tool.packages)
        for tool, boards in toolchains().items()
    ]
    python = [Finding(name, _version(name), why, "make setup") for name, why in _PACKAGES]
    extras = [Finding(name, _version(name), why, f"pip install 'muster-mlops[{name}]'") for name, why in _EXTRAS]
    return [machine, *programs, *boards, *python, *extras]


def to_install(findings: list[Finding]) -> str:
    """The command that brings every program that is not here; empty when all are."""
    packages = " ".join(f.debian for f in findings if not f.found and f.debian).split()
    return f"apt-get install --no-install-recommends {' '.join(sorted(set(packages)))}" if packages else ""


def require_registries_agree(workspace: Workspace) -> None:
    """Raises VerificationFailed when MLflow's aliases are not what the release log says."""
    from registry import projection

    projection.require_same(workspace)


def _program(name: str, why: str, packages: str) -> Finding:
    word = "packages" if " " in packages else "package"
    return Finding(name, shutil.which(name) or "", why, f"Debian {word} {packages}", packages)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
