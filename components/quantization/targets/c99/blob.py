"""A model as one block of bytes that firmware loads where it lies: graph, weights, score and self-test.

Little-endian; every table begins at a multiple of four. `kernels/load_tables.c` has the same layout.

      0   8  magic "MUSTERBL"               24   8  shape: what of `model.h` has to be the same
      8   2  format, 1                      32  32  SHA-256 of bytes 0 to 31 and 64 to the end
     10   2  interface, major number        64  32  digest of the trained model
     12   4  bytes of the whole             96      directory of words, tables, records of operations
     16   4  0x01020304: the byte order
     20   4  kinds of operations in it, a bit each
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.quantization.targets.c99.arena import Arena, plan
from components.quantization.targets.c99.emit import INTERFACE
from components.runtime.integers import Graph, Layer, Operation, Ramp, Sum, Table
from components.runtime.scoring import Scoring
from components.values import Artefact
from components.workspace.errors import InputError
from components.workspace.files import sha256_json

MAGIC, FORMAT = b"MUSTERBL", 1
HEADER = 96
FILE = "model.blob"
_FIELDS = struct.Struct("<8sHHIII8s32s32s")
_RECORD = 32  # words of an operation
_LAYER, _SUM, _TABLE, _LAYER_16, _SUM_16, _RAMP_UP, _RAMP_DOWN = range(1, 8)
KERNELS = {8: (_LAYER, _SUM, _TABLE), 16: (_LAYER_16, _SUM_16, _RAMP_UP, _RAMP_DOWN)}
_DIRECTORY = 35


def blob(artefact: Artefact, graph: Graph) -> bytes:
    """The network ``graph`` with score and self-test of ``artefact``.

    Raises:
        InputError: the loader has no kernel for an operation.
    """
    scoring, test = artefact.scoring, artefact.self_test
    assert isinstance(scoring, Scoring)  # noqa: S101 - a network's, by `calibrate`
    arena, made = plan(graph), _Writer()
    records = [_record(made, operation, arena, i, graph) for i, operation in enumerate(graph.operations)]
    tasks, numbers = heads_of(artefact), sorted(scoring.gauges)
    conditions, calibration = artefact.calibration.conditions, artefact.calibration
    words = [
        arena.size,
        len(test.raw),
        len(records),
        made.table([word for record in records for word in record], np.int32),
        arena.offsets[graph.input],
        arena.offsets[graph.outputs["correction"]],
        made.table([arena.offsets[graph.outputs[f"logits.{task}"]] for task in tasks], np.int32),
        made.table([arena.offsets[graph.outputs[f"number.{task}"]] for task in numbers], np.int32),
        len(scoring.knots),
        made.table(scoring.knots, np.int32),
        scoring.threshold,
        scoring.raise_after,
        scoring.clear_after,
        calibration.gain,
        made.table(calibration.min_deviation, np.uint32),
        made.table(calibration.fallback.center, np.int32),
        made.table(calibration.fallback.multiplier, np.int32),
        scoring.residual_input,
        scoring.residual_output,
        *scoring.core,
        scoring.correction_zero,
        made.table(scoring.channel_weight, np.int32),
        made.table(conditions.weight if conditions else [], np.int32),
        made.table(conditions.point if conditions else [], np.int32),
        made.table(conditions.center if conditions else [], np.int32),
        made.table(conditions.multiplier if conditions else [], np.int32),
        _gauges(made, scoring, numbers),
        _wide(made, scoring),
        made.table(test.scaling.center, np.int32),
        made.table(test.scaling.multiplier, np.int32),
        made.table(test.raw, np.int16),
        made.table(test.surprise, np.int32),
        made.table(np.stack([test.classes[t] for t in tasks], axis=1) if tasks else [], np.int8),
        made.table(np.stack([test.values[t] for t in numbers], axis=1) if numbers else [], np.int32),
    ]
    kinds = sum(1 << (kind - 1) for kind in {record[0] for record in records})
    return _sealed(artefact, kinds, made.after(words))


def kinds_in(data: bytes) -> int:
    """The kinds of operations in a blob, a bit each."""
    return int.from_bytes(data[20:24], "little")


def heads_of(artefact: Artefact) -> list[str]:
    """The tasks with classes, in the order of `model_result.classes`."""
    return sorted(task for task, classes in artefact.tasks.items() if classes)


def shape_id(artefact: Artefact) -> bytes:
    """Eight bytes of what is compiled into firmware: models that differ in it do not load there."""
    scoring, conditions = artefact.scoring, artefact.calibration.conditions
    assert isinstance(scoring, Scoring)  # noqa: S101 - a network's, by `calibrate`
    shape = {
        "steps": artefact.steps,
        "stride": artefact.stride,
        "calibration_steps": artefact.calibration.steps,
        "channels": artefact.channels,
        "lsb": artefact.converter.lsb,
        "offset": artefact.converter.offset,
        "optional": artefact.optional,
        "tasks": {task: artefact.tasks[task] for task in heads_of(artefact)},
        "values": {task: (artefact.units.get(task, ""), gauge.bits) for task, gauge in sorted(scoring.gauges.items())},
        "wide": list(scoring.wide),
        "conditions": None if conditions is None else (conditions.channels, len(conditions.point)),
    }
    return bytes.fromhex(sha256_json(shape))[:8]


class _Writer:
    """Tables one after the other, behind a directory of a known length."""

    def __init__(self) -> None:
        self._tables = bytearray()

    def table(self, values: Any, kind: type[np.generic]) -> int:
        """Its place in the blob."""
        at = HEADER + 4 * _DIRECTORY + len(self._tables)
        data = np.asarray(values, kind)
        self._tables += data.astype(data.dtype.newbyteorder("<")).tobytes()
        self._tables += bytes(-len(self._tables) % 4)
        return at

    def after(self, words: Sequence[int]) -> bytes:
        assert len(words) == _DIRECTORY  # noqa: S101 - as many as the C has names for
        return np.asarray(words, np.int64).astype("<u4").tobytes() + bytes(self._tables)


def _sealed(artefact: Artefact, kinds: int, body: bytes) -> bytes:
    about = (MAGIC, FORMAT, int(INTERFACE.split(".")[0]), HEADER + len(body), 0x01020304, kinds, shape_id(artefact))
    model = bytes.fromhex(artefact.model_digest)
    unsigned = _FIELDS.pack(*about, bytes(32), model)
    digest = hashlib.sha256(unsigned[:32] + model + body).digest()
    return _FIELDS.pack(*about, digest, model) + body


def _record(made: _Writer, operation: Operation, arena: Arena, number: int, graph: Graph) -> list[int]:
    target = arena.offsets[operation.target]
    at = {source: arena.offsets[source] for source in arena.offsets}
    if isinstance(operation, Layer) and _loadable(operation):
        kind = _LAYER if operation.bits == 8 else _LAYER_16
        words = [kind, at[operation.source], 0, target, arena.copies.get(number, 0), *_layer(made, operation)]
    elif isinstance(operation, Sum) and operation.sources[0] in at and operation.sources[1] in at and _elementwise(operation):
        kind = _SUM if graph.tensors[operation.target].bits == 8 else _SUM_16
        factors = (*operation.factors, operation.factor)
        numbers = [*(f.value for f in factors), *(f.shift for f in factors), *operation.zeros, operation.out_zero]
        count = graph.tensors[operation.target].size
        words = [kind, *(at[s] for s in operation.sources), target, 0, count, *numbers]
        words += [operation.sign, operation.low, operation.high]
    elif isinstance(operation, Table):
        count = graph.tensors[operation.target].size
        words = [_TABLE, at[operation.source], 0, target, 0, count, made.table(operation.codes, np.int8)]
    elif isinstance(operation, Ramp) and graph.tensors[operation.source].bits != graph.tensors[operation.target].bits:
        kind = _RAMP_UP if graph.tensors[operation.target].bits == 16 else _RAMP_DOWN
        up, below = operation.factor, operation.below
        numbers = [up.value, below.value, 0, up.shift, below.shift, 0, *operation.zeros, 0, 0, operation.low, operation.high]
        words = [kind, at[operation.source], 0, target, 0, graph.tensors[operation.target].size, *numbers]
    else:
        raise InputError(f"no blob of a network with {type(operation).__name__}", hint="it is built into firmware as C")
    return words + [0] * (_RECORD - len(words))


def _loadable(layer: Layer) -> bool:
    """The loader's kernels of int8 sum in 30 bits, those of int16 in 48; weights have 8."""
    return layer.weight_bits == 8 and (layer.long if layer.bits == 16 else not layer.wide)


