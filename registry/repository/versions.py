"""The highest version given to each role that is signed online.

Devices remember the versions that they have seen and refuse lower ones. The repository's own files say where to go on;
when they are lost, this does.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from registry.database import given_versions, writing


def given(connection: sa.Connection) -> dict[str, int]:
    """Role -> version."""
    return {row.role: row.version for row in connection.execute(sa.select(given_versions))}


def remember(engine: sa.Engine, versions: Mapping[str, int]) -> None:
    """Raise what is kept to ``versions``; nothing is ever lowered."""
    with writing(engine) as connection:
        before = given(connection)
        risen = [{"of": role, "to": version} for role, version in versions.items() if version > before.get(role, 0)]
        if new := [{"role": r["of"], "version": r["to"]} for r in risen if r["of"] not in before]:
            connection.execute(given_versions.insert(), new)
        if known := [r for r in risen if r["of"] in before]:
            same = given_versions.c.role == sa.bindparam("of")
            connection.execute(given_versions.update().where(same).values(version=sa.bindparam("to")), known)
