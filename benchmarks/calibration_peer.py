"""Quantise a float model by a tool's defaults; runs in that tool's environment, which has nothing of ours.

python calibration_peer.py ai-edge|nncf FLOAT_MODEL X.npy OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main(kind: str, source: str, inputs: str, target: str) -> None:
    x = np.load(inputs)
    (ai_edge if kind == "ai-edge" else nncf)(source, x, target)


def ai_edge(source: str, x: np.ndarray, target: str) -> None:
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(source)
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = tool.calibrate({"serving_default": [{"input": window[None, None]} for window in x]})
    Path(target).write_bytes(bytes(tool.quantize(ranges).quantized_model))


def nncf(source: str, x: np.ndarray, target: str) -> None:
    import nncf as tool
    import onnx

    data = tool.Dataset([{"input": window[None]} for window in x])
    onnx.save(tool.quantize(onnx.load(source), data, subset_size=len(x)), target)


if __name__ == "__main__":
    main(*sys.argv[1:])
