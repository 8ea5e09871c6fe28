"""Join reports into the tables: the same result for any order and any number of deliveries.

A device's row in a rollout is the join over its reports (a semilattice): the highest (generation, attempt, whether the attempt
failed, counter) says what counts, so that no later word on its health stands over how an attempt ended; times of outcomes are
minima, ``reports`` counts keys that were not there before. So no delivery undoes another.

The statements are written out, in the SQL that SQLite and PostgreSQL share: rows go in by the thousand, as plain tuples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from registry.contract.report import OUTCOMES
from registry.health.tables import SAID, health, presence, rejections, report_keys

Row = tuple[Any, ...]
_ENDINGS = ("failed", "reverted")
KEY = ("rollout_id", "device_id", "generation", "attempt", "counter")
_words = sa.Table(
    "words",
    sa.MetaData(),
    sa.Column("device_id", sa.String(128)),
    sa.Column("generation", sa.Integer),
    sa.Column("counter", sa.BigInteger),
    sa.Column("firmware_version", sa.String(64)),
    sa.Column("at", sa.BigInteger),
)
_INTAKE_LOCK = 7_239_902  # PostgreSQL advisory lock: one intake writes at a time, as on SQLite


def serialize(connection: sa.Connection) -> None:
    """Wait until no other intake writes; on SQLite a writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _INTAKE_LOCK})


def known_digests(connection: sa.Connection, rows: Sequence[Row]) -> dict[int, bytes]:
    """Place in ``rows``, which are (*KEY, digest), -> digest of the report that has the key already."""
    staged = _stage(connection, report_keys, rows, place=True)
    same = " AND ".join(f"k.{name} = n.{name}" for name in KEY)
    found = connection.exec_driver_sql(f"SELECT n.place, k.digest FROM {staged} n JOIN report_keys k ON {same}")  # noqa: S608
    return {place: bytes(digest) for place, digest in found}


def add_keys(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Keep keys that are new: (*KEY, digest)."""
    _fill(connection, report_keys.name, [c.name for c in report_keys.columns], rows)


def join_health(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Rows in the order of the columns of ``health``, each device and rollout at most once; ``reports``: how many are new."""
    newer = f"({_rank('excluded')}) > ({_rank('health')})"
    said = {n: f"CASE WHEN {newer} THEN excluded.{n} ELSE health.{n} END" for n in ("variant", "bucket", "generation", *SAID)}
    times = {n: _earlier("health", n) for n in ("first_at", *(f"{o}_at" for o in OUTCOMES))}
    settled = " ".join(f"WHEN '{o}' THEN {times[f'{o}_at']}" for o in OUTCOMES)
    others = {"settled_at": f"CASE {said['outcome']} {settled} END", "reports": "health.reports + excluded.reports"}
    _upsert(connection, health, rows, said | times | others)


def join_presence(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Rows of (device_id, last_seen, counter, via, generation), each device at most once."""
    newer = "(excluded.generation, excluded.counter) >= (presence.generation, presence.counter)"
    said = ("counter", "via", "generation")
    changes = {n: f"CASE WHEN {newer} THEN excluded.{n} ELSE presence.{n} END" for n in said}
    later = "CASE WHEN excluded.last_seen > presence.last_seen THEN excluded.last_seen ELSE presence.last_seen END"
    _upsert(connection, presence, rows, changes | {"last_seen": later})


def tell_firmware(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Rows of (device_id, generation, counter, firmware_version, at): what devices say that they have, after `join_presence`.

    Where no newer report of the device is known, its word is the inventory's from now on; what the last import said is kept
    beside it (registry/inventory/firmware.py).
    """
    if not rows:
        return
    staged = _stage(connection, _words, rows)
    newest = (
        f"FROM {staged} n JOIN devices d ON d.device_id = n.device_id JOIN presence p ON p.device_id = n.device_id"
        " AND p.generation = n.generation AND p.counter = n.counter WHERE d.firmware_version <> n.firmware_version"
    )
    connection.exec_driver_sql(
        "INSERT INTO reported_firmware (device_id, firmware_version, imported, at)"
        f" SELECT n.device_id, n.firmware_version, d.firmware_version, n.at {newest}"
        " ON CONFLICT (device_id) DO UPDATE SET firmware_version = excluded.firmware_version, at = excluded.at"
    )
    connection.exec_driver_sql(
        f"UPDATE devices SET firmware_version = r.firmware_version FROM reported_firmware r, {staged} n"  # noqa: S608
        " WHERE r.device_id = devices.device_id AND n.device_id = devices.device_id"
    )


def count_rejections(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Rows of (fleet, rollout_id, reason, deliveries, last_at), each key at most once."""
    changes = {"deliveries": "rejections.deliveries + excluded.deliveries", "last_at": "excluded.last_at"}
    _upsert(connection, rejections, rows, changes)


def rank(generation: int, attempt: int, outcome: str, counter: int) -> tuple[int, int, bool, int]:
    """What a report counts by, as `_rank` has it in SQL."""
    return generation, attempt, outcome in _ENDINGS, counter


def _rank(table: str) -> str:
    failed = f"CASE WHEN {table}.outcome IN ({', '.join(repr(o) for o in _ENDINGS)}) THEN 1 ELSE 0 END"
    return f"{table}.generation, {table}.attempt, {failed}, {table}.counter"


def _earlier(table: str, name: str) -> str:
    """The smaller of both times, or the one that is there."""
    old, new = f"{table}.{name}", f"excluded.{name}"
    return f"CASE WHEN {old} IS NULL OR {new} < {old} THEN {new} ELSE {old} END"


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], changes: dict[str, str]) -> None:
    """Insert, or change what is there; in ``changes``, "excluded" is the new row and the table's name the old one."""
    if not rows:
        return
    keys = ", ".join(c.name for c in table.primary_key)
    conflict = f"ON CONFLICT ({keys}) DO UPDATE SET " + ", ".join(f"{name} = {value}" for name, value in changes.items())
    names = [c.name for c in table.columns]
    if connection.dialect.name == "sqlite":
        _fill(connection, table.name, names, rows, conflict)
    else:
        staged = _stage(connection, table, rows)
        connection.exec_driver_sql(f"INSERT INTO {table.name} SELECT {', '.join(names)} FROM {staged} {conflict}")  # noqa: S608


def _stage(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], *, place: bool = False) -> str:
    """Name of a table like ``table`` with these rows, and with their places if asked, that this connection alone sees."""
    columns = [sa.Column("place", sa.Integer)] * place + [sa.Column(c.name, c.type) for c in table.columns]
    staged = sa.Table(f"new_{table.name}", sa.MetaData(), *columns, prefixes=["TEMPORARY"])
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {staged.name}")
    staged.create(connection)
    _fill(connection, staged.name, [c.name for c in columns], [(i, *r) for i, r in enumerate(rows)] if place else rows)
    return staged.name


def _fill(connection: sa.Connection, table: str, names: Sequence[str], rows: Sequence[Row], conflict: str = "") -> None:
    """Insert many rows; by COPY on PostgreSQL, which knows no ``conflict``."""
    if not rows:
        return
    columns = f"{table} ({', '.join(names)})"
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"INSERT INTO {columns} VALUES ({marks}) {conflict}", list(rows))  # noqa: S608
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {columns} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
