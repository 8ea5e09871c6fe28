"""Networks rebuilt in Keras and converted to .tflite, in a process of its own.

`python -m components.quantization.targets.keras_twin JOB.npz...` writes `JOB.tflite` beside each: TensorFlow takes seconds to
import and its converter writes to standard output. Ranges of integer activations are not TensorFlow's: its converter is asked
for the float network with the ranges of two windows, these are replaced, and its quantizer does the rest. With activations of
16 bits, which have resolution to spare, they are those of the windows in the job.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.files import write_bytes


def main(jobs: list[Path]) -> None:
    """Convert the network in each job: architecture, weights, precision and the ranges of its activations."""
    for job in jobs:
        with np.load(job, allow_pickle=False) as arrays:
            told = json.loads(str(arrays["told"]))
            weights = {n.removeprefix("w."): arrays[n] for n in arrays.files if n.startswith("w.")}
            x = arrays["inputs"] if "inputs" in arrays else _two_windows(told["architecture"])
        data = _converted(_twin(told["architecture"], weights), told["precision"], told["spans"], x)
        write_bytes(job.with_suffix(".tflite"), data)


def _twin(shape: dict[str, Any], weights: dict[str, NDArray[np.float32]]) -> Any:
    """Steps lie along the width: (1, 1, steps, inputs), so that every layer is a plain 2-D one."""
    from tensorflow import keras

    keras.backend.clear_session()  # names count from one again, so that a file does not depend on those before it
    layers = keras.layers

    def conv(x: Any, name: str, filters: int, activation: str | None = None) -> Any:
        kernel = weights[f"{name}.weight"].transpose(2, 1, 0)[None]
        layer = layers.Conv2D(filters, kernel.shape[:2], padding="same", activation=activation, name=name)
        y = layer(x)
        layer.set_weights([kernel, weights[f"{name}.bias"]])
        return y

    def depthwise(x: Any, name: str) -> Any:
        kernel = weights[f"{name}.weight"].transpose(2, 0, 1)[None]
        layer = layers.DepthwiseConv2D(kernel.shape[:2], padding="same", activation="relu", name=name)
        y = layer(x)
        layer.set_weights([kernel, weights[f"{name}.bias"]])
        return y

    def dense(x: Any, name: str, units: int, activation: str | None = None) -> Any:
        layer = layers.Dense(units, activation=activation, name=name)
        y = layer(x)
        layer.set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])
        return y

    def summary(x: Any, name: str) -> Any:
        layer = layers.DepthwiseConv2D((1, shape["steps"]), padding="valid", activation="relu", name=name)
        y = layer(x)
        layer.set_weights([weights[f"{name}.weight"].transpose(2, 0, 1)[None], weights[f"{name}.bias"]])
        return layers.Flatten()(y)

    def mean(x: Any, name: str) -> Any:
        # As a convolution, because pooling keeps the scale of its input, and a mean has a much smaller range.
        layer = layers.DepthwiseConv2D((1, shape["steps"]), padding="valid", use_bias=False, name=name)
        y = layer(x)
        layer.set_weights([np.full((1, shape["steps"], shape["width"], 1), 1 / shape["steps"], np.float32)])
        return y

    inputs = weights["stem.weight"].shape[1]
    entry = keras.Input((1, shape["steps"], inputs), batch_size=1, name="input")
    h = conv(entry, "stem", shape["width"], "relu")
    for i in range(shape["blocks"]):
        d = depthwise(h, f"block{i}.depthwise")
        total = layers.Add(name=f"block{i}.sum")([h, conv(d, f"block{i}.pointwise", shape["width"])])
        h = layers.ReLU(name=f"block{i}")(total)
    embedding = layers.Flatten()(mean(h, "embedding"))
    outputs = {"correction": conv(h, "correct", shape["channels"]), "embedding": embedding}
    for head in shape["heads"]:
        task, classes = head["task"], len(head["classes"])
        source = embedding if classes else dense(summary(h, f"summary.{task}"), f"hidden.{task}", shape["width"], "relu")
        outputs[f"{'logits' if classes else 'number'}.{task}"] = dense(source, f"head.{task}", max(classes, 1))
    return keras.Model(entry, outputs)


def _converted(twin: Any, precision: str, spans: Mapping[str, tuple[float, float]], x: NDArray[np.float32]) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(twin)
    if precision == "float32":
        return bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision in {"dynamic", "float16"}:
        return bytes(converter.convert())
    converter.representative_dataset = lambda: ([window[None, None]] for window in x)
    if precision == "int16x8":
        sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [sixteen]
        return bytes(converter.convert())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_calibrate_only = True
    return _in_int8(_ranged(bytes(converter.convert()), spans))


def _two_windows(shape: dict[str, Any]) -> NDArray[np.float32]:
    inputs = shape["channels"] + len(shape["optional"])
    return np.stack([np.full((shape["steps"], inputs), value, np.float32) for value in (-1.0, 1.0)])


def _ranged(data: bytes, spans: Mapping[str, tuple[float, float]]) -> bytes:
    """The float network in ``data`` with ``spans`` as the ranges of its activations."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    signature = model.signatureDefs[0]
    ends = {int(t.tensorIndex): t.name.decode() for t in (*signature.inputs, *signature.outputs)}
    for place, tensor in enumerate(model.subgraphs[0].tensors):
        quantization = tensor.quantization
        if quantization is not None and quantization.min is not None:
            low, high = spans[ends.get(place) or _layer_of(tensor.name.decode(), spans)]
            quantization.min, quantization.max = [low], [high]
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _layer_of(tensor: str, names: Mapping[str, Any]) -> str:
    """The layer that a tensor such as `functional_1/block0.depthwise_1/Relu;...` belongs to."""
    scope = tensor.split(";", maxsplit=1)[0].split("/")[1]
    return max((name for name in names if re.fullmatch(rf"{re.escape(name)}(_\d+)*", scope)), key=len)


def _in_int8(data: bytes) -> bytes:
    """Windows and answers are codes too."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    return bytes(mlir_quantize(data, fully_quantize=True, input_data_type=tf.int8, output_data_type=tf.int8))


if __name__ == "__main__":
    main([Path(job) for job in sys.argv[1:]])
