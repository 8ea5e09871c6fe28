"""Integer networks made by hand, so that the C generator is tried on many shapes without a converter."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from components.models.calibration import calibrate
from components.quantization.selftest import make_self_test
from components.quantization.targets import Network
from components.quantization.targets.c99 import emit
from components.quantization.targets.c99.network import network_body
from components.runtime import interpreter
from components.runtime.conditions import Conditions
from components.runtime.fixed_point import quantize_multiplier
from components.runtime.integers import Graph, Layer, Sum, Tensor, along_steps, elementwise
from components.runtime.scaling import FIXED, Calibration, Converter, Scaling
from components.runtime.scoring import Quantized
from components.runtime.wide import Wide, units_of
from components.values import Architecture, Artefact, ElectraModel, Head
from components.values.model import Normal

CLASSES = ("normal", "worn", "broken")
LIFE = (0.0, 125.0)


def graph(
    steps: int = 16,
    channels: int = 3,
    width: int = 8,
    kernel: int = 5,
    heads: int = 1,
    seed: int = 1,
    numbers: int = 0,
    optional: int = 0,
) -> Graph:
    """Stem, one residual block, correction, embedding, heads and numbers with random weights that use the int8 range."""
    rng = np.random.default_rng(seed)
    tensors = {0: Tensor((steps, channels + optional), 6 / 127, 0)}
    operations: list[Layer | Sum] = []

    def layer(source: int, out: int, kernel: int, *, depthwise: bool = False, relu: bool = False, valid: bool = False) -> int:
        x, target = tensors[source], len(tensors)
        y = Tensor((1 if valid else x.shape[0], out), float(rng.uniform(0.02, 0.1)), -128 if relu else int(rng.integers(-60, 60)))
        size = (1, kernel, out) if depthwise else (out, 1, kernel, x.channels)
        weights = rng.integers(-127, 128, size).astype(np.int8)
        axes = (0, 1) if depthwise else (1, 2, 3)
        bias = rng.integers(-2000, 2000, out) - x.zero * weights.astype(np.int64).sum(axis=axes)
        fan = kernel * (1 if depthwise else x.channels)
        factors = tuple(quantize_multiplier(float(rng.uniform(0.5, 2.0)) / (40 * np.sqrt(fan))) for _ in range(out))
        sweep = along_steps(x.shape[0], x.channels, kernel, same=not valid)
        tensors[target] = y
        low = max(-128, y.zero) if relu else -128
        operations.append(
            Layer(source, target, depthwise, weights, bias.astype(np.int32), factors, sweep, x.zero, y.zero, low, 127)
        )
        return target

    h = layer(0, width, 3, relu=True)
    p = layer(layer(h, width, kernel, depthwise=True, relu=True), width, 1)
    s = len(tensors)
    tensors[s] = Tensor((steps, width), 0.08, -128)
    twice = 2 * max(tensors[h].scale, tensors[p].scale)
    factors = quantize_multiplier(tensors[h].scale / twice), quantize_multiplier(tensors[p].scale / twice)
    zeros = tensors[h].zero, tensors[p].zero
    operations.append(
        Sum(
            (h, p),
            s,
            zeros,
            factors,
            quantize_multiplier(twice / ((1 << 20) * 0.08)),
            -128,
            -128,
            127,
            elementwise(steps * width),
        )
    )
    outputs = {"correction": layer(s, channels, 1), "embedding": layer(s, width, steps, depthwise=True, valid=True)}
    outputs |= {f"logits.task{i}": layer(outputs["embedding"], len(CLASSES), 1) for i in range(heads)}
    for i in range(numbers):
        summary = layer(s, width, steps, depthwise=True, relu=True, valid=True)
        outputs[f"number.life{i}"] = layer(layer(summary, width, 1, relu=True), 1, 1)
    return Graph(tensors, tuple(operations), 0, outputs)


def artefact(
    made: Graph,
    calibration_steps: int = 20,
    seed: int = 2,
    conditions: Conditions | None = None,
    optional: tuple[int, ...] = (),
    *,
    wide: bool = False,
) -> Artefact:
    """A C artefact of ``made`` whose score is calibrated on random windows; ``wide``: its tasks have wide parts."""
    rng = np.random.default_rng(seed)
    shape = made.tensors[0]
    count = shape.channels - len(optional)
    codes = np.clip(rng.normal(0, 40, (256, shape.shape[0], count)), -127, 127).astype(np.int8)
    tensors = {"input": Quantized(shape.scale, shape.zero)}
    tensors |= {n: Quantized(made.tensors[t].scale, made.tensors[t].zero) for n, t in made.outputs.items()}
    network = Network({}, tensors, interpreter.engine(made, optional))
    fallback = Scaling((7,) * count, (900,) * count)
    least = (*(3,) * (count - 1), FIXED)  # the last channel has one scaling on every device
    calibration = Calibration(calibration_steps, 1_000_000, least, fallback, conditions)
    normal = Normal(np.full(count, 2.0, np.float32), np.arange(10))
    heads = tuple(Head(n.removeprefix("logits."), CLASSES) for n in made.outputs if n.startswith("logits."))
    heads += tuple(Head(n.removeprefix("number."), unit="cycles", range=LIFE) for n in made.outputs if n.startswith("number."))
    width = made.tensors[made.outputs["embedding"]].channels
    architecture = Architecture(shape.shape[0], count, width, 1, 5, shape.scale, heads, optional)
    channels = tuple(f"c{i}" for i in range(count))
    converter = Converter((0.5,) * count, (0.0,) * count)
    model = ElectraModel(
        name="forged",
        architecture=architecture,
        weights={},
        normal=normal,
        channels=channels,
        converter=converter,
        calibration=calibration,
        core=(shape.shape[0] // 4, shape.shape[0] - 1),
        has_anomaly=True,
        false_alarm_share=0.01,
        metrics={},
        wide={h.task: wide_part(shape.shape[0], count, rng) for h in heads if h.classes and wide},
    )
    scoring = calibrate(model, network, codes)
    test = make_self_test(network, scoring, codes, 6, exact=True, conditions=conditions)
    tasks = {h.task: h.classes for h in heads if h.classes} | {"anomaly": ()}
    about = ("forged", "node", "c99", emit.INTERFACE, channels, shape.shape[0], tasks, converter, calibration, scoring, tensors)
    bare = Artefact(*about, {}, test, "0" * 64)
    return Artefact(
        *about, emit.sources(bare, network_body(bare.scoring, made, optional)), test, "0" * 64, optional=optional
    ).sealed()


def wide_part(steps: int, channels: int, rng: np.random.Generator, shift: int = 14) -> Wide:
    """Random weights that use int16, of a size at which the network's logits count too."""
    features = len(units_of(steps))
    weight = rng.integers(-32767, 32768, (len(CLASSES), channels, features)).astype(np.int16)
    base = rng.integers(-(1 << 16), 1 << 16, (channels, len(CLASSES))).astype(np.int32)
    return Wide(weight, base, rng.integers(-(1 << 16), 1 << 16, len(CLASSES)).astype(np.int32), shift)


