"""Rows of an inventory, wherever it is kept: a CSV or Parquet file, or a table or query of a database.

`inventory:` of a fleet in muster.yaml is a file of the workspace, or the address of a database with what to read there:
`postgresql://reader@host/assets?table=devices`, `sqlite:////srv/assets.db?query=SELECT ... FROM ...`. Passwords come from
where the database's client looks for them (PGPASSWORD, ~/.pgpass).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from components.workspace import Workspace
from components.workspace.errors import BackendUnreachable, InputError, NotFound
from registry.inventory.devices import Device

COLUMNS = tuple(f.name for f in fields(Device) if f.name != "hardware_revision")
OPTIONAL = ("hardware_revision",)
_BATCH = 10_000

Row = tuple[str, Device]
"""Where it stands ('inventory.csv, line 3'), and what it says."""


def is_database(source: str) -> bool:
    return "://" in source


def rows_of(workspace: Workspace, source: str, problems: list[str]) -> Iterator[Row]:
    """The rows of one source; those that are no rows are added to ``problems``.

    Raises:
        NotFound: the file or table is not there.
        InputError: it has other columns, or is no such file or address.
        BackendUnreachable: the database does not answer.
    """
    if is_database(source):
        return _from_database(source)
    file = workspace.path(source)
    if not file.is_file():
        raise NotFound(f"the inventory {file} is not there", hint=f"write a CSV with the columns {', '.join(COLUMNS)}")
    return _from_parquet(file) if file.suffix == ".parquet" else _from_csv(file, problems)


def digest_of(workspace: Workspace, source: str) -> str | None:
    """Changes when the inventory does; None for a file that is not there."""
    digest = hashlib.sha256()
    if not is_database(source):
        file = workspace.path(source)
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    for _, device in _from_database(source):
        digest.update(repr(device).encode())
    return digest.hexdigest()


def _from_csv(file: Path, problems: list[str]) -> Iterator[Row]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader, [])
        order = _order(f"{file}, line 1", header)
        try:
            for row in reader:
                if len(row) == len(header):
                    yield f"{file}, line {reader.line_num}", _device(row, order)
                elif row:
                    problems.append(f"{file}, line {reader.line_num}: {len(row)} values for {len(header)} columns")
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{file}, line {reader.line_num}: no valid CSV: {error}", hint="save it as CSV in UTF-8") from None


def _from_parquet(file: Path) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(f"{file}: Parquet takes pyarrow", hint="pip install 'muster-mlops[pipeline]'") from None
    try:
        with pq.ParquetFile(file) as stored:
            order = _order(str(file), stored.schema_arrow.names)
            number = 0
            for batch in stored.iter_batches(_BATCH):
                columns = [column.cast(pa.string()).to_pylist() for column in batch.columns]
                for row in zip(*columns, strict=True):
                    number += 1
                    yield f"{file}, row {number}", _device(row, order)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{file}: no valid Parquet: {error}", hint="write it again, with columns of text") from None


def _from_database(source: str) -> Iterator[Row]:
    url, statement = _url(source)
    name = url.render_as_string()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite" and not Path(url.database or "").is_file():
                raise NotFound(f"the inventory {name} is not there", hint="name the file of the database")
            found = connection.execution_options(stream_results=True).execute(statement)
            order = _order(name, list(found.keys()))
            for number, row in enumerate(found.yield_per(_BATCH), start=1):
                yield f"{name}, row {number}", _device([None if v is None else str(v) for v in row], order)
    except sa.exc.OperationalError as error:
        raise BackendUnreachable(
            f"the inventory {name} does not answer: {error.orig}",
            hint="check inventory: in muster.yaml, and that the server runs",
        ) from None
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).splitlines()[0]
        raise InputError(f"the inventory {name} cannot be read: {said}", hint="check its table or query in muster.yaml") from None


def _url(source: str) -> tuple[sa.URL, Any]:
    """Address and statement."""
    # A query is written as it reads, so it is taken from the text: an address would want it encoded.
    address, _, asked = source.partition("?")
    what, _, text = asked.partition("=")
    try:
        url = sa.make_url(address)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise InputError(f"inventory: {address} is no address of a database: {error}", hint=_EXAMPLE) from None
    if what not in ("table", "query") or not text:
        raise InputError(f"inventory: {url.render_as_string()} does not say what to read there", hint=_EXAMPLE)
    if what == "query":
        return url, sa.text(text)
    schema, _, table = text.rpartition(".")
    return url, sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))


_EXAMPLE = "write postgresql://reader@host/assets?table=devices, or ?query=SELECT ..."


def _order(where: str, header: Sequence[str]) -> list[int | None]:
    """Place of each field of `Device` in a row; None where an optional column is missing."""
    if sorted(set(header) - set(OPTIONAL)) != sorted(COLUMNS) or len(set(header)) != len(header):
        raise InputError(
            f"{where}: the columns are {', '.join(header) or '(none)'}",
            hint=f"they must be {', '.join(COLUMNS)}, and may have {', '.join(OPTIONAL)}",
        )
    return [header.index(f.name) if f.name in header else None for f in fields(Device)]


def _device(row: Sequence[str | None], order: Sequence[int | None]) -> Device:
    return Device(*("" if place is None else (row[place] or "").strip() for place in order))
