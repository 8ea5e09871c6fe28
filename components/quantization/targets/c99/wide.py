"""The C of wide parts: their tables, and the text that adds them to the network's logits."""

from __future__ import annotations

from collections.abc import Mapping

from components.quantization.targets.c99.features import features_code, features_memory
from components.quantization.targets.c99.text import array, braced, defines, kernel
from components.runtime.wide import CAP, Joined, parts_of, units_of
from components.runtime.window_features import BASE


def wide_code(wide: Mapping[str, Joined], channels: int, steps: int) -> str:
    """`decided` and the tables of each task: `WIDE_<number>` in the order of ``wide``."""
    return "\n".join([wide_kernels(wide, channels, steps), *(_tables(i, one) for i, one in enumerate(wide.values()))])


def wide_kernels(wide: Mapping[str, Joined], channels: int, steps: int) -> str:
    """`decided` alone."""
    units = units_of(steps)
    constants = {
        "NAMES": len(units),
        "MISSING_AT": BASE.index("missing"),
        "MOST_CLASSES": max(one.wide.classes for one in wide.values()),
        "CAP": CAP,
    }
    parts = [
        features_code(channels, steps, parts_of(steps)),
        defines(constants) + array("UNIT", "uint8_t", units),
        kernel("wide.c"),
    ]
    return "\n".join(parts)


def wide_memory(channels: int, steps: int) -> int:
    """Bytes of static memory that their features take."""
    return features_memory(channels, steps, parts_of(steps))


def _tables(number: int, one: Joined) -> str:
    names = [f"{name}{number}" for name in ("WIDE_WEIGHT", "WIDE_BASE", "WIDE_BIAS")]
    numbers = (one.wide.shift, one.gain, one.zero, one.wide.classes)
    return (
        array(names[0], "int16_t", one.wide.weight.ravel())
        + array(names[1], "int32_t", one.wide.base.ravel())
        + array(names[2], "int32_t", one.wide.bias)
        + f"static const wide WIDE_{number} = {braced((*names, *numbers))};\n"
    )
