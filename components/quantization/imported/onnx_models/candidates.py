"""The ways an ONNX model is written for ONNX Runtime: float32 as it is, and int8 with our ranges."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.quantization.targets.onnx_runtime import quantized
from components.workspace.errors import InputError

_LEAST_OPSET = 13
"""Scales of single channels came with it."""


def in_integers(proto: Any, spans: dict[str, tuple[float, float]]) -> bytes:
    """The folded ``proto`` with QuantizeLinear and DequantizeLinear around all that has kernels in integers.

    Raises:
        InputError: the quantiser does not take it.
    """
    try:
        made = quantized(_recent(proto), {name: (np.float32(low), np.float32(high)) for name, (low, high) in spans.items()})
    except Exception as error:  # noqa: BLE001 - the quantiser raises what its rules for single operators raise
        raise InputError(f"not quantised: {' '.join(str(error).split())[:200]}") from None
    return bytes(made.SerializeToString(deterministic=True))


def _recent(proto: Any) -> Any:
    import onnx

    version = next(o.version for o in proto.opset_import if o.domain in {"", "ai.onnx"})
    return proto if version >= _LEAST_OPSET else onnx.version_converter.convert_version(proto, _LEAST_OPSET)
