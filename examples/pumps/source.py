"""The simulated pumps: what their gateways uploaded, who they are, and (apart) what was wrong with them.

Each pump is a centrifugal pump with a variable-speed drive in a system of static head and pipe friction. By the
affinity laws its head at relative speed n and flow Q is ``n^2 * H0 - a * Q^2``; it runs where that meets
``Hs + R * Q^2`` (Gülich, Centrifugal Pumps, 4th ed., sections 1.8 and 11.1). Shaft power is flow times head over
efficiency, and the motor draws current for it. Every sensor has its own gain and offset.

Faults grow slowly from an onset and change physics, not readings:
cavitation   suction pressure drops; head, flow and vibration become unsteady
bearing_wear vibration grows, friction takes some more current
blockage     pipe friction grows: less flow, more discharge pressure, less current
leak         the pipe opens: more flow, less discharge pressure, more current

Demand follows day and night, pumps stop at times, neighbours shake them, sensors drop out, gateways send rows late or
twice, and some rows are corrupt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.ingestion.inventory import InventoryRow, demo_public_key, inventory_csv
from components.workspace.files import new_folder, write_text

START = np.datetime64("2026-01-05T00:00:00", "us")
STEPS = 3600  # minutes: two and a half days
OBJECT_STEPS = 360  # a gateway uploads every six hours
GATEWAYS, PUMPS = 4, 20  # gateways a site, pumps a gateway
SITES = {"north": "waterworks", "valley": "waterworks", "quay": "harbour"}
FAULTS = ("cavitation", "bearing_wear", "blockage", "leak")
FAULTY_SHARE = 0.35
VISIBLE = 0.15  # severity from which the truth calls it a fault
UNITS = {"inlet_pressure": "bar", "discharge_pressure": "bar", "flow": "m3/h", "motor_current": "A", "vibration": "mm/s"}
PROFILES = ("gateway-x86-64",) * 3 + ("gateway-arm64",) * 5 + ("phone-litert",) * 4 + ("mcu-cortex-m4",) * 8
FIRMWARE = ("1.4.2", "1.6.0", "2.1.0", "2.3.1", "3.0.0", "3.2.0")

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Group:
    """The pumps behind one gateway."""

    number: int
    site: str
    gateway: str
    devices: list[str]
    firmware: list[str]


def write(workspace_root: Path, data: Path | None, seed: int, scale: int = 1) -> None:
    """Write raw/, inventory.csv and truth/ below ``workspace_root``. ``scale`` multiplies the number of gateways."""
    groups = _groups(seed, scale)
    segments: list[pd.DataFrame] = []
    with new_folder(workspace_root / "raw") as raw:
        for group in groups:
            rng = np.random.default_rng([seed, group.number])
            severity, truth = _faults(rng, group)
            segments.append(truth)
            _upload(raw, rng, group, _sensors(rng, _physics(rng, severity, _ambient(seed, group.site))))
        broken = sorted(raw.rglob("*.parquet"))[len(groups) * 3]
        broken.write_bytes(broken.read_bytes()[:2000])  # an upload that was cut off
    write_text(workspace_root / "truth" / "segments.csv", pd.concat(segments).to_csv(index=False))
    write_text(workspace_root / "inventory.csv", inventory_csv(_inventory(groups, seed)))


def _groups(seed: int, scale: int) -> list[Group]:
    rng = np.random.default_rng([seed, 1_000_003])
    groups = []
    for number in range(len(SITES) * GATEWAYS * scale):
        site = list(SITES)[number // (GATEWAYS * scale)]
        devices = [f"pump-{number * PUMPS + i + 1:04d}" for i in range(PUMPS)]
        firmware = [str(v) for v in rng.choice(FIRMWARE, PUMPS)]
        groups.append(Group(number, site, f"gw-{number + 1:03d}", devices, firmware))
    return groups


def _inventory(groups: list[Group], seed: int) -> list[InventoryRow]:
    """Microcontrollers have no network of their own: their gateway's first x86 device verifies for them."""
    return [
        InventoryRow(
            device, SITES[g.site], profile, version, g.site, demo_public_key(seed, device),
            via=g.devices[0] if profile.startswith("mcu") else "",
        )
        for g in groups
        for device, profile, version in zip(g.devices, PROFILES, g.firmware, strict=True)
    ]  # fmt: skip


