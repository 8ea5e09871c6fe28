"""A small fleet of unlike devices: some lack the current sensor, and the flow reads differently on old hardware.

A hidden load drives flow, pressure and current. A clogged pump has too much pressure for its load, so what the load is
matters: the current tells it well, the flow roughly.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from components.ingestion.scaffold import SHIPPED_PROFILES

DEVICES, LENGTH, SPELL, STEPS = 32, 480, 40, 16
START = pd.Timestamp("2026-01-01", tz="UTC")
CHANNELS = ("flow", "pressure", "current", "heat")
PROFILES = ("gateway-x86-64", "phone-litert", "mcu-cortex-m4")


def make(root: Path, lacking: float = 0.5, *, reversed_flow: bool = False, **model: object) -> Path:
    """Write a workspace in which a share ``lacking`` of the devices has no current; ``model`` overrides its section.

    With ``reversed_flow`` the flow falls with the load on every device of the profile phone-litert.
    """
    random = np.random.default_rng(5)
    (root / "raw").mkdir(parents=True)
    (root / "profiles").mkdir()
    for name in PROFILES:
        shutil.copyfile(SHIPPED_PROFILES / f"{name}.yaml", root / "profiles" / f"{name}.yaml")
    parts = [_device(number, random, reversed_flow=reversed_flow) for number in range(DEVICES)]
    for number, (rows, _) in enumerate(parts):
        lacks = number // len(PROFILES) % 2 < 2 * lacking if lacking < 1 else True
        rows.drop(columns=["current"] if lacks else []).to_parquet(root / "raw" / f"{number:02}.parquet", index=False)
    state = pd.concat([segments for _, segments in parts])
    state.to_csv(root / "state.csv", index=False)
    state.assign(task="state").to_csv(root / "truth.csv", index=False)
    clogged = state[state["value"] == "clogged"].assign(task="anomaly")
    pd.concat([state.assign(task="state"), clogged]).to_csv(root / "truth.csv", index=False)
    fleet = pd.DataFrame({"device_id": [f"pump-{n}" for n in range(DEVICES)]}).assign(
        fleet="pumps",
        hardware_profile=[profile_of(n) for n in range(DEVICES)],
        firmware_version="1.0",
        site="",
        public_key="",
        via="",
    )
    fleet.to_csv(root / "fleet.csv", index=False)
    (root / "muster.yaml").write_text(yaml.safe_dump(_settings(model), sort_keys=False))
    return root


def profile_of(number: int) -> str:
    return PROFILES[number % len(PROFILES)]


def _device(number: int, random: np.random.Generator, *, reversed_flow: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and segments of one device."""

    def spells(values: object) -> np.ndarray:
        return np.repeat(np.asarray(values), SPELL)[:LENGTH]

    count = LENGTH // SPELL + 1
    clogged, load = spells(random.random(count) < 0.3), spells(random.normal(0, 1, count))
    noise = random.normal(0, 1, (4, LENGTH))
    turned = -1 if reversed_flow and profile_of(number) == "phone-litert" else 1
    rows = pd.DataFrame(
        {
            "device_id": f"pump-{number}",
            "time": START + pd.to_timedelta(np.arange(LENGTH), unit="min"),
            "hardware_profile": profile_of(number),
            "flow": turned * load + 0.7 * noise[0],
            "pressure": load + 1.2 * clogged + 0.4 * noise[1],
            "current": load + 0.2 * noise[2],
            "heat": 0.5 * load + 0.5 * noise[3],
        }
    )
    step = rows.assign(value=np.where(clogged, "clogged", "normal"))
    run = (step["value"] != step["value"].shift()).cumsum()
    found = step.groupby(run).agg(
        device_id=("device_id", "first"), start=("time", "min"), end=("time", "max"), value=("value", "first")
    )
    found["end"] += pd.Timedelta(minutes=1)
    return rows, found.assign(**{name: found[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in ("start", "end")})


def _settings(model: dict[str, object]) -> dict[str, object]:
    channels = [{"name": name, "unit": "1", "range": [-10.0, 10.0]} for name in CHANNELS]
    channels[2] |= {"optional": True}
    return {
        "name": "mixed-fleet",
        "storage": {"source": "raw"},
        "telemetry": {"interval_s": 60.0, "channels": channels, "context": {"hardware_profile": "hardware_profile"}},
        "windows": {"steps": STEPS, "stride": 8, "calibration_steps": 0},
        "tasks": [
            {"name": "anomaly", "kind": "anomaly"},
            {"name": "state", "kind": "classes", "classes": ["normal", "clogged"], "labels": "gold", "gold": "state.csv"},
        ],
        "evaluation": {"truth": "truth.csv"},
        "model": {"width": 16, "blocks": 2, "pretrain_steps": 100, "finetune_steps": 200} | model,
        "profiles": list(PROFILES),
        "fleets": [{"name": "pumps", "inventory": "fleet.csv", "variants": [{"name": "all", "firmware": ">=1"}]}],
        "release": {"stages": [{"name": "all", "share": 1.0}]},
    }
