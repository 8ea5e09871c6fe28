"""The C of window features, which trees and wide parts are made of."""

from __future__ import annotations

from components.quantization.targets.c99.text import defines, kernel
from components.runtime.scaling import MISSING_CODE
from components.runtime.window_features import SLOPE_LIMIT, bands_of, feature_names


def features_code(channels: int, steps: int, parts: int) -> str:
    """`read_features`, which fills the table ``features`` channel by channel."""
    constants = {
        "FEATURES": channels * len(feature_names(steps, parts)),
        "PARTS": parts,
        "BANDS": bands_of(steps),
        "SLOPE_LIMIT": SLOPE_LIMIT,
        "MISSING_CODE": f"({MISSING_CODE})",
    }
    return defines(constants) + "\n" + kernel("features.c")


def features_memory(channels: int, steps: int, parts: int) -> int:
    """Bytes of static memory that the features take."""
    return 2 * (channels * len(feature_names(steps, parts)) + steps)
