"""The arithmetic of the generated C in numpy: what calibrates a C artefact, and the answers its self-test expects.

Equal bit for bit to the reference kernels of TensorFlow Lite Micro, which the tests hold it against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.elementwise import curve, product, quantized_sum, ramp, softmax, softmax16
from components.runtime.engines import Engine
from components.runtime.fixed_point import Wide, by, rescale, rescale_long
from components.runtime.integers import (
    Codes,
    Curve,
    Graph,
    Join,
    Layer,
    Move,
    Pad,
    Pool,
    Product,
    Ramp,
    Reduction,
    Softmax,
    Softmax16,
    Sum,
    Sweep,
    Table,
    sources_of,
)
from components.runtime.presence import entry
from components.runtime.surprise import Outputs

_BATCH = 512
_CELLS = 1 << 24  # of the float64 matrix that one batch of a layer becomes
Sources = list[Codes]


def engine(graph: Graph, optional: tuple[int, ...] = ()) -> Engine:
    """Run ``graph`` on (windows, steps, channels) int8 codes. ``optional``: the channels that devices may lack (`presence`)."""

    def run(codes: NDArray[np.int8]) -> Outputs:
        x = entry(codes, optional)
        whole = {n: v.reshape(len(v), -1, graph.tensors[graph.outputs[n]].channels) for n, v in infer(graph, x).items()}
        return Outputs.of_network({name: (v if name == "correction" else v[:, 0]).astype(np.int8) for name, v in whole.items()})

    return run


def infer(graph: Graph, x: Codes) -> dict[str, Codes]:
    """``x``: int8 codes, one inference a row of the first axis -> each output by name, (rows, size) in its own width."""
    flat = x.reshape(len(x), -1)
    batch = _batch(graph)
    parts = [_outputs(graph, flat[i : i + batch]) for i in range(0, max(len(flat), 1), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}


def _batch(graph: Graph) -> int:
    """Rows at once, so that memory stays within bounds whatever the network."""
    sweeps = [o.sweep for o in graph.operations if isinstance(o, Layer | Pool)]
    most = max((int(np.prod(s.out)) * int(np.prod(s.kernel)) * s.image[2] for s in sweeps), default=1)
    return max(1, min(_BATCH, _CELLS // max(most, 1)))


def _outputs(graph: Graph, x: Codes) -> dict[str, Codes]:
    values: dict[int, Codes] = {graph.input: x} | {
        i: np.broadcast_to(c.ravel(), (len(x), c.size)) for i, c in graph.constants.items()
    }
    for operation in graph.operations:
        kernel = _KERNELS[type(operation)]
        made = kernel(operation, [values[i] for i in sources_of(operation)]).reshape(len(x), -1)
        values[operation.target] = made.astype(_TYPES[graph.tensors[operation.target].bits], copy=False)
    return {name: values[index] for name, index in graph.outputs.items()}


def _taps(x: NDArray[Any], sweep: Sweep, outside: int) -> NDArray[Any]:
    """(rows, out height, out width, channels, kernel height, kernel width) of what each output reads."""
    image = x.reshape(len(x), *sweep.image)
    around = [(0, 0), (0, 0)]
    for axis in (0, 1):
        reach = (sweep.out[axis] - 1) * sweep.stride[axis] + (sweep.kernel[axis] - 1) * sweep.dilation[axis] + 1
        around.insert(1 + axis, (sweep.before[axis], max(reach - sweep.before[axis] - sweep.image[axis], 0)))
    padded = np.pad(image, around, constant_values=outside)
    (kh, kw), (dh, dw), (sh, sw) = sweep.kernel, sweep.dilation, sweep.stride
    view = np.lib.stride_tricks.sliding_window_view(padded, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(1, 2))
    return view[:, ::sh, ::sw, :, ::dh, ::dw][:, : sweep.out[0], : sweep.out[1]]


def _layer(layer: Layer, sources: Sources) -> Wide:
    # In double precision, which is exact for these sums and takes the fast matrix product.
    taps = _taps(sources[0].astype(np.float64), layer.sweep, layer.in_zero)
    if layer.depthwise:
        weights = layer.weights.reshape(*layer.sweep.kernel, taps.shape[3], -1).astype(np.float64)
        sums = np.einsum("nyxcij,ijcm->nyxcm", taps, weights).reshape(*taps.shape[:3], -1)
    else:
        flat = layer.weights.transpose(3, 1, 2, 0).reshape(-1, len(layer.weights)).astype(np.float64)
        sums = taps.reshape(*taps.shape[:3], -1) @ flat
    total = sums.astype(np.int64) + layer.bias
    multipliers = np.array([m.value for m in layer.multipliers]), np.array([m.shift for m in layer.multipliers])
    scaled = rescale_long(total, *multipliers) if layer.long else rescale(total, *multipliers)
    return np.clip(scaled + layer.out_zero, layer.low, layer.high)


def _pool(pool: Pool, sources: Sources) -> NDArray[Any]:
    if pool.largest:
        best = _taps(sources[0], pool.sweep, _limits(sources)[0]).max(axis=(4, 5))
        return np.clip(best, pool.low, pool.high)
    total = _taps(sources[0], pool.sweep, 0).astype(np.int64).sum(axis=(4, 5))
    ones = np.ones((1, int(np.prod(pool.sweep.image))), np.int8)
    count = _taps(ones, pool.sweep, 0).astype(np.int64).sum(axis=(4, 5))
    mean = np.sign(total) * ((np.abs(total) + count // 2) // count)  # halves away from zero
    return np.clip(mean, pool.low, pool.high)


def _reduce(reduction: Reduction, sources: Sources) -> NDArray[Any]:
    x = sources[0].reshape(len(sources[0]), *reduction.shape)
    if reduction.factor is None:
        return np.asarray(x.max(axis=2))
    total = x.astype(np.int64).sum(axis=2) - reduction.shape[1] * reduction.in_zero
    return np.clip(by(total, reduction.factor) + reduction.out_zero, *_limits(sources))


def _pad(pad: Pad, sources: Sources) -> Codes:
    x = sources[0].reshape(len(sources[0]), *pad.shape)
    return np.pad(x, [(0, 0), *zip(pad.before, pad.after, strict=True)], constant_values=pad.value)


def _join(join: Join, sources: Sources) -> Codes:
    parts = [x.reshape(len(x), join.rows, size) for x, size in zip(sources, join.sizes, strict=True)]
    return np.concatenate(parts, axis=2)


def _move(move: Move, sources: Sources) -> Codes:
    x = sources[0][:, move.first :]
    return np.lib.stride_tricks.as_strided(
        x, (len(x), *move.grid.sizes), (x.strides[0], *(s * x.itemsize for s in move.grid.steps[0])), writeable=False
    )


def _table(table: Table, sources: Sources) -> Codes:
    return table.codes[sources[0].astype(np.int64) + 128]


def _limits(sources: Sources) -> tuple[int, int]:
    """Least and greatest code."""
    kind = np.iinfo(sources[0].dtype)
    return int(kind.min), int(kind.max)


_TYPES = {8: np.int8, 16: np.int16}
_KERNELS: dict[type, Callable[[Any, Sources], NDArray[Any]]] = {
    Layer: _layer,
    Sum: quantized_sum,
    Product: product,
    Pool: _pool,
    Table: _table,
    Ramp: ramp,
    Curve: curve,
    Softmax: softmax,
    Softmax16: softmax16,
    Reduction: _reduce,
    Pad: _pad,
    Join: _join,
    Move: _move,
}
