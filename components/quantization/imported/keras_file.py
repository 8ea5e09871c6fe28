"""`python -m components.quantization.imported.keras_file MODEL.keras EXAMPLES.npy OUT.tflite`: see `converting`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.workspace.files import write_bytes


def main(file: Path, examples: Path, out: Path) -> None:
    """Load ``file`` without running code of its own; write the .tflite whole or not at all."""
    import tensorflow as tf
    from tensorflow import keras

    model = keras.models.load_model(file, compile=False, safe_mode=True)
    shape = tuple(model.inputs[0].shape[1:])
    rows = np.load(examples, allow_pickle=False).reshape(-1, *shape)

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for row in rows:
            yield [row[None]]

    single = keras.Input(shape, batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(single, model(single)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    write_bytes(out, bytes(converter.convert()))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
