"""A small plant whose devices leak now and then: the flow hardly shows it, the devices' own error log does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from components.ingestion.scaffold import SHIPPED_PROFILES

DEVICES, LENGTH, LEAK, STEPS = 24, 640, 48, 16
START = pd.Timestamp("2026-01-01", tz="UTC")
ERRORS = {"name": "errors", "unit": "1", "range": [0.0, 4.0], "records": {"source": "log", "codes": ["FLOW_*"], "value": "count"}}
SERVICED = {"name": "serviced", "unit": "h", "range": [0.0, 4.0], "records": {"source": "service", "value": "since"}}


def make(root: Path, *made_of_records: dict[str, object], **model: object) -> Path:
    """Write a workspace that has channels ``made_of_records`` beside flow and heat; ``model`` overrides its section."""
    random = np.random.default_rng(11)
    (root / "raw").mkdir(parents=True)
    (root / "profiles").mkdir()
    shutil.copyfile(SHIPPED_PROFILES / "mcu-cortex-m4.yaml", root / "profiles" / "mcu-cortex-m4.yaml")
    parts = [_device(number, random) for number in range(DEVICES)]
    pd.concat([rows for rows, _, _ in parts]).to_parquet(root / "raw" / "all.parquet", index=False)
    pd.concat([log for _, log, _ in parts]).to_csv(root / "log.csv", index=False)
    services = [f"pump-{n},{START + pd.Timedelta(hours=1 + n % 5):%Y-%m-%dT%H:%M:%SZ},filter" for n in range(DEVICES)]
    (root / "service.csv").write_text("device_id,time,code\n" + "\n".join(services) + "\n")
    state = pd.concat([segments for _, _, segments in parts])
    state.to_csv(root / "state.csv", index=False)
    state.assign(task="state").to_csv(root / "truth.csv", index=False)
    fleet = pd.DataFrame({"device_id": [f"pump-{n}" for n in range(DEVICES)]}).assign(
        fleet="pumps", hardware_profile="mcu-cortex-m4", firmware_version="1.0", site="", public_key="", via=""
    )
    fleet.to_csv(root / "fleet.csv", index=False)
    (root / "muster.yaml").write_text(yaml.safe_dump(_settings(list(made_of_records), model), sort_keys=False))
    return root


def _device(number: int, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rows, log and segments of one device, which leaks in about a third of its time."""
    leaking = np.repeat(random.random(LENGTH // LEAK + 1) < 0.35, LEAK)[:LENGTH]
    time = START + pd.to_timedelta(np.arange(LENGTH), unit="min")
    rows = pd.DataFrame(
        {
            "device_id": f"pump-{number}",
            "time": time,
            "flow": random.normal(0, 1, LENGTH) - 0.2 * leaking,
            "heat": random.normal(0, 1, LENGTH),
        }
    )
    struck = np.flatnonzero(random.random(LENGTH) < np.where(leaking, 0.3, 0.01))
    idle = np.flatnonzero(random.random(LENGTH) < 0.2)
    at = np.concatenate([struck, idle])
    codes = ["FLOW_LOW"] * len(struck) + ["DOOR"] * len(idle)
    seconds = at * 60 - random.integers(0, 60, len(at))
    log = pd.DataFrame({"device_id": f"pump-{number}", "time": START + pd.to_timedelta(seconds, unit="s"), "code": codes})
    step = rows.assign(value=np.where(leaking, "leak", "normal"))
    run = (step["value"] != step["value"].shift()).cumsum()
    found = step.groupby(run).agg(
        device_id=("device_id", "first"), start=("time", "min"), end=("time", "max"), value=("value", "first")
    )
    found["end"] += pd.Timedelta(minutes=1)
    written = {name: found[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in ("start", "end")}
    return rows, log.assign(time=log["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")), found.assign(**written)


def _settings(made_of_records: list[dict[str, object]], model: dict[str, object]) -> dict[str, object]:
    measured = [{"name": name, "unit": "1", "range": [-10.0, 10.0]} for name in ("flow", "heat")]
    return {
        "name": "logging-plant",
        "storage": {"source": "raw"},
        "telemetry": {"interval_s": 60.0, "channels": [*measured, *made_of_records]},
        "records": {"log": "log.csv", "service": "service.csv"},
        "windows": {"steps": STEPS, "stride": 8, "calibration_steps": 60},
        "tasks": [
            {"name": "anomaly", "kind": "anomaly"},
            {"name": "state", "kind": "classes", "classes": ["normal", "leak"], "labels": "gold", "gold": "state.csv"},
        ],
        "evaluation": {"truth": "truth.csv"},
        "model": {"width": 16, "blocks": 2, "pretrain_steps": 60, "finetune_steps": 120} | model,
        "profiles": ["mcu-cortex-m4"],
        "fleets": [{"name": "pumps", "inventory": "fleet.csv", "variants": [{"name": "all", "firmware": ">=1"}]}],
        "release": {"stages": [{"name": "all", "share": 1.0}]},
    }
