"""A fleet of a million devices: import, draft, a tick of its release, one change published, a whole rollout.

    python -m benchmarks.million_devices [--devices 1000000] [--write docs/benchmarks.md]

CPU seconds of one process a row, and its peak memory, library imports included: every row runs in a process of its own on what
the rows before left. The rollout goes through Muster's own plan, evidence, gates and reducer without the database.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from components.workspace import Workspace, open_workspace
from components.workspace.files import write_text
from registry.contract.times import utc_now

MARK = "<!-- measured: million devices -->"
VARIANT = "gateway-v2"
FLEETS, FIRMWARES = 100, 10
CHANGES = 20
ROWS = 100_000
SEED = 20_261
ALL_POLLED = timedelta(hours=12)
"""After an approval: no wave opens before devices had the time to ask twice."""


def imported(root: Path, devices: int) -> None:
    """The whole inventory from its CSV."""
    from registry.inventory import import_devices
    from tests.registry.workspaces import HEADER, make_workspace

    rows = (f"gw-{i:07},north,gateway,2.1.0,plant-{i % 1000},," for i in range(devices))
    workspace = make_workspace(root, devices="\n".join([HEADER, *rows]) + "\n")
    text = (root / "muster.yaml").read_text()
    shares = ((0.01, 8), (0.05, 1), (0.2, 1), (0.5, 1), (1.0, 1))
    stages = "".join(f"    - {{name: s{i}, share: {share}, waves: {waves}}}\n" for i, (share, waves) in enumerate(shares))
    write_text(root / "muster.yaml", text[: text.index("release:")] + f"release:\n  stages:\n{stages}")
    workspace = open_workspace(root)
    with _measured("a fleet's inventory is imported from CSV", "no aim"):
        assert import_devices(workspace).added == devices


def drafted(root: Path, devices: int) -> None:
    from registry import rollout
    from tests.registry.workspaces import artefacts, proofs, version

    workspace = open_workspace(root)
    with _measured("a release is drafted: inventory read, hashed, cut into five stages", "2 s"):
        (release,) = rollout.draft(workspace, version(), artefacts(), proofs(), "bench")
    assert release.manifests[0].devices == devices
    for person in ("ana", "ben"):
        rollout.approve(workspace, release.id, person, "bench")
    _all_installed(workspace, devices)


def ticked(root: Path, devices: int) -> None:
    """Every device has a row of health and one of presence, and the tick takes every wave that is due."""
    from registry import rollout

    workspace = open_workspace(root)
    with _measured("a tick: rows of health and presence read, weighed, every due step taken and published", "no aim"):
        taken = rollout.tick(workspace, now=utc_now() + ALL_POLLED)
    assert taken


def published(root: Path, _devices: int) -> None:
    """1,000 combinations of fleet and firmware variant, one fleet's manifest changed at a time."""
    from registry.keys import init_keys
    from registry.repository import publish
    from tests.registry.workspaces import make_workspace

    make_workspace(root, people=())
    text = (root / "muster.yaml").read_text()
    variants = "".join(f"      - {{name: v{v}, firmware: '=={v}.*'}}\n" for v in range(FIRMWARES))
    fleets = "".join(f"  - name: f{f}\n    inventory: inventory.csv\n    variants:\n{variants}" for f in range(FLEETS))
    write_text(root / "muster.yaml", text[: text.index("fleets:")] + f"fleets:\n{fleets}" + text[text.index("release:") :])
    workspace = open_workspace(root)
    init_keys(workspace, ["ana", "ben"])
    manifests = {f"f{f}": {_path(f, v): b"%1382d" % v for v in range(FIRMWARES)} for f in range(FLEETS)}
    publish(workspace, manifests, None)
    with _measured(f"one release's change is published among {FLEETS * FIRMWARES:,} manifests", "10 ms", CHANGES):
        for change in range(CHANGES):
            fleet = f"f{change}"
            manifests[fleet][_path(change, 0)] = b"%1382d" % (1000 + change)
            assert publish(workspace, {fleet: manifests[fleet]}, None, alone=True)
    with _measured("the same with every manifest compared and every signature verified anew", "no aim", CHANGES):
        for change in range(CHANGES):
            manifests[f"f{change}"][_path(change, 0)] = b"%1382d" % (2000 + change)
            assert publish(workspace, manifests, None)


