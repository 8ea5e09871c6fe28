"""Telemetry files of a small plant in which it is known what broke when, and a detector that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from components.runtime.scaling import MISSING_CODE, Calibration, Converter, Scaling, gain_for
from components.training.judging.detector import Detector, Scored

CHANNELS = ("flow", "pressure", "heat")
CLASSES = ("normal", "leak", "clog")
STEPS, INTERVAL_S, LENGTH = 16, 60.0, 960
BROKEN = {"d1": (500, 620, "flow"), "d3": (700, 790, "heat"), "d4": (600, 680, "flow;heat")}
"""Device -> first step, step past the last, channels."""
_CLIP = 6.0
_START = pd.Timestamp("2026-01-01", tz="UTC")


def detector(threshold: float | None = 2.0, anomaly: str = "anomaly") -> Detector:
    """Scores are the log2 of the mean squared deviation; a window with a high flow is a leak."""
    count = len(CHANNELS)
    calibration = Calibration(120, gain_for(_CLIP), (20,) * count, Scaling((0,) * count, (655,) * count))

    def score(codes: np.ndarray, profiles: np.ndarray) -> Scored:
        del profiles
        values = np.where(codes == MISSING_CODE, 0, codes).astype(np.float32) * np.float32(_CLIP / 127)
        flow = values[:, :, 0].mean(axis=1).astype(float)
        residual = values**2
        logits = np.stack([np.zeros(len(codes)), flow - 1.5, np.full(len(codes), -9.0)], axis=1)
        return Scored(np.log2(np.maximum(residual.mean(axis=(1, 2)), 1e-6)).astype(float), residual, {"fault": logits})

    return Detector(
        name="by hand",
        kind="trained model",
        channels=CHANNELS,
        steps=STEPS,
        core=(0, STEPS),
        converter=Converter((0.01,) * count, (0.0,) * count),
        calibration=calibration,
        anomaly=anomaly,
        classes={"fault": CLASSES},
        threshold=threshold,
        false_alarm_share=0.01,
        raise_after=2,
        clear_after=3,
        score=score,
    )


def telemetry(devices: int = 6, seed: int = 1) -> pd.DataFrame:
    """device_id, time, channels; devices in `BROKEN` are five deviations off in the named channels."""
    random = np.random.default_rng(seed)
    parts = []
    for number in range(devices):
        name = f"d{number}"
        values = random.normal(0, 1, (LENGTH, len(CHANNELS))) + number
        if name in BROKEN:
            first, last, channels = BROKEN[name]
            for channel in channels.split(";"):
                values[first:last, CHANNELS.index(channel)] += 5
        frame = pd.DataFrame(values, columns=list(CHANNELS))
        frame.insert(0, "time", _START + pd.to_timedelta(np.arange(LENGTH) * INTERVAL_S, unit="s"))
        frame.insert(0, "device_id", name)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def segments() -> pd.DataFrame:
    """device_id, start, end, root_cause of everything in `BROKEN`."""
    return pd.DataFrame(
        [
            {"device_id": device, "start": at(first).isoformat(), "end": at(last).isoformat(), "root_cause": channels}
            for device, (first, last, channels) in BROKEN.items()
        ]
    )


def row_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """device_id, time, label in {0, 1} of every row."""
    labels = frame[["device_id", "time"]].assign(label=0)
    for device, (first, last, _) in BROKEN.items():
        mine = (labels["device_id"] == device) & (labels["time"] >= at(first)) & (labels["time"] < at(last))
        labels.loc[mine, "label"] = 1
    return labels


def at(step: int) -> pd.Timestamp:
    return _START + pd.Timedelta(seconds=step * INTERVAL_S)


def written(frame: pd.DataFrame, file: Path) -> Path:
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file, index=False)
    return file