class Device:
    """The generated C as a shared library: one sensor."""

    def __init__(self, library: Path, made: Artefact) -> None:
        self._c = ctypes.CDLL(str(library))
        self._shape = made.steps, len(made.channels)
        self._numbers = len(made.scoring.gauges)
        self._tasks = sum(bool(classes) for classes in made.tasks.values())
        self._state = ctypes.create_string_buffer(1 << 14)
        self.reset()

    def reset(self) -> None:
        self._c.model_init(self._state)
        self._stream = ctypes.create_string_buffer(1 << 14)

    def calibrate(self, sample: np.ndarray) -> int:
        return int(self._c.model_calibrate(self._state, np.ascontiguousarray(sample, np.int16).ctypes.data_as(ctypes.c_void_p)))

    @property
    def scaling(self) -> Scaling:
        channels = self._shape[1]
        words = np.frombuffer(self._state, np.int32, 2 * channels)
        return Scaling(tuple(words[:channels].tolist()), tuple(words[channels:].tolist()))

    @scaling.setter
    def scaling(self, value: Scaling) -> None:
        words = np.asarray([*value.center, *value.multiplier], np.int32).tobytes()
        ctypes.memmove(self._state, words, len(words))

    def run(self, raw: np.ndarray) -> tuple[int, int, list[int]]:
        """One window -> (surprise, alarm, class of each task)."""
        words, rest = self._judge(raw)
        return int(words[0]), int(rest[0]) & 255, rest[1 : 1 + self._tasks].tolist()

    def values(self, raw: np.ndarray) -> list[int]:
        """One window -> the value of each regression."""
        words, _ = self._judge(raw)
        return words[1:].tolist()

    def _judge(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The int32 fields of a result, and its bytes behind them."""
        result = ctypes.create_string_buffer(64)
        self._c.model_run(self._state, np.ascontiguousarray(raw, np.int16).ctypes.data_as(ctypes.c_void_p), result)
        whole = 1 + self._numbers
        return np.frombuffer(result, np.int32, whole), np.frombuffer(result, np.int8)[4 * whole :]

    def push(self, sample: np.ndarray) -> tuple[int, int] | None:
        """One sample of a stream -> (surprise, alarm) where it completes a window."""
        result = ctypes.create_string_buffer(64)
        data = np.ascontiguousarray(sample, np.int16).ctypes.data_as(ctypes.c_void_p)
        if not self._c.model_push(self._state, self._stream, data, result):
            return None
        at = 4 * (1 + self._numbers)
        return int(np.frombuffer(result, np.int32, 1)[0]), int(np.frombuffer(result, np.uint8)[at])

    def self_test(self) -> int:
        return int(self._c.model_selftest())


def build(folder: Path, made: Artefact, compiler: str = "gcc", *flags: str) -> Device:
    """Compile the artefact's sources, warnings being errors, and load them."""
    for name, data in made.members.items():
        (folder / name).write_bytes(data)
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", *flags]
    subprocess.run([compiler, *strict, "-c", "main.c", "-o", "main.o"], cwd=folder, check=True)
    library = folder / f"{compiler}.so"
    subprocess.run([compiler, *strict, "-shared", "-fPIC", "model.c", "model_selftest.c", "-o", library], cwd=folder, check=True)
    return Device(library, made)
