"""Rows of many ids in one query, without a bound parameter each."""

from __future__ import annotations

import json
from collections.abc import Iterable

import sqlalchemy as sa


def among(connection: sa.Connection, column: sa.ColumnElement[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Whether ``column`` is one of ``values``, however many these are."""
    chosen = sorted(values)
    if connection.dialect.name == "sqlite":
        return column.in_(sa.select(sa.func.json_each(json.dumps(chosen)).table_valued("value").c.value))
    return column == sa.any_(sa.bindparam(None, chosen, sa.ARRAY(sa.String)))
