"""The arithmetic of the generated C in numpy: what calibrates a C artefact, and the answers its self-test expects.

Equal bit for bit to the reference kernels of TensorFlow Lite Micro, which the tests hold it against.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.engines import Engine
from components.runtime.integers import LEFT_SHIFT, Graph, Layer, Multiplier, Sum
from components.runtime.presence import entry
from components.runtime.surprise import Outputs

_BATCH = 512
Codes = NDArray[np.int8]
Wide = NDArray[np.int64]


def engine(graph: Graph, optional: tuple[int, ...] = ()) -> Engine:
    """Run ``graph`` on (windows, steps, channels) int8 codes. ``optional``: the channels that devices may lack (`presence`)."""

    def run(codes: Codes) -> Outputs:
        x = entry(codes, optional)
        parts = [_outputs(graph, x[i : i + _BATCH]) for i in range(0, max(len(x), 1), _BATCH)]
        whole = {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}
        return Outputs.of_network({name: v if name == "correction" else v[:, 0] for name, v in whole.items()})

    return run


def rescale(x: Wide, multiplier: NDArray[np.int64] | int, shift: NDArray[np.int64] | int) -> Wide:
    """`MultiplyByQuantizedMultiplier`: x * multiplier * 2^(shift - 31), rounded twice."""
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    high = ((x << left) * multiplier + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    return np.asarray((high >> right) + ((high & mask) > (mask >> 1) + (high < 0)))


def _outputs(graph: Graph, x: Codes) -> dict[str, Codes]:
    values = {graph.input: x}
    for operation in graph.operations:
        values[operation.target] = _sum(operation, values) if isinstance(operation, Sum) else _layer(operation, values)
    return {name: values[index] for name, index in graph.outputs.items()}


def _layer(layer: Layer, values: dict[int, Codes]) -> Codes:
    x = values[layer.source]
    around = ((0, 0), (layer.before, layer.after), (0, 0))
    padded = np.pad(x, around, constant_values=layer.in_zero).astype(np.float64)
    taps = np.lib.stride_tricks.sliding_window_view(padded, layer.kernel, axis=1)  # (n, steps, channels, kernel)
    # In double precision, which is exact for these sums and takes the fast matrix product.
    if layer.depthwise:
        sums = (taps * layer.weights.T.astype(np.float64)).sum(axis=3)
    else:
        flat = layer.weights.transpose(2, 1, 0).reshape(-1, len(layer.weights)).astype(np.float64)
        sums = taps.reshape(*taps.shape[:2], -1) @ flat
    total = sums.astype(np.int64) + layer.bias
    multipliers = np.array([m.value for m in layer.multipliers]), np.array([m.shift for m in layer.multipliers])
    return _clamp(rescale(total, *multipliers), layer)


def _sum(operation: Sum, values: dict[int, Codes]) -> Codes:
    terms = [
        _by(values[i].astype(np.int64) - zero << LEFT_SHIFT, factor)
        for i, zero, factor in zip(operation.sources, operation.zeros, operation.factors, strict=True)
    ]
    return _clamp(_by(terms[0] + terms[1], operation.factor), operation)


def _by(x: Wide, factor: Multiplier) -> Wide:
    return rescale(x, factor.value, factor.shift)


def _clamp(x: Wide, operation: Layer | Sum) -> Codes:
    return np.clip(x + operation.out_zero, operation.low, operation.high).astype(np.int8)
