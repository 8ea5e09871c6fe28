"""`python -m components.quantization.imported.keras_file MODEL.keras EXAMPLES.npy OUT.tflite`: see `converting`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.files import write_bytes


def main(file: Path, examples: Path, out: Path) -> None:
    """Load ``file`` without running code of its own; write the .tflite whole or not at all."""
    from tensorflow import keras

    model = keras.models.load_model(file, compile=False, safe_mode=True)
    shape = tuple(model.inputs[0].shape[1:])
    write_bytes(out, in_codes(model, np.load(examples, allow_pickle=False).reshape(-1, *shape)))


def in_codes(model: Any, rows: NDArray[np.float32]) -> bytes:
    """A Keras ``model`` as an int8 .tflite with a batch of one; (rows, ...) set its ranges."""
    import tensorflow as tf
    from tensorflow import keras

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for row in rows:
            yield [row[None]]

    single = keras.Input(rows.shape[1:], batch_size=1)
    answers = model(single)  # as a plain list, whose places the converter numbers
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(single, keras.tree.flatten(answers)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return in_order(bytes(converter.convert()))


def in_order(data: bytes) -> bytes:
    """The .tflite in ``data`` with its outputs in the order of the model: the converter shuffles them, its signature tells."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    named = {int(o.name.decode().rpartition("_")[2]): o.tensorIndex for o in model.signatureDefs[0].outputs}
    wanted = [named[place] for place in sorted(named)]
    if list(model.subgraphs[0].outputs) == wanted:
        return data
    model.subgraphs[0].outputs = wanted
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