def _layer(made: _Writer, layer: Layer) -> list[int]:
    sweep = layer.sweep
    channels = layer.weights.shape[-1] if layer.depthwise else len(layer.weights)
    tables = [
        made.table(layer.weights, np.int8),
        made.table(layer.bias, np.int32),
        made.table([m.value for m in layer.multipliers], np.int32),
        made.table([m.shift for m in layer.multipliers], np.int8),
    ]
    shape = [sweep.image[2], channels, *sweep.image[:2], *sweep.out, *sweep.kernel, *sweep.before, *sweep.stride, *sweep.dilation]
    return [*tables, int(layer.depthwise), *shape, layer.in_zero, layer.out_zero, layer.low, layer.high]


def _elementwise(operation: Sum) -> bool:
    return operation.grid.sizes[:3] == (1, 1, 1) and all(steps == (0, 0, 0, 1) for steps in operation.grid.steps)


def _gauges(made: _Writer, scoring: Scoring, numbers: list[str]) -> int:
    words = []
    for g in (scoring.gauges[task] for task in numbers):
        words += [g.zero, g.middle, g.low, g.high, g.multiplier & 0xFFFFFFFF, g.multiplier >> 32]
    return made.table(np.asarray(words, np.int64).astype(np.uint32), np.uint32)


def _wide(made: _Writer, scoring: Scoring) -> int:
    words = []
    for one in scoring.wide.values():
        tables = made.table(one.wide.weight, np.int16), made.table(one.wide.base, np.int32), made.table(one.wide.bias, np.int32)
        words += [*tables, one.wide.shift, one.gain, one.zero, 0, 0]
    return made.table(words, np.int32)
