"""Codes and scales of a network's weights: 8 bits, or fewer where size counts above all.

8 bits   the largest weight of an output channel has the largest code (TensorFlow Lite 8-bit quantization specification)
4 bits   codes from -7 to 7, with the scale whose squared error is least; it may clip the largest weights (Choukroun et al.,
         Low-bit Quantization of Neural Networks for Efficient Inference, ICCVW 2019; Banner et al., NeurIPS 2019)
1 bit    the sign, with the mean magnitude as scale, which has the least squared error (Rastegari et al., XNOR-Net, ECCV 2016,
         equation 6)

Only layers in which each output reads all channels get fewer bits: they hold most of the weights. Binary ones also leave the
first layer and the outputs as they are, as XNOR-Net does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.models.reference import Array
from components.runtime.integers import WeightBits

WEIGHT_LIMIT = 127
"""Largest weight code: symmetric, so that no weight has a zero point."""
_LIMIT_4 = 7
_FACTORS = np.linspace(1.25, 0.3, 96)  # of the scale under which the largest weight has the largest code, for 4 bits
_EVERYWHERE = ("depthwise", "summary", "embedding")
_ENDS = ("stem", "correct", "head")


def bits_of(precision: str, layer: str) -> WeightBits:
    """What the weights of ``layer`` take in a recipe of ``precision``."""
    parts = layer.split(".")
    if precision not in {"int4", "binary"} or any(part in _EVERYWHERE for part in parts):
        return 8
    if precision == "int4":
        return 4
    return 8 if parts[0] in _ENDS else 1


def coded(weight: Array, bits: WeightBits, limit: int = WEIGHT_LIMIT) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """(out, ...) weights -> (out,) scales, and codes of the same shape. ``limit``: the largest code of 8 bits."""
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    if bits == 1:
        scales = np.abs(flat).mean(axis=1)
        scales = np.where(scales > 0, scales, 1.0)
        return scales, np.where(flat >= 0, 1, -1).astype(np.int8).reshape(weight.shape)
    scales = weight_scales(weight, limit) if bits == 8 else _least_squares(flat)
    most = limit if bits == 8 else _LIMIT_4
    codes = np.clip(np.rint(flat / scales[:, None]), -most, most)
    return scales, codes.astype(np.int8).reshape(weight.shape)


def rounded(weight: Array, bits: WeightBits, limit: int = WEIGHT_LIMIT) -> NDArray[np.float64]:
    """The weights that the codes stand for."""
    scales, codes = coded(weight, bits, limit)
    return np.asarray(codes * scales.reshape(-1, *(1,) * (weight.ndim - 1)))


def weight_scales(weight: Array, limit: int = WEIGHT_LIMIT) -> NDArray[np.float64]:
    """(out, ...) weights -> (out,) scales, under which the largest has the code ``limit``."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1).astype(np.float64)
    return np.where(largest > 0, largest, 1.0) / limit


def _least_squares(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(out, weights) -> (out,) scales of 4 bits."""
    widest = weight_scales(flat.astype(np.float32), _LIMIT_4)
    tried = widest[None] * _FACTORS[:, None]
    codes = np.clip(np.rint(flat[None] / tried[..., None]), -_LIMIT_4, _LIMIT_4)
    errors = ((codes * tried[..., None] - flat[None]) ** 2).sum(axis=2)
    return np.asarray(tried[errors.argmin(axis=0), np.arange(len(flat))])
