"""Run the network of an artefact in its own runtime: int8 codes in, int8 outputs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.presence import entry
from components.runtime.quiet import without_notes
from components.runtime.surprise import Integers, Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.runtime.scoring import Quantized

Engine = Callable[[NDArray[np.int8]], Outputs]
"""(windows, steps, channels) int8 codes -> outputs."""


def open_engine(
    runtime: str, members: Mapping[str, bytes], tensors: Mapping[str, Quantized], optional: tuple[int, ...] = ()
) -> Engine:
    """Load the network of an artefact. ``tensors`` names scale and zero point of 'input', 'correction',
    'embedding', 'logits.<task>' and 'number.<task>'; ``optional``: the channels that devices may lack (`presence`).

    Raises:
        ValueError: this machine cannot run ``runtime`` ('c99' artefacts run on their own device only).
        ImportError: the runtime is not installed.
    """
    if runtime == "onnxruntime":
        return _onnx(members["model.onnx"], tensors, optional)
    if runtime == "openvino":
        return _openvino(members["model.onnx"], tensors, optional)
    if runtime == "litert":
        return _litert(members["model.tflite"], tensors, optional)
    raise ValueError(f"runtime '{runtime}' does not run on this machine")


def _onnx(model: bytes, tensors: Mapping[str, Quantized], optional: tuple[int, ...]) -> Engine:
    """Networks take (n, steps, inputs) float32 and put out dequantized float32 tensors of the same names.

    Trees, which have no ``tensors``, take the int8 codes as they are and put out int32 logits and numbers.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    if not tensors:
        return lambda codes: Outputs.of_trees(dict(zip(names, session.run(names, {"codes": codes}), strict=True)))
    scale = np.float32(tensors["input"].scale)

    def run(codes: NDArray[np.int8]) -> Outputs:
        x = entry(codes, optional).astype(np.float32) * scale
        values = session.run(names, {"input": x})
        return Outputs.of_network({n: _quantize(np.asarray(v), tensors[n]) for n, v in zip(names, values, strict=True)})

    return run


def _openvino(model: bytes, tensors: Mapping[str, Quantized], optional: tuple[int, ...]) -> Engine:
    """The files of ONNX Runtime, compiled for single windows on one thread.

    Without the hint a processor that has bfloat16 would compute in it, and answer otherwise than those without.
    """
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    core = openvino.Core()
    graph = core.read_model(model=model)
    graph.reshape([1, *(size.get_length() for size in list(graph.input(0).get_partial_shape())[1:])])
    request = core.compile_model(graph, "CPU", options).create_infer_request()
    names = [output.get_any_name() for output in graph.outputs]
    scale = np.float32(tensors["input"].scale)

    def run(codes: NDArray[np.int8]) -> Outputs:
        rows: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        for window in entry(codes, optional).astype(np.float32) * scale:
            request.infer({0: window[None]})
            for place, name in enumerate(names):
                rows[name].append(request.get_output_tensor(place).data.copy())
        return Outputs.of_network({name: _quantize(np.concatenate(found), tensors[name]) for name, found in rows.items()})

    return run


def _litert(model: bytes, tensors: Mapping[str, Quantized], optional: tuple[int, ...]) -> Engine:
    """LiteRT models take (1, 1, steps, inputs) codes, or floats where they do not compute in int8; their signature names the
    outputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    with without_notes():
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    exits = {name: detail["index"] for name, detail in interpreter.get_signature_runner().get_output_details().items()}
    if unknown := set(exits) - set(tensors):
        raise ValueError(f"the model puts out {', '.join(sorted(unknown))}, which the artefact does not describe")

    floats = source["dtype"] is np.float32

    def run(codes: NDArray[np.int8]) -> Outputs:
        x = entry(codes, optional).astype(np.float32) * np.float32(tensors["input"].scale) if floats else entry(codes, optional)
        rows: dict[str, list[NDArray[Any]]] = {name: [] for name in exits}
        for window in x:
            interpreter.set_tensor(source["index"], window.reshape(source["shape"]))
            interpreter.invoke()
            for name, index in exits.items():
                rows[name].append(interpreter.get_tensor(index).copy())
        shapes = {"correction": codes.shape}
        whole = {n: np.stack(r).reshape(shapes.get(n, (len(codes), -1))) for n, r in rows.items()}
        return Outputs.of_network({n: _quantize(v, tensors[n]) if floats else v for n, v in whole.items()})

    return run


def _quantize(values: NDArray[np.float32], q: Quantized) -> NDArray[np.int8]:
    return np.clip(np.rint(values / np.float32(q.scale)) + q.zero, -128, 127).astype(np.int8)


def _logits(arrays: Mapping[str, Integers]) -> dict[str, Integers]:
    return {n.removeprefix("logits."): a for n, a in arrays.items() if n.startswith("logits.")}
