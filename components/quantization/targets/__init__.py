"""One module a runtime: onnx_runtime, litert, c99. A trained model becomes a `Network`, an artefact is tried in a `Trial`."""

from __future__ import annotations

from dataclasses import dataclass

from components.runtime.engines import Engine
from components.runtime.scoring import Quantized, Verdict


@dataclass(frozen=True)
class Network:
    """The int8 network of one runtime: its files, its tensors' scales, and a way to run it here.

    ``tensors`` names 'input', 'correction', 'embedding' and 'logits.<task>'.
    """

    members: dict[str, bytes]
    tensors: dict[str, Quantized]
    engine: Engine


@dataclass(frozen=True)
class Trial:
    """What came of running an artefact on held-out windows in its own runtime.

    ``verdict`` None: nothing here can run it. ``flash`` and ``ram`` in bytes, ``latency_ms`` the median of single
    windows on one thread, ``instructions`` of one window; None: not measured here. ``note`` says how RAM was measured.
    """

    level: str
    machine: str
    verdict: Verdict | None
    self_test_mismatches: int | None
    flash: int | None
    ram: int | None
    latency_ms: float | None = None
    instructions: int | None = None
    note: str = ""
    missing: str = ""
