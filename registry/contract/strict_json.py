"""JSON that every parser reads alike: integers only, no key twice."""

from __future__ import annotations

import json
from typing import Any


def parse(data: bytes) -> Any:
    """The value of ``data``.

    Raises:
        ValueError: no JSON in UTF-8, a float, a key that is written twice, or nested too deeply.
    """
    try:
        return json.loads(data, parse_float=_refuse, parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(text: str) -> None:
    raise ValueError(f"'{text}' is no integer")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is written twice")
    return value
