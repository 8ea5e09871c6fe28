"""Write an imported ONNX model for one hardware profile."""

from __future__ import annotations

import numpy as np

from components.quantization.imported.building import build_imported
from components.quantization.imported.onnx_models.choosing import Choice, choose
from components.quantization.imported.onnx_models.likeness import parts
from components.quantization.imported.onnx_models.session import answers
from components.quantization.imported.onnx_models.twin.converting import as_tflite
from components.values.compiled import CompiledModel
from components.values.compiled_onnx import CompiledOnnx, FloatGolden
from components.values.imported_onnx import ImportedOnnx
from components.workspace.errors import InputError
from components.workspace.profiles import Profile

_MOST_VECTORS, _LEAST_VECTORS = 256, 4
_MOST_GOLDEN = 8 << 20  # bytes of their inputs
_FLOAT_SHARE = 1e-4
"""Of an output's reach: other processors add in another order."""
_TINY = 1e-7
_STEPS, _CODES = 2, 255
"""By how many steps of its int8 range an output may differ on another processor, which rounds the other way."""


def build_onnx(model: ImportedOnnx, profile: Profile) -> CompiledOnnx | CompiledModel:
    """For ONNX Runtime the recipe that suits ``profile``; for C and LiteRT int8 by way of a twin. Both with golden vectors.

    Raises:
        InputError: the twin has no layer for an operator.
        GateFailed: nothing keeps the profile's promises.
        BackendUnreachable: TensorFlow is not there.
    """
    if profile.runtime.name == "onnxruntime":
        return _build(model, profile)
    if profile.runtime.name == "openvino":
        raise InputError(
            f"profile '{profile.name}': imported ONNX models are not written for OpenVINO",
            hint="set its runtime.name to onnxruntime, which runs on the same processors",
        )
    return build_imported(as_tflite(model, profile), profile)


def _build(model: ImportedOnnx, profile: Profile) -> CompiledOnnx:
    chosen = choose(model, profile)
    most = min(_MOST_VECTORS, max(_LEAST_VECTORS, _MOST_GOLDEN // (4 * model.input.size)))
    kept = np.linspace(0, len(chosen.rows) - 1, min(len(chosen.rows), most)).astype(int)
    inputs = np.ascontiguousarray(chosen.rows[kept])
    outputs = answers(chosen.data, model.input, inputs)
    if not np.isfinite(outputs).all():
        raise InputError(
            f"{model.name}: an output is not finite for an example", hint="leave out what has no logarithm or inverse"
        )
    return CompiledOnnx(
        name=model.name,
        profile=profile.name,
        runtime=profile.runtime.name,
        runtime_minimal=profile.runtime.minimal,
        model_digest=model.digest,
        input=model.input,
        outputs=model.outputs,
        classes=model.classes,
        macs=model.macs,
        recipe=chosen.recipe.name,
        tried=tuple(one.to_json() for one in chosen.tried),
        tolerances=_tolerances(model, chosen),
        data=chosen.data,
        golden=FloatGolden(inputs, outputs, np.ascontiguousarray(chosen.wanted[kept])),
    )


def _tolerances(model: ImportedOnnx, chosen: Choice) -> tuple[float, ...]:
    share = _FLOAT_SHARE if chosen.recipe.precision == "float32" else _STEPS / _CODES
    reaches = [
        max(float(w.max()), 0.0) - min(float(w.min()), 0.0) for _, w, _ in parts(model.outputs, chosen.wanted, chosen.wanted)
    ]
    return tuple(share * reach + _TINY for reach in reaches)
