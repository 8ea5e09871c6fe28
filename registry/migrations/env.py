"""Runs on the connection that `registry.database` hands over; there is no other way in."""

from alembic import context

from registry.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
