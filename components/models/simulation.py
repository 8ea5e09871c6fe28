"""Simulated integer inference: a float network in the arithmetic of the generated C, without any converter.

Weights and activations become int8 by the rules of TensorFlow Lite's post-training quantization (Jacob et al., CVPR 2018;
TensorFlow Lite 8-bit quantization specification): symmetric weights with a scale an output channel, activations as far as a
calibrator lets them reach. Artefacts of the other runtimes are within rounding of it.

With activations of 16 bits they are int16 around 0 between the ends (TensorFlow Lite's 16x8 scheme): the int8 codes of a window
become 256 of their own, and the outputs int8 again, so that what comes before and after the network is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from components.models.ranges import Spans, ranges
from components.models.reference import Array
from components.models.weights import WEIGHT_LIMIT, bits_of, coded
from components.runtime import integers, interpreter
from components.runtime.engines import Engine
from components.runtime.fixed_point import narrow, quantize_multiplier
from components.runtime.integers import Bits, Graph, Operation, Ramp, Tensor
from components.runtime.scoring import Quantized
from components.values import Architecture

_LEAST_SPAN = 1e-6
_WIDE_INPUT = "input.16"


@dataclass(frozen=True)
class Simulated:
    """A network in integers, as `models.calibration.Network`; ``graph`` holds its operations."""

    graph: Graph
    tensors: dict[str, Quantized]
    engine: Engine


def simulate(architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8]) -> Simulated:
    """``codes``: (windows, steps, channels) whose activations set the ranges."""
    return simulate_within(architecture, weights, ranges(architecture, weights, codes))


def simulate_within(
    architecture: Architecture, weights: Mapping[str, Array], spans: Spans, limit: int = WEIGHT_LIMIT, precision: str = "int8"
) -> Simulated:
    """``spans``: how far each activation reaches, by whatever calibrator; ``limit``: the largest code of a weight;
    ``precision``: int8, int16x8 (activations of 16 bits between the ends), int4 or binary (weights of 4 bits or one).
    """
    ends = activations(architecture, spans)
    inside = {name: symmetric(*span) for name, span in spans.items()} if precision == "int16x8" else ends
    return _Builder(architecture, weights, ends, inside, limit, precision).build()


def activations(architecture: Architecture, found: Spans) -> dict[str, Quantized]:
    """Scale and zero point of each tensor that a device holds, from how far it reaches."""
    spans = {name: span for name, span in found.items() if not name.endswith(".sum")}
    return {"input": Quantized(architecture.input_scale, 0)} | {n: activation(*span) for n, span in spans.items()}


def activation(low: float, high: float) -> Quantized:
    """Scale and zero point of a tensor whose values lie between both; 0 has a code of its own."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, _LEAST_SPAN) / 255
    return Quantized(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def symmetric(low: float, high: float) -> Quantized:
    """Scale of a tensor in 16 bits."""
    return Quantized(max(-low, high, _LEAST_SPAN) / 32767, 0)


class _Builder:
    """``ends``: of the input and the outputs; ``inside``: of all that lies between, in ``bits``."""

    def __init__(
        self,
        architecture: Architecture,
        weights: Mapping[str, Array],
        ends: Mapping[str, Quantized],
        inside: Mapping[str, Quantized],
        limit: int,
        precision: str,
    ) -> None:
        self._shape, self._weights, self._limit, self._precision = architecture, weights, limit, precision
        self._ends, self._inside = ends, inside
        self._bits: Bits = 16 if precision == "int16x8" else 8
        self._places: dict[str, int] = {}
        self._tensors: dict[int, Tensor] = {}
        self._operations: list[Operation] = []

    def build(self) -> Simulated:
        a = self._shape
        h = self._layer(self._entry(), "stem", relu=True)
        for i in range(a.blocks):
            d = self._layer(h, f"block{i}.depthwise", relu=True, depthwise=True)
            p = self._layer(d, f"block{i}.pointwise")
            h = self._sum(h, p, f"block{i}")
        self._layer(h, "correct", "correction")
        mean = np.full((a.width, 1, a.steps), 1 / a.steps, np.float32), np.zeros(a.width, np.float32)
        embedding = self._layer(h, "embedding", depthwise=True, same=False, constants=mean)
        for head in a.heads:
            source = embedding
            if not head.classes:
                summary = self._layer(h, f"summary.{head.task}", relu=True, depthwise=True, same=False)
                source = self._layer(summary, f"hidden.{head.task}", relu=True)
            self._layer(source, f"head.{head.task}", head.output)
        names = ("correction", "embedding", *(head.output for head in a.heads))
        outputs = {name: self._exit(name) for name in sorted(names)}
        graph = Graph(self._tensors, tuple(self._operations), self._places["input"], outputs)
        return Simulated(graph, {name: self._ends[name] for name in ("input", *outputs)}, interpreter.engine(graph, a.optional))

    def _entry(self) -> str:
        a = self._shape
        x = self._hold("input", a.steps, a.inputs, self._ends["input"], 8)
        if self._bits == 8:
            return "input"
        self._hold(_WIDE_INPUT, a.steps, a.inputs, Quantized(x.scale / 256, 0), 16)
        self._ramp("input", _WIDE_INPUT)
        return _WIDE_INPUT

    def _exit(self, name: str) -> int:
        """The tensor of the output ``name`` in 8 bits."""
        if self._bits == 8:
            return self._places[name]
        steps, channels = self._tensors[self._places[name]].shape
        self._hold(f"{name}.codes", steps, channels, self._ends[name], 8)
        self._ramp(name, f"{name}.codes")
        return self._places[f"{name}.codes"]

    def _ramp(self, source: str, target: str) -> None:
        x, y = (self._tensors[self._places[name]] for name in (source, target))
        factor = narrow(quantize_multiplier(x.scale / y.scale))
        ends = self._places[source], self._places[target]
        self._operations.append(Ramp(*ends, (x.zero, y.zero), factor, factor, y.low, y.high))

    def _hold(self, name: str, steps: int, channels: int, q: Quantized, bits: Bits) -> Tensor:
        place = len(self._places)
        self._places[name] = place
        self._tensors[place] = Tensor((steps, channels), q.scale, q.zero, bits)
        return self._tensors[place]

    def _layer(
        self,
        source: str,
        name: str,
        target: str | None = None,
        *,
        relu: bool = False,
        depthwise: bool = False,
        same: bool = True,
        constants: tuple[Array, Array] | None = None,
    ) -> str:
        """A layer from the tensor ``source`` to ``target``, which is called like its weights where nothing else is said."""
        weight, bias = constants or (self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])
        target = target or name
        x = self._tensors[self._places[source]]
        sweep = integers.along_steps(x.shape[0], x.channels, weight.shape[-1] if weight.ndim == 3 else 1, same=same)
        y = self._hold(target, sweep.out[1], len(weight), self._inside[target], self._bits)
        weight_bits = bits_of(self._precision, name)
        scales, codes = coded(weight, weight_bits, self._limit)
        q = codes.reshape(*weight.shape[:2], -1)
        self._operations.append(
            replace(
                integers.layer(
                    self._places[source],
                    self._places[target],
                    (x, y),
                    q[:, 0].T[None] if depthwise else q.transpose(0, 2, 1)[:, None],
                    np.rint(bias / (scales * x.scale)).astype(np.int64),
                    (x.scale * scales).tolist(),
                    sweep,
                    low=max(y.low, y.zero) if relu else y.low,
                    high=y.high,
                ),
                weight_bits=weight_bits,
            )
        )
        return target

    def _sum(self, left: str, right: str, target: str) -> str:
        a, b = (self._tensors[self._places[name]] for name in (left, right))
        y = self._hold(target, a.shape[0], a.channels, self._inside[target], self._bits)
        sources = self._places[left], self._places[right]
        self._operations.append(integers.addition(sources, self._places[target], (a, b, y), max(y.low, y.zero), y.high))
        return target
