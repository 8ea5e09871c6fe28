"""Object storage -> the lake: Parquet by day, with the contract's columns and where each row came from.

`listing` is cheap and says what there is. `ingest` reads each object once in its life: what it became is kept under
the workspace's state by key, etag and contract, and linked into the step's output. So a killed run goes on at the
object where it stopped, and a new object costs its own download only.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from components.ingestion.columns import lake_table
from components.ingestion.objects import THREADS, Source, SourceObject, open_source
from components.workspace.errors import InputError
from components.workspace.files import new_folder, sha256_json, write_json

if TYPE_CHECKING:
    import pyarrow as pa

    from components.workspace import Workspace

LAKE_FORMAT = 1  # raise it when the lake's columns or files change
NO_DAY = "none"


@dataclass(frozen=True)
class Skipped:
    """An object that could not be read at all."""

    key: str
    reason: str


@dataclass(frozen=True)
class IngestReport:
    """What went into the lake. ``fetched`` counts the objects that were read now, the others were kept from before."""

    objects: int
    rows: int
    size: int
    skipped: tuple[Skipped, ...]
    fetched: int


def listing(workspace: Workspace) -> list[SourceObject]:
    """All raw objects, sorted by key.

    Raises:
        NotFound: no such folder, bucket, or nothing in it.
        BackendUnreachable: the server does not answer, or credentials are missing or refused.
    """
    return open_source(workspace).objects()


def ingest(workspace: Workspace, objects: list[SourceObject], folder: Path) -> IngestReport:
    """Fill `folder/lake/day=YYYY-MM-DD/` and write `folder/ingest.json`.

    Raises:
        InputError: a column breaks the contract, or no object at all can be read.
        NotFound, BackendUnreachable: an object went away, the storage failed after bounded retries.
    """
    source = open_source(workspace)
    kept = workspace.state / "lake"
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [pool.submit(_convert, workspace, source, item, kept) for item in objects]
        try:
            parts = [job.result() for job in jobs]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    for part in parts:
        _link(part.folder, folder / "lake")
    skipped = tuple(Skipped(i.key, p.reason) for i, p in zip(objects, parts, strict=True) if p.reason)
    if len(skipped) == len(objects):
        raise InputError(
            f"none of the {len(objects)} objects can be read; the first, {skipped[0].key}: {skipped[0].reason}",
            hint="check storage.format and the uploads",
        )
    report = IngestReport(
        objects=len(objects),
        rows=sum(p.rows for p in parts),
        size=sum(i.size for i in objects),
        skipped=skipped,
        fetched=sum(p.fetched for p in parts),
    )
    # What is kept from before is no property of the data: the step's output says the same either way.
    write_json(folder / "ingest.json", {k: v for k, v in asdict(report).items() if k != "fetched"})
    return report


@dataclass(frozen=True)
class _Part:
    folder: Path
    rows: int
    reason: str
    fetched: bool


def _convert(workspace: Workspace, source: Source, item: SourceObject, kept: Path) -> _Part:
    """The lake files of one object, made now or kept from before."""
    telemetry = workspace.settings.telemetry
    identity = [LAKE_FORMAT, item.key, item.etag, workspace.settings.storage.format, telemetry.model_dump(mode="json")]
    name = sha256_json(identity)[:24]
    target, fetched = kept / name, False
    if not (target / "object.json").is_file():
        for left in kept.glob(f".{name}.*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        table, reason = _read(source.read(item), item.key)
        with new_folder(target) as beside:
            rows = _write_days(lake_table(table, telemetry, item.key), beside, name) if table is not None else 0
            write_json(beside / "object.json", {"key": item.key, "etag": item.etag, "rows": rows, "reason": reason})
        fetched = True
    note = json.loads((target / "object.json").read_text())
    return _Part(target, int(note["rows"]), str(note["reason"]), fetched)


def _read(data: bytes, key: str) -> tuple[pa.Table | None, str]:
    """The object as a table, or why it is none. CSV cells stay text here: one bad cell is one bad row."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    try:
        if not key.endswith(".csv"):
            return pq.ParquetFile(BytesIO(data)).read(), ""
        header = data.split(b"\n", 1)[0].decode("utf-8-sig").strip().split(",")
        types = {name.strip('"'): pa.string() for name in header}
        options = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=True)
        return pa_csv.read_csv(BytesIO(data), convert_options=options), ""
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        return None, f"unreadable: {str(error).splitlines()[0][:200] or type(error).__name__}"


def _write_days(table: pa.Table, folder: Path, name: str) -> int:
    """One file for every UTC day of the object's rows; rows without a time go to day=none."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    days = pc.fill_null(pc.strftime(table.column("time"), format="%Y-%m-%d"), NO_DAY)
    for day in sorted(pc.unique(days).to_pylist()):
        target = folder / f"day={day}"
        target.mkdir()
        pq.write_table(table.filter(pc.equal(days, day)), target / f"{name}.parquet", compression="zstd")
    return int(table.num_rows)


def _link(part: Path, lake: Path) -> None:
    lake.mkdir(parents=True, exist_ok=True)
    for file in part.glob("day=*/*.parquet"):
        target = lake / file.relative_to(part)
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(file, target)
        except OSError:  # another file system
            shutil.copyfile(file, target)
