"""A small simulated fleet and a network with sensible weights that no training made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.models.reference import forward
from components.quantization.quantize import quantize
from components.quantization.recipes.search import search
from components.runtime.scaling import Calibration, Converter, Scaling, gain_for
from components.runtime.wide import Wide, units_of
from components.values import Architecture, Artefact, ElectraModel, Head, TrainedModel, Windows
from components.values.model import Normal
from components.workspace import Workspace
from components.workspace.profiles import Profile
from components.workspace.settings import Settings

CHANNELS = ("flow", "pressure", "current", "vibration", "heat")
CLASSES = ("normal", "cavitation", "clogged", "leak", "bearing")
CLIP = 6.0
LIFE = (0.0, 125.0)


def built(made: Workspace, profile: Profile, model: TrainedModel, windows: Windows, cache: Path) -> Artefact:
    """The artefact by the recipe that the search finds."""
    return quantize(made, profile, model, windows, "d" * 64, search(profile, model, windows, cache))


def workspace(root: Path) -> Workspace:
    """A task of each kind, no truth: what quantisation and proof read of the configuration."""
    settings = Settings.model_validate(
        {
            "name": "plant",
            "storage": {"source": "raw"},
            "telemetry": {"interval_s": 60.0, "channels": [{"name": c, "unit": "1", "range": [-50.0, 50.0]} for c in CHANNELS]},
            "tasks": [
                {"name": "anomaly", "kind": "anomaly"},
                {"name": "fault", "kind": "classes", "classes": list(CLASSES), "labels": "weak"},
                {"name": "life", "kind": "regression", "labels": "gold", "gold": "life.csv", "unit": "cycles", "range": LIFE},
            ],
            "profiles": ["gateway"],
            "fleets": [{"name": "all", "inventory": "fleet.csv", "variants": [{"name": "any", "firmware": ">=1"}]}],
            "release": {"stages": [{"name": "all", "share": 1.0}]},
        }
    )
    return Workspace(root, settings, ())


def windows(devices: int = 6, per_device: int = 120, steps: int = 32, seed: int = 3) -> Windows:
    """Waves with noise, spikes in some windows, gaps in others; the last third of the devices is held out."""
    rng = np.random.default_rng(seed)
    n, c = devices * per_device, len(CHANNELS)
    converter = Converter((100 / 65000,) * c, (0.0,) * c)
    calibration = Calibration(240, gain_for(CLIP), (20,) * c, Scaling((0,) * c, (655,) * c))
    device = np.repeat(np.arange(devices), per_device)
    t = np.arange(steps)[None, :, None]
    phase = rng.uniform(0, 6.28, (n, 1, 1)) + np.arange(c)
    values = 4 * np.sin(t / 5 + phase) + rng.normal(0, 1, (n, steps, c)) + device[:, None, None] - 2
    spiked = rng.random(n) < 0.1
    values[spiked, 10:13] += rng.normal(0, 20, (int(spiked.sum()), 3, c))
    values = np.clip(values, -50, 50).astype(np.float32)
    values[rng.random(values.shape) < 0.02] = np.nan
    raw = converter.raw(values)
    scalings = {f"d{d}": calibration.learn(raw[device == d].reshape(-1, c)) for d in range(devices)}
    codes = np.concatenate([scalings[f"d{d}"].codes(raw[device == d]) for d in range(devices)])
    return Windows(CHANNELS, values, codes, _index(device, per_device, devices), converter, calibration, scalings)


def model(data: Windows, width: int = 16, blocks: int = 3, kernel: int = 7, seed: int = 5, wide: bool = True) -> ElectraModel:
    """He-scaled random weights, a wide part, a correction, and the statistics of normal training windows."""
    rng = np.random.default_rng(seed)
    steps, channels = data.codes.shape[1:]
    shape = Architecture(
        steps, channels, width, blocks, kernel, CLIP / 127, (Head("fault", CLASSES), Head("life", unit="cycles", range=LIFE))
    )
    weights = weights_of(shape, rng)
    codes = np.asarray(data.codes[data.train])
    out = forward(shape, weights, codes)
    x = np.where(codes == -128, 0, codes) * np.float32(CLIP / 127)
    normal = Normal(((x - out.correction) ** 2).mean(axis=(0, 1)).astype(np.float32), np.flatnonzero(data.train)[::2])
    return ElectraModel(
        name="plant",
        architecture=shape,
        weights=weights,
        normal=normal,
        channels=data.channels,
        converter=data.converter,
        calibration=data.calibration,
        core=(steps // 4, 3 * steps // 4),
        has_anomaly=True,
        false_alarm_share=0.05,
        metrics={},
        wide={"fault": _wide(steps, channels, rng)} if wide else {},
    )


def profile(runtime: str, **changes: Any) -> Profile:
    """A profile for int8 that everything fits, or does not, by ``changes`` of its sections."""
    family = {"onnxruntime": "x86-64", "openvino": "x86-64", "litert": "aarch64", "c99": "armv7e-m"}[runtime]
    sections: dict[str, Any] = {
        "name": f"test-{runtime}",
        "description": "test",
        "arch": {"family": family, "cpu": "cortex-m4" if runtime == "c99" else "any"},
        "memory": {"model_flash_kib": 1024.0, "model_ram_kib": 65536.0},
        "runtime": {"name": runtime, "minimal": "1.0"},
        "quantization": {"precisions": ["int8"]},
        "proof": {"machine": "mps2-an386" if runtime == "c99" else "native", "vectors": 12},
    }
    return Profile.model_validate(sections | changes)


def weights_of(shape: Architecture, rng: np.random.Generator) -> dict[str, Any]:
    """He-scaled random weights in the deploy form."""

    def he(*size: int) -> Any:
        return (rng.normal(0, 1, size) * np.sqrt(2 / np.prod(size[1:]))).astype(np.float32)

    w = shape.width
    weights = {"stem.weight": he(w, shape.channels, 3), "stem.bias": rng.normal(0, 0.1, w).astype(np.float32)}
    for i in range(shape.blocks):
        weights[f"block{i}.depthwise.weight"] = he(w, 1, shape.kernel)
        weights[f"block{i}.depthwise.bias"] = rng.normal(0, 0.1, w).astype(np.float32)
        weights[f"block{i}.pointwise.weight"] = 0.3 * he(w, w, 1)
        weights[f"block{i}.pointwise.bias"] = rng.normal(0, 0.1, w).astype(np.float32)
    weights["correct.weight"], weights["correct.bias"] = he(shape.channels, w, 1) * 0.3, np.zeros(shape.channels, np.float32)
    for head in shape.heads:
        weights[f"head.{head.task}.weight"] = he(max(len(head.classes), 1), w) * (1 if head.classes else 0.3)
        weights[f"head.{head.task}.bias"] = np.zeros(max(len(head.classes), 1), np.float32)
        if not head.classes:
            weights[f"summary.{head.task}.weight"] = he(w, 1, shape.steps)
            weights[f"hidden.{head.task}.weight"] = he(w, w)
            weights |= {f"{n}.{head.task}.bias": rng.normal(0, 0.1, w).astype(np.float32) for n in ("summary", "hidden")}
    return weights


def _wide(steps: int, channels: int, rng: np.random.Generator) -> Wide:
    """Random, of a size at which the network is still heard."""
    weight = rng.normal(0, 2000, (len(CLASSES), channels, len(units_of(steps)))).astype(np.int16)
    base = rng.normal(0, 1 << 12, (channels, len(CLASSES))).astype(np.int32)
    return Wide(weight, base, rng.normal(0, 1 << 14, len(CLASSES)).astype(np.int32), 8)


def _index(device: Any, per_device: int, devices: int) -> pd.DataFrame:
    start = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.tile(np.arange(per_device), devices) * 32, unit="min")
    return pd.DataFrame(
        {
            "device_id": [f"d{d}" for d in device],
            "start": start,
            "end": start + pd.Timedelta(minutes=32),
            "site": "north",
            "hardware_profile": "test",
            "firmware_version": "1.0",
            "split": np.where(device < devices * 2 // 3, "train", "test"),
        }
    )
