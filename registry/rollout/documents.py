"""What persons sign, kept by its digest: a document that was changed counts as missing."""

from __future__ import annotations

import sqlalchemy as sa

from components.workspace.files import sha256_bytes
from registry.database import documents


def keep(connection: sa.Connection, digest: str, body: bytes) -> None:
    if kept(connection, digest) is None:
        connection.execute(documents.insert(), {"digest": digest, "body": body})


def kept(connection: sa.Connection, digest: str) -> bytes | None:
    """The document of a digest; a changed one counts as missing."""
    body = connection.scalar(sa.select(documents.c.body).where(documents.c.digest == digest))
    return bytes(body) if body is not None and sha256_bytes(bytes(body)) == digest else None
