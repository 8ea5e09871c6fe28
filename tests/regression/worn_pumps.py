"""A small plant whose pumps wear out: every kind of task in one workspace, with everything declared."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from components.ingestion.scaffold import SHIPPED_PROFILES

DEVICES, LONGEST, STEPS = 16, 480, 16
RANGE = (0.0, 300.0)
START = pd.Timestamp("2026-01-01", tz="UTC")
PROFILES = ("gateway-x86-64", "phone-litert", "mcu-cortex-m4")


def make(root: Path, **model: object) -> Path:
    """Write muster.yaml, profiles, raw/, life.csv, state.csv, truth.csv and fleet.csv; ``model`` overrides its section."""
    random = np.random.default_rng(5)
    (root / "raw").mkdir(parents=True)
    (root / "profiles").mkdir()
    for name in PROFILES:
        shutil.copyfile(SHIPPED_PROFILES / f"{name}.yaml", root / "profiles" / f"{name}.yaml")
    rows = [_pump(number, random) for number in range(DEVICES)]
    pd.concat(rows)[["device_id", "time", "flow", "heat", "load"]].to_parquet(root / "raw" / "all.parquet", index=False)
    life = pd.concat([_segments(pump, pump["life"]) for pump in rows])
    state = pd.concat([_segments(pump, np.where(pump["load"] > 0, "busy", "idle")) for pump in rows])
    life.to_csv(root / "life.csv", index=False)
    state.to_csv(root / "state.csv", index=False)
    pd.concat([life.assign(task="life"), state.assign(task="state")]).to_csv(root / "truth.csv", index=False)
    fleet = pd.DataFrame({"device_id": [f"pump-{n}" for n in range(DEVICES)]}).assign(
        fleet="pumps", hardware_profile="gateway-x86-64", firmware_version="1.0", site="", public_key="", via=""
    )
    fleet.to_csv(root / "fleet.csv", index=False)
    (root / "muster.yaml").write_text(yaml.safe_dump(_settings(model), sort_keys=False))
    return root


def _pump(number: int, random: np.random.Generator) -> pd.DataFrame:
    """Flow falls and heat rises as the pump wears out, a little earlier on some pumps; load changes now and then."""
    steps = int(random.integers(LONGEST // 2, LONGEST))
    life = np.arange(steps)[::-1].astype(float)
    worn = np.clip(1 - life / RANGE[1], 0, 1)
    load = np.repeat(np.where(random.random(steps // 24 + 1) < 0.5, 1.0, -1.0), 24)[:steps]
    noise = random.normal(0, 0.15, (3, steps))
    return pd.DataFrame(
        {
            "device_id": f"pump-{number}",
            "time": START + pd.to_timedelta(np.arange(steps), unit="min"),
            "flow": -2 * worn + noise[0],
            "heat": worn**2 + 0.3 * load + noise[1],
            "load": load + 0.1 * noise[2],
            "life": life,
        }
    )


def _segments(pump: pd.DataFrame, values: object) -> pd.DataFrame:
    """One a step, runs of equal values as one."""
    step = pump.assign(value=values)
    run = (step["value"] != step["value"].shift()).cumsum()
    found = step.groupby(run).agg(
        device_id=("device_id", "first"), start=("time", "min"), end=("time", "max"), value=("value", "first")
    )
    found["end"] += pd.Timedelta(minutes=1)
    return found.assign(**{name: found[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in ("start", "end")})


def _settings(model: dict[str, object]) -> dict[str, object]:
    return {
        "name": "worn-pumps",
        "storage": {"source": "raw"},
        "telemetry": {
            "interval_s": 60.0,
            "channels": [{"name": name, "unit": "1", "range": [-10.0, 10.0]} for name in ("flow", "heat", "load")],
        },
        "windows": {"steps": STEPS, "stride": 4, "calibration_steps": 0},
        "tasks": [
            {"name": "anomaly", "kind": "anomaly"},
            {"name": "state", "kind": "classes", "classes": ["idle", "busy"], "labels": "gold", "gold": "state.csv"},
            {"name": "life", "kind": "regression", "labels": "gold", "gold": "life.csv", "unit": "cycles", "range": list(RANGE)},
        ],
        "evaluation": {"truth": "truth.csv"},
        "model": {"width": 16, "blocks": 2, "pretrain_steps": 100, "finetune_steps": 300} | model,
        "profiles": list(PROFILES),
        "fleets": [{"name": "pumps", "inventory": "fleet.csv", "variants": [{"name": "all", "firmware": ">=1"}]}],
        "release": {"stages": [{"name": "all", "share": 1.0, "decided_by": "people"}]},
    }
