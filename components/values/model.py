"""A trained telemetry model in its deploy form: plain arrays, no framework."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import Calibration, Converter
from components.values.curves import Point, load_curves, save_curves
from components.workspace.files import sha256_tree, write_json

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Head:
    """A classification head of one task on the embedding."""

    task: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """A stack of depthwise separable 1-D convolutions, all 'same' padded, stride 1, over (steps, channels).

    The deploy form has batch norm folded and no dropout::

        x: (steps, channels), codes * input_scale, 0 where missing
        h = relu(conv(x, stem.weight, stem.bias))                       stem.weight (width, channels, 3)
        for i in range(blocks):
            d = relu(depthwise(h, block{i}.depthwise.weight, .bias))    (width, 1, kernel)
            h = relu(h + conv(d, block{i}.pointwise.weight, .bias))     (width, width, 1)
        correction = conv(h, correct.weight, correct.bias)              (channels, width, 1) -> (steps, channels)
        embedding = mean of h over steps                                (width,)
        logits[task] = embedding @ head.{task}.weight.T + head.{task}.bias      (classes, width)

    ``input_scale`` is the value of one input code (standard deviations).
    """

    steps: int
    channels: int
    width: int
    blocks: int
    kernel: int
    input_scale: float
    heads: tuple[Head, ...]


@dataclass(frozen=True)
class Normal:
    """How normal windows look to the model; `quantization` turns it into the integers of `runtime.scoring.Scoring`.

    ``residual_variance``: (channels,) of correction residuals in standard deviations squared.
    ``embedding_mean``: (width,), ``whitening``: (width, width), W with W @ cov @ W.T = 1.
    ``mix``: weights of residual and distance. ``calibration_rows``: positions in `Windows` of the normal windows
    that training did not see; every artefact calibrates its threshold on them.
    """

    residual_variance: NDArray[np.float32]
    embedding_mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    mix: tuple[float, float]
    calibration_rows: NDArray[np.int64]


@dataclass(frozen=True)
class TrainedModel:
    """Weights and everything that makes scores of raw samples.

    ``metrics``: flat name -> number, from held-out devices (names: `<task>/<method>/<metric>`).
    ``labels``: task -> what is known of the labels it learned from: version, model, coverage, entropy.
    ``false_alarm_share``: accepted share of normal windows at or above the threshold.
    ``threshold``: log2 score (`models.scores`) that this share of the calibration windows reaches; None where a model was
    kept before thresholds were. Artefacts have their own, in their own arithmetic.
    ``curves``: the losses on the way, in the order of training.
    """

    name: str
    architecture: Architecture
    weights: Weights
    normal: Normal
    channels: tuple[str, ...]
    converter: Converter
    calibration: Calibration
    has_anomaly: bool
    false_alarm_share: float
    metrics: dict[str, float]
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    threshold: float | None = None
    curves: tuple[Point, ...] = ()

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, `model.json`, `metrics.json`, `labels.json` and `curves.json`."""
        from safetensors.numpy import save

        arrays = dict(self.weights) | {
            "normal.residual_variance": self.normal.residual_variance,
            "normal.embedding_mean": self.normal.embedding_mean,
            "normal.whitening": self.normal.whitening,
        }
        plain = {k: np.ascontiguousarray(v, np.float32) for k, v in sorted(arrays.items())}
        data = save(plain | {"normal.calibration_rows": np.ascontiguousarray(self.normal.calibration_rows, np.int64)})
        (folder / "model.safetensors").write_bytes(data)
        write_json(
            folder / "model.json",
            {
                "name": self.name,
                "architecture": asdict(self.architecture),
                "mix": list(self.normal.mix),
                "channels": list(self.channels),
                "converter": asdict(self.converter),
                "calibration": self.calibration.to_json(),
                "has_anomaly": self.has_anomaly,
                "false_alarm_share": self.false_alarm_share,
                "threshold": self.threshold,
            },
        )
        write_json(folder / "metrics.json", self.metrics)
        write_json(folder / "labels.json", self.labels)
        save_curves(folder, self.curves)

    @classmethod
    def load(cls, folder: Path) -> TrainedModel:
        from safetensors.numpy import load_file

        meta: dict[str, Any] = json.loads((folder / "model.json").read_text())
        arrays = load_file(folder / "model.safetensors")
        shape = dict(meta["architecture"])
        shape["heads"] = tuple(Head(h["task"], tuple(h["classes"])) for h in shape["heads"])
        return cls(
            name=meta["name"],
            architecture=Architecture(**shape),
            weights={k: v for k, v in arrays.items() if not k.startswith("normal.")},
            normal=Normal(
                arrays["normal.residual_variance"],
                arrays["normal.embedding_mean"],
                arrays["normal.whitening"],
                (meta["mix"][0], meta["mix"][1]),
                arrays["normal.calibration_rows"],
            ),
            channels=tuple(meta["channels"]),
            converter=Converter(tuple(meta["converter"]["lsb"]), tuple(meta["converter"]["offset"])),
            calibration=Calibration.from_json(meta["calibration"]),
            has_anomaly=meta["has_anomaly"],
            false_alarm_share=meta["false_alarm_share"],
            metrics=json.loads((folder / "metrics.json").read_text()),
            labels=json.loads((folder / "labels.json").read_text()),
            threshold=meta.get("threshold"),
            curves=load_curves(folder),
        )

    @staticmethod
    def digest(folder: Path) -> str:
        return sha256_tree(folder, [folder / "model.safetensors", folder / "model.json"])
