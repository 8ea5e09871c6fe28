"""Try artefacts whose runtime this machine has: ONNX Runtime, OpenVINO and LiteRT."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from components.quantization.levels import family, reach
from components.quantization.selftest import mismatches
from components.quantization.targets import Trial
from components.quantization.targets.alone import measure
from components.quantization.targets.openvino import check_installed
from components.runtime.engines import open_engine
from components.values import Artefact
from components.workspace.profiles import Profile

_PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}


def try_here(profile: Profile, artefact: Artefact, codes: NDArray[np.int8]) -> Trial:
    """Run all of ``codes`` (windows, steps, channels) here, and single windows in a process of their own.

    Raises:
        BackendUnreachable: the runtime is not installed.
    """
    if artefact.runtime == "openvino":
        check_installed()
    engine = open_engine(artefact.runtime, artefact.members, artefact.tensors, artefact.optional)
    measured = measure(artefact, codes)
    reached = reach(profile)
    package = _PACKAGES[artefact.runtime]
    return Trial(
        level=reached.level,
        machine=f"{package} {version(package)} on {family()}",
        verdict=artefact.scoring.verdict(codes, engine(codes)),
        self_test_mismatches=mismatches(artefact, engine),
        flash=artefact.size,
        ram=measured.ram,
        latency_ms=measured.latency_ms,
        note="peak of resident memory above the bare runtime's",
        missing="; ".join(filter(None, [reached.missing, "" if measured.ram is not None else "Linux, to measure RAM"])),
    )
