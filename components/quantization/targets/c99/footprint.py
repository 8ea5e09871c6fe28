"""What generated C takes at least, read off its text: constant tables and static memory. Code, stack and padding come on top."""

from __future__ import annotations

import re
from math import prod

from components.quantization.targets import Footprint
from components.quantization.targets.c99.emit import Body

_TABLE = re.compile(r"static const (\w+) \w+((?:\[\d+\])+) =")
_BYTES = {f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)}


def footprint(body: Body) -> Footprint:
    """Elements of a type that is not of this list, such as an index whose width the model decides, count as a byte."""
    tables = ((_BYTES.get(kind, 1), re.findall(r"\d+", sizes)) for kind, sizes in _TABLE.findall(body.code))
    return Footprint(sum(width * prod(map(int, sizes)) for width, sizes in tables), body.arena)
