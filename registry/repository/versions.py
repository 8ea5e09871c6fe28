"""The highest version given to each role that is signed online.

Devices remember the versions that they have seen and refuse lower ones. The repository's own files say where to go on;
when they are lost, this does.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from components.workspace import Workspace
from registry.database import given_versions, open_database, reading, writing


def given(workspace: Workspace) -> dict[str, int]:
    """Role -> version."""
    with reading(open_database(workspace.database_url)) as connection:
        return _given(connection)


def remember(workspace: Workspace, versions: Mapping[str, int]) -> None:
    """Raise what is kept to ``versions``; nothing is ever lowered."""
    with writing(open_database(workspace.database_url)) as connection:
        before = _given(connection)
        risen = {role: version for role, version in versions.items() if version > before.get(role, 0)}
        for role, version in risen.items():
            same = given_versions.c.role == role
            if role not in before:
                connection.execute(given_versions.insert(), {"role": role, "version": version})
            else:
                connection.execute(
                    given_versions.update().where(same, given_versions.c.version < version).values(version=version)
                )


def _given(connection: sa.Connection) -> dict[str, int]:
    return {row.role: row.version for row in connection.execute(sa.select(given_versions))}
