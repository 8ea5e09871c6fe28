"""Readers of operators that move codes or take them together along axes."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.c99.reading import Reading, demand, same_scale
from components.quantization.targets.c99.tflite import Operator
from components.runtime.fixed_point import Multiplier, narrow, quantize_multiplier
from components.runtime.integers import Join, Operation, Pad, Reduction


def join_of(reading: Reading, operator: Operator) -> Operation:
    tensors, y = reading.ends(operator, len(operator.inputs))
    demand(operator, operator.options.get("FusedActivationFunction", 0) == 0, "a fused activation")
    axis = operator.options.get("Axis", 0) % max(len(y.shape), 1)
    rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in tensors]
    fits = all(len(t.shape) == len(y.shape) for t in tensors) and all(r == y.shape[:axis] + y.shape[axis + 1 :] for r in rest)
    demand(operator, fits and sum(t.shape[axis] for t in tensors) == y.shape[axis], f"an output of shape {y.shape}")
    for tensor in tensors:
        same_scale(operator, tensor, y)
    sources = tuple(reading.source(i) for i in operator.inputs)
    rows = prod(y.shape[:axis])
    return Join(sources, reading.source(operator.outputs[0]), rows, tuple(prod(t.shape[axis:]) for t in tensors))


def pad_of(reading: Reading, operator: Operator) -> Operation:
    """PAD and PADV2 of up to four axes."""
    (x,), y = reading.ends(operator, 1, 3)
    width = _integers(reading, operator, 1)
    fits = width.shape == (len(x.shape), 2) and len(x.shape) <= 4 and bool((width >= 0).all() and (width < 1 << 16).all())
    demand(operator, fits, f"paddings of shape {width.shape}")
    demand(operator, tuple((width.sum(axis=1) + x.shape).tolist()) == y.shape, f"an output of shape {y.shape}")
    value = y.zero
    if len(operator.inputs) == 3:
        given = reading.constant(operator, 2, f"INT{y.bits}")
        demand(operator, given.size == 1, "a value that is not one")
        value = int(given.ravel()[0])
    lead = 4 - len(x.shape)
    shape, before, after = (1,) * lead + x.shape, [0] * lead + width[:, 0].tolist(), [0] * lead + width[:, 1].tolist()
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    return Pad(source, target, _four(shape), _four(before), _four(after), value)


def reduction_of(reading: Reading, operator: Operator) -> Operation:
    """MEAN and REDUCE_MAX over neighbouring axes."""
    (x,), y = reading.ends(operator, 1, 2)
    given = _integers(reading, operator, 1).ravel().tolist()
    demand(operator, all(-len(x.shape) <= a < len(x.shape) for a in given) and bool(given), f"axes {given}")
    kept = {a % len(x.shape) for a in given}
    first, last = min(kept), max(kept)
    neighbours = all(a in kept or x.shape[a] == 1 for a in range(first, last + 1))
    demand(operator, neighbours, f"axes {given}, which are no neighbours")
    outer, reduced, inner = prod(x.shape[:first]), prod(x.shape[first : last + 1]), prod(x.shape[last + 1 :])
    demand(operator, y.size == outer * inner and reduced <= 1 << 20, f"an output of shape {y.shape}")
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    if operator.name == "REDUCE_MAX":
        same_scale(operator, x, y)
        return Reduction(source, target, (outer, reduced, inner))
    factor = _mean(x.scale / y.scale, reduced)
    demand(
        operator, (reduced * (x.high - x.low)) << max(factor.shift, 0) < 1 << 30, "an output scale far below that of the input"
    )
    return Reduction(source, target, (outer, reduced, inner), x.zero, y.zero, factor)


def _mean(real: float, count: int) -> Multiplier:
    """`QuantizedMeanOrSum` takes the division into the multiplier."""
    whole = quantize_multiplier(real)
    shift = min(count.bit_length() - 1, 32, 31 + whole.shift)
    return narrow(Multiplier((whole.value << shift) // count, whole.shift - shift))


def _integers(reading: Reading, operator: Operator, position: int) -> NDArray[np.int64]:
    demand(operator, position < len(operator.inputs), f"no input {position}")
    kind = reading.slot(operator, operator.inputs[position]).kind
    return reading.constant(operator, position, kind if kind == "INT64" else "INT32").astype(np.int64)


def _four(values: list[int] | tuple[int, ...]) -> tuple[int, int, int, int]:
    return values[0], values[1], values[2], values[3]
