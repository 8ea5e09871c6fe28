"""The registry's database: SQLite by default, PostgreSQL by URL, brought up to date whenever it is opened.

The event log is the truth. The other tables index it or make two writers collide: ``publications`` hands out the
sequence numbers of a fleet's variant, ``role_versions`` the versions of what persons sign, each number once, for a release
or, by its digest, for what they signed anew (``renewals`` has who signed what).
``given_versions`` remembers what the online keys signed, for the day the repository is lost.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError

from components.workspace.errors import BackendUnreachable, Conflict, InputError

metadata = sa.MetaData()

devices = sa.Table(
    "devices",
    metadata,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("fleet", sa.String(64), nullable=False),
    sa.Column("hardware_profile", sa.String(64), nullable=False),
    sa.Column("firmware_version", sa.String(64), nullable=False),
    sa.Column("site", sa.String(128), nullable=False),
    sa.Column("via", sa.String(128), nullable=False),
    sa.Column("hardware_revision", sa.String(64), nullable=False, server_default=""),
    sa.Index("devices_grouped", "fleet", "hardware_profile", "firmware_version", "hardware_revision", "device_id", "site"),
)
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("fleet", sa.String(64), nullable=False),
    sa.Column("counter", sa.Integer, nullable=False),
    sa.Column("model_name", sa.String(64), nullable=False),
    sa.Column("model_version", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("head", sa.String(64), nullable=False, server_default=""),
    sa.UniqueConstraint("fleet", "counter"),
    sa.UniqueConstraint("fleet", "model_name", "model_version", "attempt"),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("release_id", sa.String(128), sa.ForeignKey("releases.id"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("time", sa.String(32), nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("prev_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.UniqueConstraint("release_id", "revision"),
)
publications = sa.Table(
    "publications",
    metadata,
    sa.Column("fleet", sa.String(64), primary_key=True),
    sa.Column("variant", sa.String(128), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("release_id", sa.String(128), sa.ForeignKey("releases.id"), nullable=False),
)
role_versions = sa.Table(
    "role_versions",
    metadata,
    sa.Column("role", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("release_id", sa.String(128), sa.ForeignKey("releases.id"), nullable=True),
    sa.Column("digest", sa.String(64), nullable=True),
)
renewals = sa.Table(
    "renewals",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("keyid", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("time", sa.String(32), nullable=False),
)
given_versions = sa.Table(
    "given_versions",
    metadata,
    sa.Column("role", sa.String(64), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)
documents = sa.Table(
    "documents",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

_alembic_version = sa.table("alembic_version", sa.column("version_num"))  # Alembic's own, no part of this schema

_BUSY_MS = 10_000
_UPGRADE_LOCK = 7_239_901  # PostgreSQL advisory lock, an arbitrary constant of this project
_WRITES = "muster_writes"


def open_database(url: str) -> sa.Engine:
    """An engine on a database that has every table of this version.

    Raises:
        InputError: ``url`` is none, names an engine other than SQLite and PostgreSQL, or what it names is damaged.
        BackendUnreachable: the server does not answer or refuses the credentials.
    """
    engine = _engine(url)
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        with engine.connect() as connection:
            current = _revision(connection)
        if current != _head():
            _upgrade(engine)
    except OperationalError as error:
        raise BackendUnreachable(
            f"the registry database {engine.url.render_as_string()} does not answer: {error.orig}",
            hint="check registry.database in muster.yaml or MUSTER_DATABASE_URL, and that the server runs",
        ) from None
    except DatabaseError as error:
        raise InputError(
            f"the registry database {engine.url.render_as_string()} cannot be read: {error.orig}",
            hint="the file is damaged, or is no database: put its backup in its place",
        ) from None
    return engine


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One consistent view."""
    snapshot = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**snapshot) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction, all or nothing.

    Raises:
        Conflict: another writer took the same revision, sequence number or version first.
    """
    try:
        with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
            yield connection
    except IntegrityError as error:
        raise Conflict("someone else changed it first", hint="look at it again, then repeat the command") from error
    except DBAPIError as error:
        if "locked" not in str(error.orig):
            raise
        raise Conflict("the database is busy with another writer", hint="repeat the command") from None


@contextmanager
def rehearsing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction of which nothing stays."""
    with engine.connect().execution_options(**{_WRITES: True}) as connection:
        transaction = connection.begin()
        try:
            yield connection
        finally:
            transaction.rollback()


@functools.lru_cache(maxsize=16)
def _engine(url: str) -> sa.Engine:
    """One a database and process: an engine remembers how its statements read, and holds no connection."""
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ArgumentError(f"no support for {parsed.get_backend_name()}")
        engine = sa.create_engine(parsed, poolclass=sa.NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise InputError(
            f"the registry database is not usable: {error}", hint="write sqlite:///file or postgresql://user@host/name"
        ) from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return engine


def _prepare_sqlite(engine: sa.Engine) -> None:
    """Write-ahead log, waiting instead of failing, and BEGIN IMMEDIATE for writers so that none upgrades a read lock."""

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            f"busy_timeout={_BUSY_MS}",
            "foreign_keys=ON",
            "synchronous=FULL",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")


def _revision(connection: sa.Connection) -> str | None:
    """The migration that the database is at; None before the first."""
    try:
        return connection.scalar(sa.select(_alembic_version.c.version_num))
    except DBAPIError:  # no such table, or worse, which the next statement says
        connection.rollback()
        return MigrationContext.configure(connection).get_current_revision()


@functools.cache
def _head() -> str | None:
    """The newest migration; finding it reads every one."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _upgrade(engine: sa.Engine) -> None:
    """Run the migrations once, however many processes open the database at the same time."""
    from alembic import command

    on_file = engine.dialect.name == "sqlite" and engine.url.database
    with FileLock(f"{engine.url.database}.upgrade.lock") if on_file else nullcontext(), writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
