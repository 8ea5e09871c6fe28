"""Networks in the shapes of the four tasks of MLPerf Tiny, with random weights, as int8 .tflite files.

    python -m benchmarks.tiny_shapes FOLDER

Layers, sizes and strides are those of the reference models of MLPerf Tiny 1.0 (Banbury et al., NeurIPS 2021); the trained
files are published by MLCommons and are not needed for what is measured here: cost does not depend on what the weights say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

layers = keras.layers
_RANGE_ROWS = 30
_TAPS = keras.initializers.RandomNormal(stddev=0.5)  # keeps the signal of 9 taps alive through 13 layers


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in SHAPES.items():
        keras.utils.set_random_seed(1)
        (folder / f"{name}.tflite").write_bytes(int8(build()))


def int8(model: Any) -> bytes:
    """By the converter, with ranges from random inputs."""
    rng, shape = np.random.default_rng(0), model.inputs[0].shape[1:]

    def representative() -> Iterator[list[np.ndarray]]:
        for _ in range(_RANGE_ROWS):
            yield [rng.normal(0, 1, (1, *shape)).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def autoencoder() -> Any:
    """Anomaly detection: ten fully connected layers."""
    x = entry = keras.Input((640,), batch_size=1)
    for size in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(size)(x)))
    return keras.Model(entry, layers.Dense(640)(x))


def keywords() -> Any:
    """Keyword spotting: a depthwise-separable network of 64 channels."""
    entry = keras.Input((49, 10, 1), batch_size=1)
    x = _conv(entry, 64, (10, 4), 2)
    for _ in range(4):
        x = _conv(_depthwise(x, 1), 64, 1, 1)
    return keras.Model(entry, _classes(layers.AveragePooling2D((25, 5))(x), 12))


def images() -> Any:
    """Image classification: ResNet of eight layers."""
    entry = keras.Input((32, 32, 3), batch_size=1)
    x = _conv(entry, 16, 3, 1)
    x = layers.ReLU()(layers.Add()([x, _conv(_conv(x, 16, 3, 1), 16, 3, 1, relu=False)]))
    for size in (32, 64):
        deep = _conv(_conv(x, size, 3, 2), size, 3, 1, relu=False)
        x = layers.ReLU()(layers.Add()([layers.Conv2D(size, 1, strides=2, padding="same")(x), deep]))
    return keras.Model(entry, _classes(layers.AveragePooling2D(8)(x), 10))


def persons() -> Any:
    """Visual wake words: MobileNet of a quarter of the width on 96 x 96 pixels."""
    entry = keras.Input((96, 96, 3), batch_size=1)
    x = _conv(entry, 8, 3, 2)
    sizes = (16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
    for size, stride in zip(sizes, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), strict=True):
        x = _conv(_depthwise(x, stride), size, 1, 1)
    return keras.Model(entry, _classes(layers.AveragePooling2D(3)(x), 2))


def _conv(x: Any, size: int, kernel: int | tuple[int, int], stride: int, *, relu: bool = True) -> Any:
    layer = layers.Conv2D(size, kernel, strides=stride, padding="same", kernel_initializer="he_normal")
    y = layers.BatchNormalization()(layer(x))
    return layers.ReLU()(y) if relu else y


def _depthwise(x: Any, stride: int) -> Any:
    layer = layers.DepthwiseConv2D(3, strides=stride, padding="same", depthwise_initializer=_TAPS)
    return layers.ReLU()(layers.BatchNormalization()(layer(x)))


def _classes(x: Any, count: int) -> Any:
    return layers.Dense(count, activation="softmax")(layers.Flatten()(x))


SHAPES: dict[str, Callable[[], Any]] = {
    "autoencoder": autoencoder,
    "keywords": keywords,
    "images": images,
    "persons": persons,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
