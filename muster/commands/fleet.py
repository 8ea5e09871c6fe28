"""`muster fleet`: who is out there, and how they are."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from components.workspace import open_workspace
from muster.commands.simulate import simulate
from muster.console import Json, emit_json, emit_line, emit_table

app = typer.Typer(no_args_is_help=True, help="Fleets: the devices of the inventory.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]


@app.command("import")
def import_inventories(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Read the inventory of every fleet, a CSV, a Parquet file or a database; the same again changes nothing."""
    from registry.inventory import import_devices

    done = import_devices(open_workspace(workspace))
    if json:
        emit_json("fleet-import", asdict(done))
    else:
        emit_line(f"{done.devices} devices: {done.added} added, {done.changed} changed, {done.removed} removed")


@app.command("list")
def list_fleets(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Devices per fleet, profile and firmware version, and the firmware variant that takes them."""
    from registry.inventory import count_devices

    groups = count_devices(open_workspace(workspace))
    if json:
        emit_json("fleets", [asdict(g) for g in groups])
        return
    rows = [
        (g.fleet, " ".join(filter(None, (g.profile, g.revision))), g.firmware, g.devices, g.variant or f"none: {g.reason}")
        for g in groups
    ]
    emit_table("Fleets", ("fleet", "profile", "firmware", "devices", "variant"), rows)


@app.command()
def show(
    fleet: Annotated[str, typer.Argument(help="name of a fleet")],
    workspace: WorkspacePath = Path(),
    limit: Annotated[int, typer.Option(min=1, help="devices to show")] = 50,
    json: Json = False,
) -> None:
    """The devices of one fleet, and whether the inventory or a report says which firmware they have."""
    from registry.health.enrolment import states
    from registry.health.running import running
    from registry.inventory import count_fleet, list_devices, words

    opened = open_workspace(workspace)
    total = count_fleet(opened, fleet)
    devices = list_devices(opened, fleet=fleet, limit=limit)
    latest = states(opened, [d.device_id for d in devices])
    key = {d.device_id: latest[d.device_id].state if d.device_id in latest else "none" for d in devices}
    runs, said = running(opened, [d.device_id for d in devices]), words(opened, [d.device_id for d in devices])
    if json:
        shown = [
            asdict(d)
            | {"key": key[d.device_id], "runs": asdict(runs[d.device_id]) if d.device_id in runs else None}
            | {"reported_firmware": asdict(said[d.device_id]) if d.device_id in said else None}
            for d in devices
        ]
        emit_json("fleet", {"fleet": fleet, "devices": total, "shown": shown})
        return
    rows = [
        (
            d.device_id,
            " ".join(filter(None, (d.hardware_profile, d.hardware_revision))),
            f"{d.firmware_version} (reported {_time(said[d.device_id].at)})" if d.device_id in said else d.firmware_version,
            runs[d.device_id].model if d.device_id in runs else "-",
            d.site,
            key[d.device_id],
            d.via,
        )
        for d in devices
    ]
    columns = ("device", "profile", "firmware", "runs", "site", "key", "via")
    emit_table(f"Fleet {fleet}: {len(rows)} of {total} devices", columns, rows)


@app.command()
def health(
    workspace: WorkspacePath = Path(),
    fleet: Annotated[str | None, typer.Option(help="one fleet; default: all")] = None,
    release: Annotated[str | None, typer.Option(help="a release, also one that has ended; default: what is offered now")] = None,
    limit: Annotated[int, typer.Option(min=0, help="silent devices to show")] = 20,
    json: Json = False,
) -> None:
    """What devices reported, by variant and outcome; who is silent; and which reports were refused."""
    from registry.health.summary import fleet_health

    found = fleet_health(open_workspace(workspace), fleet, release)
    if json:
        emit_json("fleet-health", asdict(found))
        return
    rows = [
        (r.release, r.state, v.variant, v.cohort, ", ".join(f"{n} {o}" for o, n in v.outcomes.items()) or "-", len(v.silent))
        for r in found.releases
        for v in r.variants
    ]
    if not rows:
        emit_line("no release is offered now")
    else:
        emit_table("Health", ("release", "state", "variant", "cohort", "said last", "silent"), rows)
    silent = [(v.variant, d, _time(found.last_seen.get(d))) for r in found.releases for v in r.variants for d in v.silent]
    if silent[:limit]:
        emit_line()
        emit_table(
            f"Silent: {min(limit, len(silent))} of {len(silent)} devices", ("variant", "device", "last heard"), silent[:limit]
        )
    if found.rejections:
        emit_line()
        refused = [(r.fleet or "-", r.release or "-", r.reason, r.deliveries, _time(r.last_at)) for r in found.rejections]
        emit_table("Refused deliveries", ("fleet", "release", "reason", "deliveries", "last"), refused)


app.command()(simulate)


def _time(seconds: int | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else "never"
