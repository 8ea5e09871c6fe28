"""One module a runtime: onnx_runtime, openvino, litert, c99.

A trained model becomes a `Network`, an artefact is tried in a `Trial`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.models.ranges import Spans
from components.models.reference import Array
from components.models.simulation import activations
from components.runtime.engines import Engine
from components.runtime.scoring import Quantized
from components.runtime.surprise import Calibrated, Verdict
from components.values import Architecture, Artefact
from components.values.recipe import Recipe


@dataclass(frozen=True)
class Written:
    """A network as a recipe writes it. ``spans``: how far its activations reach (`models.ranges`) on ``codes``, (windows, steps,
    channels) int8.
    """

    architecture: Architecture
    weights: Mapping[str, Array]
    spans: Spans
    codes: NDArray[np.int8]
    recipe: Recipe

    @property
    def ends(self) -> dict[str, Quantized]:
        """Scale and zero point of the input and of each output, also where the network itself computes in floats."""
        found = activations(self.architecture, self.spans)
        return {name: found[name] for name in ("input", "correction", "embedding", *(h.output for h in self.architecture.heads))}


@dataclass(frozen=True)
class Footprint:
    """Bytes that generated C takes at least, known without a compiler: its tables in ``flash``, its static memory in ``ram``."""

    flash: int
    ram: int


@dataclass(frozen=True)
class Network:
    """The model of one runtime: its files, its tensors' scales, and a way to run it here.

    ``tensors`` names 'input', 'correction', 'embedding', 'logits.<task>' and 'number.<task>' of a network; trees have none.
    ``operators``: those of the file that a runtime reads or that C was made from, empty where there is none.
    ``sources`` writes the files where they hold score and self-test too, as C does; ``members`` are then empty, and
    ``footprint`` says what the model takes with a score.
    """

    members: dict[str, bytes]
    tensors: dict[str, Quantized]
    engine: Engine
    sources: Callable[[Artefact], dict[str, bytes]] | None = None
    operators: frozenset[str] = frozenset()
    footprint: Callable[[Calibrated], Footprint] | None = None


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
