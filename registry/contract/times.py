"""Times as the registry writes them: UTC, whole seconds, ``2026-11-21T12:00:00Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def stamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_stamp(text: str) -> datetime:
    """The aware UTC time of a stamp.

    Raises:
        ValueError: ``text`` has another form, or is no time.
    """
    if _STAMP.fullmatch(text) is None:
        raise ValueError(f"'{text}' is no time such as 2026-11-21T12:00:00Z")
    return datetime.fromisoformat(text)


def utc_from_ms(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
