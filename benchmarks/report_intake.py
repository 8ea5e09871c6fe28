"""Health reports, each delivered one to five times in any order: how many a second are counted, and whether the counts are exact.

    python -m benchmarks.report_intake [--reports 1000000] [--signed 20000] [--write docs/benchmarks.md]

The references are what nobody can go below: verifying the signatures with the library alone, and bulk COPY of the rows that
come out. PostgreSQL is measured where `initdb` is found.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.workspace import Workspace, open_workspace
from registry.contract.signed_report import PAYLOAD_TYPE, SignedReport, open_signed, sign
from registry.database import open_database, reading
from registry.health import merging
from registry.health.intake import BATCH, Intake
from registry.health.signatures import is_signed
from registry.health.tables import health, report_keys
from registry.inventory import import_devices
from tests.registry.reporting import artefact_of, report
from tests.registry.servers import postgresql_server
from tests.registry.workspaces import HEADER, make_workspace, release

MARK = "<!-- measured: report intake -->"
A_DEVICE = 10
"""Reports of each device."""
ROUNDS = 5
_SEAL = '{"payload":"%s","payloadType":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=200_000)
    parser.add_argument("--signed", type=int, default=20_000, help="of these, each delivered once")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows += many(stocked(Path(folder) / "many", asked.reports // A_DEVICE), asked.reports, "SQLite")
        rows += verified(stocked(Path(folder) / "signed", asked.signed), asked.signed)
        with postgresql_server() as url:
            if url is not None:
                os.environ["MUSTER_DATABASE_URL"] = url
                rows += many(stocked(Path(folder) / "postgresql", asked.reports // A_DEVICE), asked.reports, "PostgreSQL")
    lines = ["| what | reference | ours | aim | measured |", "|---|---:|---:|---|---:|", *rows]
    table = f"{os.cpu_count()} cores; CPU seconds of the intake's own process.\n\n" + "\n".join(lines)
    print(table)
    if asked.write:
        text = asked.write.read_text()
        asked.write.write_text(re.sub(f"{MARK}.*{MARK}", lambda _: f"{MARK}\n{table}\n{MARK}", text, flags=re.DOTALL))


def key_of(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes((number + 1).to_bytes(32, "big"))


def stocked(root: Path, devices: int) -> Workspace:
    """A fleet of enrolled gateways, all in the first stage of a release that runs."""
    keys = (key_of(i).public_key().public_bytes_raw().hex() for i in range(devices))
    rows = [f"gw-{i:06},north,gateway,2.1.0,plant,{key}," for i, key in enumerate(keys)]
    make_workspace(root, devices="\n".join([HEADER, *rows]) + "\n")
    text = (root / "muster.yaml").read_text()
    only = re.sub(r"  stages:\n.*", "  stages: [{name: all, share: 1.0, waves: 1}]\n", text, flags=re.DOTALL)
    (root / "muster.yaml").write_text(only)
    workspace = open_workspace(root)
    import_devices(workspace)
    release(workspace)
    return workspace


def many(workspace: Workspace, reports: int, engine: str) -> list[str]:
    """Without verification, so that everything else is seen."""
    order = np.repeat(np.arange(reports), np.random.default_rng(7).integers(1, 6, reports))
    np.random.default_rng(8).shuffle(order)
    template = report("gw-D", 0, outcome="installed", reason=None, running_sha256=artefact_of(workspace)).to_bytes().decode()
    template = template.replace('"gw-D"', '"gw-%06d"').replace('"counter":0', '"counter":%d')
    unsigned = (PAYLOAD_TYPE, "0" * 64, base64.b64encode(bytes(64)).decode())

    def deliveries() -> Iterator[bytes]:
        for number in order:
            counter, device = divmod(int(number), reports // A_DEVICE)
            body = base64.b64encode((template % (counter, device)).encode()).decode()
            yield (_SEAL % (body, *unsigned)).encode()

    database = open_database(workspace.database_url)
    intake = Intake(database, require_signatures=False)
    accepted = duplicates = 0
    cpu = wall = 0.0
    stream = deliveries()
    while batch := list(islice(stream, BATCH)):
        before = time.process_time(), time.perf_counter()
        taken = intake.take(batch)
        cpu, wall = cpu + time.process_time() - before[0], wall + time.perf_counter() - before[1]
        accepted, duplicates = accepted + taken.accepted, duplicates + taken.duplicates
    with reading(database) as connection:
        counted = connection.scalar(sa.select(sa.func.sum(health.c.reports)))
        keys = connection.scalar(sa.select(sa.func.count()).select_from(report_keys))
    assert (accepted, duplicates, counted, keys) == (reports, len(order) - reports, reports, reports), "the counts are not exact"
    what = f"{engine}: {reports:,} reports, {len(order):,} deliveries shuffled, unsigned"
    found = [f"| {what}: counted exactly | | {counted:,} | {reports:,} | met |"]
    found.append(
        f"| {engine}: deliveries a second | | {len(order) / wall:,.0f} | at least 20,000 | {len(order) / cpu:,.0f} a CPU s |"
    )
    if database.dialect.name == "postgresql":
        copied, joined = _copied_and_joined(database)
        found.append(
            "| PostgreSQL: µs a new report to store, beside COPY of the same rows"
            f" | {copied:.1f} | {joined:.1f} | at most 3 times | {joined / copied:.1f} times |"
        )
    return found


def verified(workspace: Workspace, reports: int) -> list[str]:
    said = {"outcome": "installed", "reason": None, "running_sha256": artefact_of(workspace)}
    sealed = [sign(report(f"gw-{i:06}", 1, **said), key_of(i)) for i in range(reports)]
    sealed = [sealed[i] for i in np.random.default_rng(8).permutation(reports)]
    opened = [open_signed(data) for data in sealed]
    keys = [key_of(int(o.report.device_id[3:])).public_key().public_bytes_raw() for o in opened]
    alone = _cpu(lambda: [_check(o, k) for o, k in zip(opened, keys, strict=True)]) / reports
    intake = Intake(open_database(workspace.database_url))
    ours = _cpu(lambda: _all_accepted(intake, sealed)) / reports
    return [
        f"| SQLite: signed reports a CPU second, beside verifying alone | {1 / alone:,.0f} | {1 / ours:,.0f} | at least 6,000 |"
        f" {alone / ours:.0%} of it |"
    ]


def _check(opened: SignedReport, key: bytes) -> None:
    assert is_signed(opened.sealed, key)


def _all_accepted(intake: Intake, sealed: list[bytes]) -> None:
    assert intake.take(sealed).accepted == len(sealed)


def _cpu(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _copied_and_joined(database: sa.Engine) -> tuple[float, float]:
    """Microseconds a report: its key and its row of ``health`` by COPY into tables like these, and joined into empty ones."""
    took = [0.0, 0.0]
    with database.connect() as connection, connection.begin():
        newest = connection.exec_driver_sql(f"SELECT * FROM health LIMIT {BATCH}").all()  # noqa: S608
        keys = [(r.rollout_id, r.device_id, r.generation, r.attempt, r.counter, bytes(16)) for r in newest]
        connection.exec_driver_sql("CREATE TABLE copied_health (LIKE health INCLUDING ALL)")
        connection.exec_driver_sql("CREATE TABLE copied_report_keys (LIKE report_keys INCLUDING ALL)")
        for _ in range(ROUNDS):
            connection.exec_driver_sql("TRUNCATE copied_health, copied_report_keys, health, report_keys")
            before = time.perf_counter()
            driver: Any = connection.connection.driver_connection
            for name, rows in (("copied_health", newest), ("copied_report_keys", keys)):
                with driver.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            took[0] += time.perf_counter() - before
            before = time.perf_counter()
            assert merging.known_digests(connection, keys) == {}
            merging.add_keys(connection, keys)
            merging.join_health(connection, newest)
            took[1] += time.perf_counter() - before
    copied, joined = (t / ROUNDS / len(keys) * 1e6 for t in took)
    return copied, joined


if __name__ == "__main__":
    main()
