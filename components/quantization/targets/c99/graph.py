"""Read an int8 .tflite into the operations of `components.runtime.integers`, by the rules of TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Callable

from components.quantization.targets.c99 import elementwise, layers, moves, shapes
from components.quantization.targets.c99.reading import Reading
from components.quantization.targets.c99.tflite import MOST_BYTES, Operator, read_file, require
from components.runtime.integers import Graph, Layer, Operation
from components.workspace.errors import InputError

_READERS: dict[str, Callable[[Reading, Operator], Operation]] = {
    "ADD": elementwise.addition_of,
    "AVERAGE_POOL_2D": layers.pool_of,
    "CONCATENATION": shapes.join_of,
    "CONV_2D": layers.convolution_of,
    "DEPTHWISE_CONV_2D": layers.depthwise_of,
    "FULLY_CONNECTED": layers.dense_of,
    "HARD_SWISH": elementwise.hard_swish_of,
    "LEAKY_RELU": elementwise.leaky_relu_of,
    "LOGISTIC": elementwise.logistic_of,
    "MAX_POOL_2D": layers.pool_of,
    "MEAN": shapes.reduction_of,
    "MUL": elementwise.product_of,
    "PAD": shapes.pad_of,
    "PADV2": shapes.pad_of,
    "QUANTIZE": elementwise.quantize_of,
    "REDUCE_MAX": shapes.reduction_of,
    "RELU": elementwise.relu_of,
    "RELU6": elementwise.relu6_of,
    "SOFTMAX": elementwise.softmax_of,
    "SUB": elementwise.addition_of,
    "TANH": elementwise.tanh_of,
}
_MOVERS: dict[str, Callable[[Reading, Operator], list[Operation]]] = {
    "SPLIT": moves.split_of,
    "STRIDED_SLICE": moves.slice_of,
    "TRANSPOSE": moves.transpose_of,
}
_OUTSIDE = {"FLOAT32", "UINT8"}
"""Types that a model may have at its ends, before it quantizes and after it dequantizes."""
_RESHAPES = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")
_OF_SHAPES = ("PACK", "SHAPE", "STRIDED_SLICE")
"""Operators that TensorFlow's converter writes to compute the shape of a reshape, which the file states anyway."""
OPERATORS = tuple(sorted((*_READERS, *_MOVERS, *_RESHAPES)))
MOST_MACS = 1 << 31


def read_graph(data: bytes) -> Graph:
    """Parse a .tflite.

    Raises:
        InputError: it is damaged, or holds what the C kernels do not know.
    """
    file = read_file(data)
    if len(file.inputs) != 1:
        raise InputError(f"a model with {len(file.inputs)} inputs", hint="the C interface takes one: join them in the model")
    reading = Reading(file)
    operations: list[Operation] = []
    weights = 0
    for operator in file.operators:
        if operator.name in _OF_SHAPES and all(file.slots[i].kind == "INT32" for i in operator.outputs):
            continue
        if operator.name in _RESHAPES:
            reading.alias(operator)
        elif operator.name == "QUANTIZE" and reading.kinds(operator.inputs) & _OUTSIDE:
            reading.enter(operator)
        elif operator.name == "DEQUANTIZE" or (operator.name == "QUANTIZE" and reading.kinds(operator.outputs) & _OUTSIDE):
            reading.leave(operator)
        elif operator.name in _READERS:
            operations.append(_READERS[operator.name](reading, operator))
            weights += operations[-1].weights.size if isinstance(operations[-1], Layer) else 0
            require(weights <= MOST_BYTES, f"{weights:,} weights up to {operator}, more than files may have")
        elif operator.name in _MOVERS:
            operations += _MOVERS[operator.name](reading, operator)
        else:
            raise InputError(f"no C kernel for {operator}", hint=f"it has {', '.join(OPERATORS)}")
    graph = reading.graph(tuple(operations))
    if graph.macs > MOST_MACS:
        raise InputError(f"{graph.macs:,} multiplications an inference", hint="too many for a microcontroller: make it smaller")
    return graph