def _faults(rng: np.random.Generator, group: Group) -> tuple[dict[str, Array], pd.DataFrame]:
    """Severity of each fault, (pumps, steps) between 0 and 1, and the truth about them as segments."""
    t = np.arange(STEPS)
    kind = np.where(rng.random(PUMPS) < FAULTY_SHARE, rng.integers(0, len(FAULTS), PUMPS), -1)
    onset = rng.integers(14 * 60, 50 * 60, PUMPS)
    ramp = rng.integers(2 * 60, 10 * 60, PUMPS)
    top = rng.uniform(0.4, 1.0, PUMPS)
    repaired = np.where(rng.random(PUMPS) < 0.4, onset + ramp + rng.integers(4 * 60, 16 * 60, PUMPS), STEPS)
    grown = np.clip((t - onset[:, None]) / ramp[:, None], 0, 1) * top[:, None] * (t < repaired[:, None])
    severity = {fault: grown * (kind == i)[:, None] for i, fault in enumerate(FAULTS)}
    rows = []
    for p in np.flatnonzero(kind >= 0):
        seen = np.flatnonzero(grown[p] >= VISIBLE)
        if seen.size:
            begin, end = (f"{START + np.timedelta64(int(m), 'm')}"[:19] + "Z" for m in (seen[0], seen[-1] + 1))
            for task, value in (("anomaly", "anomaly"), ("fault", FAULTS[kind[p]])):
                rows.append((group.devices[p], begin, end, task, value))
    return severity, pd.DataFrame(rows, columns=["device_id", "start", "end", "task", "value"])


def _physics(rng: np.random.Generator, severity: dict[str, Array], ambient: Array) -> dict[str, Array]:
    """True pressures in bar, flow in m3/h, current in A and vibration in mm/s, each (pumps, steps)."""
    cavitation, wear, blockage, leak = (severity[f] for f in FAULTS)
    size = rng.uniform(0.7, 1.6, (PUMPS, 1))
    speed, running = _speed(rng)
    noise = rng.standard_normal((4, PUMPS, STEPS))
    unsteady = 1 + 0.05 * cavitation * noise[0]
    shut_off, static = 62.0 * rng.uniform(0.9, 1.1, (PUMPS, 1)), 12.0 * rng.uniform(0.8, 1.2, (PUMPS, 1))
    curve = 0.008 / size**2
    friction = 0.022 / size**2 * (1 + 1.6 * blockage) * (1 - 0.35 * leak)
    head_at_no_flow = speed**2 * shut_off * (1 - 0.07 * cavitation) * unsteady
    flow = np.sqrt(np.maximum(head_at_no_flow - static, 0.5) / (curve + friction)) * running
    head = (head_at_no_flow - curve * flow**2) * running + (1 - running) * static * 0.6
    inlet = 2.0 + ambient - 0.3 * (flow / (40 * size)) ** 2 - 0.5 * cavitation * running
    efficiency = 0.74 - 0.25 * (flow / (41 * size) - 1) ** 2 - 0.05 * cavitation
    shaft_kw = 9.81 * flow / 3600 * head / np.maximum(efficiency, 0.3) * (1 + 0.06 * wear) + 0.25 * size * running
    rough = 1 + 1.1 * wear + 0.8 * cavitation * np.exp(0.25 * noise[1])
    shaken = _events(rng, rate=1.2 / 1440, low=5, high=15) * rng.uniform(0.5, 2.0, (PUMPS, 1))
    vibration = (0.25 + 1.6 * speed**2 * rng.uniform(0.7, 1.4, (PUMPS, 1)) * rough * running) * np.exp(0.12 * noise[2]) + shaken
    return {
        "inlet_pressure": inlet,
        "discharge_pressure": inlet + head * 0.0981,
        "flow": flow,
        "motor_current": shaft_kw * 1000 / (np.sqrt(3) * 400 * 0.86 * 0.9),
        "vibration": vibration,
    }


def _speed(rng: np.random.Generator) -> tuple[Array, Array]:
    """Relative speed and whether the pump runs: day and night, steps of demand, stops."""
    t = np.arange(STEPS)
    daily = 0.07 * np.sin(2 * np.pi * (t / 1440 - 0.3) + rng.normal(0, 0.4, (PUMPS, 1)))
    jumps = rng.normal(0, 0.045, (PUMPS, STEPS)) * (rng.random((PUMPS, STEPS)) < 1 / 90)
    demand = np.clip(0.84 + daily + _decay(jumps, 0.995) + _decay(rng.normal(0, 0.004, (PUMPS, STEPS)), 0.9), 0.6, 1.0)
    return demand, 1 - _events(rng, rate=0.8 / 1440, low=10, high=30)


def _ambient(seed: int, site: str) -> Array:
    """(1, steps) level of the suction tank in bar around its mean; all pumps of a site draw from it."""
    rng = np.random.default_rng([seed, 2_000_003, list(SITES).index(site)])
    slow = _decay(rng.normal(0, 0.006, (1, STEPS)), 0.998)
    return np.asarray(0.15 * np.sin(2 * np.pi * np.arange(STEPS) / 1440 + 1.0) + slow)


