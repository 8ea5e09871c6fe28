"""Alembic migrations of the registry's database, run by `registry.database.open_database`."""
