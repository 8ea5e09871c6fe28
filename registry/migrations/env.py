"""Runs on the connection that `registry.database` hands over; there is no other way in."""

from alembic import context

from registry.database import metadata
from registry.health import tables  # noqa: F401 -- belong to the metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
