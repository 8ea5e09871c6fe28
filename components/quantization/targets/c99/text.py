"""C source text: the fixed texts that ship with this package, and tables written out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS_A_LINE = 20


def kernel(name: str) -> str:
    """A C text that ships with this package."""
    return (files("components.quantization.targets.c99") / "kernels" / name).read_text(encoding="utf-8")


def array(name: str, kind: str, values: Any) -> str:
    """A constant table of C type ``kind`` with the shape of ``values``."""
    data: NDArray[Any] = np.asarray(values)
    sizes = "".join(f"[{n}]" for n in data.shape)
    return f"static const {kind} {name}{sizes} = {_nested(data)};\n"


def defines(constants: Mapping[str, object]) -> str:
    return "".join(f"#define {name} {value}\n" for name, value in constants.items())


def braced(values: Any) -> str:
    return "{" + ", ".join(str(v) for v in values) + "}"


def identifier(name: str) -> str:
    """``name`` as a part of a macro's name."""
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()


def _nested(data: NDArray[Any]) -> str:
    if data.ndim > 1:
        return "{" + ",\n".join(_nested(row) for row in data) + "}"
    numbers = [str(int(v)) for v in data]
    lines = [", ".join(numbers[i : i + _NUMBERS_A_LINE]) for i in range(0, len(numbers), _NUMBERS_A_LINE)]
    return "{" + ",\n ".join(lines) + "}"
