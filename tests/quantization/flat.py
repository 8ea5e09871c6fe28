"""Write .tflite files operator by operator, without a converter."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {"int8": 9, "int32": 2, "float32": 0, "int16": 7, "int64": 4, "uint8": 3}


class Flat:
    """One graph in the making; tensors are known by their numbers."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.description = "made by a test"
        self._model.buffers = [schema.BufferT()]
        self._model.operatorCodes = []
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]

    def tensor(
        self,
        shape: tuple[int, ...],
        scale: Any = 0.05,
        zero: int = 0,
        *,
        kind: str = "int8",
        data: np.ndarray | None = None,
        axis: int = 0,
        name: str = "",
    ) -> int:
        """``scale``: one, one a channel along ``axis``, or None."""
        made = schema.TensorT()
        made.shape, made.type, made.name = list(shape), TYPES[kind], name or f"t{len(self._graph.tensors)}"
        made.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = scales
            made.quantization.zeroPoint = np.full(len(scales), zero, np.int64)
            made.quantization.quantizedDimension = axis
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def constant(self, values: np.ndarray, scale: Any = None, zero: int = 0, *, axis: int = 0) -> int:
        return self.tensor(values.shape, scale, zero, kind=str(values.dtype), data=values, axis=axis)

    def add(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        options: str = "",
        *,
        old: bool = False,
        first: bool = False,
        **fields: Any,
    ) -> None:
        """``options``: class of its options without T; ``old``: only with the opcode of files before 2020; ``first``: of all."""
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(number, 127)
        code.builtinCode = 0 if old else number
        code.version = 1
        self._model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self._model.operatorCodes) - 1
        made.inputs, made.outputs = inputs, outputs
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in fields.items():
                setattr(made.builtinOptions, key, value)
        self._graph.operators.insert(0 if first else len(self._graph.operators), made)

    def done(self, inputs: list[int], outputs: list[int]) -> bytes:
        self._graph.inputs, self._graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def tflm(data: bytes, codes: np.ndarray, outputs: int = 1) -> list[np.ndarray]:
    """What TensorFlow Lite Micro's reference kernels answer: (rows, size) int8 of each output."""
    from tflite_micro import runtime

    oracle = runtime.Interpreter.from_bytes(data, arena_size=4 << 20)
    shape = oracle.get_input_details(0)["shape"]
    rows: list[list[np.ndarray]] = [[] for _ in range(outputs)]
    for row in codes:
        oracle.set_input(row.reshape(shape), 0)
        oracle.invoke()
        for i in range(outputs):
            rows[i].append(np.array(oracle.get_output(i)).ravel())
    return [np.stack(r) for r in rows]
