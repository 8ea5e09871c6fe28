"""The network rebuilt in Keras and converted to an int8 .tflite, in a process of its own.

`python -m components.quantization.targets.keras_twin JOB.npz OUT.tflite`: TensorFlow takes seconds to import
and its converter writes to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.files import write_bytes


def main(job: Path, out: Path) -> None:
    """Convert the architecture, weights and range windows in ``job``; write the .tflite whole or not at all."""
    with np.load(job, allow_pickle=False) as arrays:
        shape = json.loads(str(arrays["architecture"]))
        weights = {n.removeprefix("w."): arrays[n] for n in arrays.files if n.startswith("w.")}
        x = arrays["inputs"]
    write_bytes(out, _convert(_twin(shape, weights), x))


def _twin(shape: dict[str, Any], weights: dict[str, NDArray[np.float32]]) -> Any:
    """Steps lie along the width: (1, 1, steps, inputs), so that every layer is a plain 2-D one."""
    from tensorflow import keras

    layers = keras.layers

    def conv(x: Any, name: str, filters: int, activation: str | None = None) -> Any:
        kernel = weights[f"{name}.weight"].transpose(2, 1, 0)[None]
        layer = layers.Conv2D(filters, kernel.shape[:2], padding="same", activation=activation)
        y = layer(x)
        layer.set_weights([kernel, weights[f"{name}.bias"]])
        return y

    def depthwise(x: Any, name: str) -> Any:
        kernel = weights[f"{name}.weight"].transpose(2, 0, 1)[None]
        layer = layers.DepthwiseConv2D(kernel.shape[:2], padding="same", activation="relu")
        y = layer(x)
        layer.set_weights([kernel, weights[f"{name}.bias"]])
        return y

    def dense(x: Any, name: str, units: int, activation: str | None = None) -> Any:
        layer = layers.Dense(units, activation=activation)
        y = layer(x)
        layer.set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])
        return y

    def summary(x: Any, name: str) -> Any:
        layer = layers.DepthwiseConv2D((1, shape["steps"]), padding="valid", activation="relu")
        y = layer(x)
        layer.set_weights([weights[f"{name}.weight"].transpose(2, 0, 1)[None], weights[f"{name}.bias"]])
        return layers.Flatten()(y)

    def mean(x: Any) -> Any:
        # As a convolution, because pooling keeps the scale of its input, and a mean has a much smaller range.
        layer = layers.DepthwiseConv2D((1, shape["steps"]), padding="valid", use_bias=False)
        y = layer(x)
        layer.set_weights([np.full((1, shape["steps"], shape["width"], 1), 1 / shape["steps"], np.float32)])
        return y

    inputs = weights["stem.weight"].shape[1]
    entry = keras.Input((1, shape["steps"], inputs), batch_size=1, name="input")
    h = conv(entry, "stem", shape["width"], "relu")
    for i in range(shape["blocks"]):
        d = depthwise(h, f"block{i}.depthwise")
        h = layers.ReLU()(layers.Add()([h, conv(d, f"block{i}.pointwise", shape["width"])]))
    embedding = layers.Flatten()(mean(h))
    outputs = {"correction": conv(h, "correct", shape["channels"]), "embedding": embedding}
    for head in shape["heads"]:
        task, classes = head["task"], len(head["classes"])
        source = embedding if classes else dense(summary(h, f"summary.{task}"), f"hidden.{task}", shape["width"], "relu")
        outputs[f"{'logits' if classes else 'number'}.{task}"] = dense(source, f"head.{task}", max(classes, 1))
    return keras.Model(entry, outputs)


def _convert(twin: Any, x: NDArray[np.float32]) -> bytes:
    import tensorflow as tf

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for window in x:
            yield [window[None, None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(twin)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