def rolled_out(_root: Path, devices: int) -> None:
    from benchmarks.rollouts.fleet import invent
    from benchmarks.rollouts.ours import policy, rollout

    with _measured("a good rollout in five stages, simulated tick by tick until it completes", "10 s, 200 MB"):
        fleet = invent(devices, 0.002, 0.5, np.random.default_rng(SEED))
        ended = rollout(fleet, policy((0.01, 0.05, 0.2, 0.5, 1.0)), "bench")
    assert ended.state == "completed", ended


PARTS: dict[str, tuple[Callable[[Path, int], None], str]] = {
    "import": (imported, "north"),
    "draft": (drafted, "north"),
    "tick": (ticked, "north"),
    "publish": (published, "fleets"),
    "rollout": (rolled_out, ""),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        part, folder = PARTS[asked.part]
        part(asked.root / folder, asked.devices)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in PARTS:
            command = [sys.executable, "-m", "benchmarks.million_devices", "--part", name, "--root", folder]
            done = subprocess.run([*command, "--devices", str(asked.devices)], stdout=subprocess.PIPE, text=True, check=True)
            rows.append(done.stdout.strip())
            print(rows[-1], file=sys.stderr)
    head = ["| what | CPU | aim | peak memory |", "|---|---:|---:|---:|"]
    table = "\n".join([f"{asked.devices:,} devices, {os.cpu_count()} cores.", "", *head, *rows])
    print(table)
    if asked.write:
        text = asked.write.read_text()
        write_text(asked.write, re.sub(f"{MARK}.*{MARK}", lambda _: f"{MARK}\n{table}\n{MARK}", text, flags=re.DOTALL))


@contextmanager
def _measured(what: str, aim: str, times: int = 1) -> Iterator[None]:
    """Print the row of a table."""
    before = time.process_time()
    yield
    took = (time.process_time() - before) / times
    shown = f"{took:.1f} s" if took >= 1 else f"{took * 1000:.0f} ms"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {what} | {shown} | {aim} | {peak:,.0f} MiB |")


def _path(fleet: int, variant: int) -> str:
    return f"fleets/f{fleet}/gateway-v{variant}/rollout.json"


def _all_installed(workspace: Workspace, devices: int) -> None:
    """As if every device had reported twice; written directly, as the intake has a benchmark of its own."""
    from registry.contract.cohort import buckets
    from registry.database import open_database, writing
    from registry.health.tables import health, presence
    from registry.rollout import show_release

    release = show_release(workspace, "north-r1")
    ids = [f"gw-{i:07}" for i in range(devices)]
    places = buckets(release.id, ids).tolist()
    columns = [c.name for c in health.columns]
    now = int(time.time())
    said = {
        "rollout_id": release.id,
        "variant": VARIANT,
        "generation": 1,
        "attempt": 1,
        "counter": 2,
        "sequence_number": 1,
        "outcome": "installed",
        "running_sha256": release.manifests[0].artefact_sha256,
        "self_test_passed": True,
        "errors": 0,
        "latency_us": 900,
        "boot_id": "b",
        "first_at": now,
        "settled_at": now,
        "reports": 2,
    }
    template = [said.get(name) for name in columns]
    device, bucket = columns.index("device_id"), columns.index("bucket")

    def row(i: int) -> tuple[Any, ...]:
        values = list(template)
        values[device], values[bucket] = ids[i], places[i]
        return tuple(values)

    marks = ", ".join("?" * len(columns))
    with writing(open_database(workspace.database_url)) as connection:
        for start in range(0, devices, ROWS):
            some = range(start, min(devices, start + ROWS))
            connection.exec_driver_sql(f"INSERT INTO {health.name} VALUES ({marks})", [row(i) for i in some])  # noqa: S608
            connection.exec_driver_sql(
                f"INSERT INTO {presence.name} VALUES (?, ?, ?, ?, ?)",  # noqa: S608
                [(ids[i], now, 2, "", 1) for i in some],
            )


if __name__ == "__main__":
    main()