def _sensors(rng: np.random.Generator, true: dict[str, Array]) -> dict[str, Array]:
    """What the sensors say: gain, offset, noise, and hours without an answer."""
    noise = {"inlet_pressure": 0.012, "discharge_pressure": 0.03, "flow": 0.25, "motor_current": 0.1, "vibration": 0.02}
    read = {}
    for name, value in true.items():
        gain, offset = rng.normal(1, 0.03, (PUMPS, 1)), rng.normal(0, noise[name] * 2, (PUMPS, 1))
        said = value * gain + offset + rng.normal(0, noise[name], value.shape)
        said[_events(rng, rate=0.25 / 1440, low=5, high=120) > 0] = np.nan
        read[name] = said if name.endswith("pressure") else np.maximum(said, 0)
    return read


def _upload(raw: Path, rng: np.random.Generator, group: Group, read: dict[str, Array]) -> None:
    """Write one object for every six hours; rows travel late, twice or broken."""
    steps, pumps = (a.ravel() for a in np.meshgrid(np.arange(STEPS), np.arange(PUMPS), indexing="ij"))
    time = START + steps.astype("timedelta64[m]") + rng.integers(0, 900, steps.size).astype("timedelta64[ms]")
    frame = pd.DataFrame({"device_id": np.asarray(group.devices, object)[pumps], "time": time})
    for name, value in read.items():
        frame[name] = value.T.ravel().astype(np.float32)
    frame["hardware_profile"] = np.asarray(PROFILES, object)[pumps]
    frame["firmware_version"] = np.asarray(group.firmware, object)[pumps]
    frame["site"] = group.site
    chunk = steps // OBJECT_STEPS
    late = rng.random(len(frame)) < 0.004
    chunk = np.minimum(chunk + late, STEPS // OBJECT_STEPS - 1)
    _corrupt(rng, frame)
    offline = _events(rng, rate=0.1 / 1440, low=20, high=90)[pumps, steps] > 0
    twice = np.flatnonzero(rng.random(len(frame)) < 0.002)
    rows = np.concatenate([np.flatnonzero(~offline), twice])
    for number in range(STEPS // OBJECT_STEPS):
        part = frame.iloc[rows[chunk[rows] == number]]
        stamp = str(START + np.timedelta64(number * OBJECT_STEPS, "m"))[:13].replace(":", "")
        _write_object(raw / f"site={group.site}" / f"gateway={group.gateway}" / f"{stamp}.parquet", part)


def _corrupt(rng: np.random.Generator, frame: pd.DataFrame) -> None:
    """Spoil about 0.5 % of the rows: impossible readings, a clock in 2106, lost identities."""
    fate = rng.random(len(frame))
    for i, name in enumerate(UNITS):
        frame.loc[(fate > 0.0005 * i) & (fate < 0.0005 * i + 0.0005), name] = np.float32(-999.0 if i % 2 else 9999.0)
    frame.loc[(fate > 0.0030) & (fate < 0.0038), "time"] = np.datetime64("2106-02-07T06:28:15", "us")
    frame.loc[(fate > 0.0038) & (fate < 0.0044), "device_id"] = None
    frame.loc[(fate > 0.0044) & (fate < 0.0050), "firmware_version"] = "unknown"


def _write_object(file: Path, part: pd.DataFrame) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(part, preserve_index=False)
    fields = [f.with_metadata({"unit": UNITS[f.name]}) if f.name in UNITS else f for f in table.schema]
    schema = pa.schema(fields)
    schema = schema.set(schema.get_field_index("time"), pa.field("time", pa.timestamp("us", tz="UTC")))
    pq.write_table(table.cast(schema), file, compression="zstd")


def _decay(shocks: Array, memory: float) -> Array:
    """First-order autoregression along the last axis, ``x[t] = memory * x[t-1] + shocks[t]``, by doubling."""
    x, weight, reach = shocks.copy(), memory, 1
    while reach < x.shape[-1]:
        x[..., reach:] += weight * x[..., :-reach].copy()
        weight, reach = weight**2, reach * 2
    return x


def _events(rng: np.random.Generator, *, rate: float, low: int, high: int) -> Array:
    """(pumps, steps), 1 during events that begin at ``rate`` a minute and last ``low`` to ``high`` minutes."""
    begins = rng.random((PUMPS, STEPS)) < rate
    edge = np.zeros((PUMPS, STEPS + high + 1))
    pump, step = np.nonzero(begins)
    np.add.at(edge, (pump, step), 1)
    np.add.at(edge, (pump, step + rng.integers(low, high, pump.size)), -1)
    return np.minimum(np.cumsum(edge, axis=1)[:, :STEPS], 1)
