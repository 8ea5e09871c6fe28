"""A trained telemetry model in its deploy form: plain arrays, no framework."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import Calibration, Converter
from components.runtime.trees import Trees
from components.runtime.wide import Wide
from components.values.architecture import Architecture, Head, Weights, architecture_of, for_type, heads_of
from components.values.curves import Point, load_curves, save_curves
from components.values.shaped import Shaped
from components.workspace.files import sha256_tree, write_json

SHAPES = "shape."
"""What the names of arrays of `Shaped` begin with."""


@dataclass(frozen=True)
class Normal:
    """How normal windows look to the model; `quantization` turns it into the integers of `runtime.scoring.Scoring`.

    ``residual_variance``: (channels,) of correction residuals in the core, in standard deviations squared.
    ``calibration_rows``: positions in `Windows` of the normal windows that training did not see; every artefact calibrates
    its threshold on them.
    """

    residual_variance: NDArray[np.float32]
    calibration_rows: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TrainedModel(ABC):
    """What a trained model of every kind carries to make verdicts of raw samples.

    ``core``: first step and step past the last that a window's score speaks for (`workspace.settings.Windows.core`).
    ``metrics``: flat name -> number, from held-out devices (names: `<task>/<method>/<metric>`).
    ``labels``: task -> what is known of the labels it learned from: version, model, coverage, entropy.
    ``false_alarm_share``: accepted share of normal windows at or above the threshold.
    ``threshold``: log2 score that this share of the calibration windows reaches; None where a model was kept before
    thresholds were. Artefacts have their own, in their own arithmetic.
    ``curves``: the losses on the way, in the order of training.
    """

    kind: ClassVar[str]
    name: str
    channels: tuple[str, ...]
    converter: Converter
    calibration: Calibration
    core: tuple[int, int]
    has_anomaly: bool
    false_alarm_share: float
    metrics: dict[str, float]
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    threshold: float | None = None
    curves: tuple[Point, ...] = ()

    @property
    @abstractmethod
    def steps(self) -> int:
        """Samples of a window."""

    @property
    @abstractmethod
    def heads(self) -> tuple[Head, ...]:
        """The tasks that it decides classes of, or says numbers of."""

    @property
    @abstractmethod
    def calibration_rows(self) -> NDArray[np.int64]:
        """Positions in `Windows` of the normal windows that training did not see: artefacts calibrate on them."""

    def for_profile(self, profile: str, shape: str = "") -> Self:
        """The model that devices of the hardware profile run: this one, or one that was made for them out of it: the first, or
        the one called ``shape``.
        """
        return self

    @abstractmethod
    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """(arrays, facts as JSON) of what this kind adds."""

    @classmethod
    @abstractmethod
    def of_parts(cls, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], common: dict[str, Any]) -> TrainedModel:
        """The inverse of `parts`; ``common``: the fields that every kind has."""

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, `model.json`, `metrics.json`, `labels.json` and `curves.json`."""
        from safetensors.numpy import save

        arrays, facts = self.parts()
        (folder / "model.safetensors").write_bytes(save({k: np.ascontiguousarray(v) for k, v in sorted(arrays.items())}))
        common = {
            "kind": self.kind,
            "name": self.name,
            "channels": list(self.channels),
            "converter": asdict(self.converter),
            "calibration": self.calibration.to_json(),
            "core": list(self.core),
            "has_anomaly": self.has_anomaly,
            "false_alarm_share": self.false_alarm_share,
            "threshold": self.threshold,
        }
        write_json(folder / "model.json", common | facts)
        write_json(folder / "metrics.json", self.metrics)
        write_json(folder / "labels.json", self.labels)
        save_curves(folder, self.curves)

    @staticmethod
    def load(folder: Path) -> TrainedModel:
        """The model in ``folder``, of the kind that it says it is."""
        from safetensors.numpy import load_file

        meta: dict[str, Any] = json.loads((folder / "model.json").read_text())
        common = {
            "name": meta["name"],
            "channels": tuple(meta["channels"]),
            "converter": Converter(tuple(meta["converter"]["lsb"]), tuple(meta["converter"]["offset"])),
            "calibration": Calibration.from_json(meta["calibration"]),
            "core": (meta["core"][0], meta["core"][1]),
            "has_anomaly": meta["has_anomaly"],
            "false_alarm_share": meta["false_alarm_share"],
            "metrics": json.loads((folder / "metrics.json").read_text()),
            "labels": json.loads((folder / "labels.json").read_text()),
            "threshold": meta.get("threshold"),
            "curves": load_curves(folder),
        }
        return _KINDS[meta.get("kind", ElectraModel.kind)].of_parts(load_file(folder / "model.safetensors"), meta, common)

    @staticmethod
    def digest(folder: Path) -> str:
        return sha256_tree(folder, [folder / "model.safetensors", folder / "model.json"])


@dataclass(frozen=True, kw_only=True)
class ElectraModel(TrainedModel):
    """A network in its deploy form and how normal windows look to it. Its log2 score is that of `models.scores`.

    ``wide``: task -> the wide part whose logits are added to the network's. ``shapes``: networks for profiles that this one
    does not suit.
    """

    kind: ClassVar[str] = "electra"
    architecture: Architecture
    weights: Weights
    normal: Normal
    wide: dict[str, Wide] = field(default_factory=dict)
    shapes: tuple[Shaped, ...] = ()

    @property
    def steps(self) -> int:
        return self.architecture.steps

    @property
    def heads(self) -> tuple[Head, ...]:
        return self.architecture.heads

    @property
    def calibration_rows(self) -> NDArray[np.int64]:
        return self.normal.calibration_rows

    def for_profile(self, profile: str, shape: str = "") -> ElectraModel:
        """The network made for the profile, where there is one; else `trained_for` it. A threshold is that of the artefact
        alone then.
        """
        for one in self.shapes_for(profile):
            if shape in ("", one.name):
                normal = replace(self.normal, residual_variance=one.residual_variance)
                network = replace(self, architecture=one.architecture, weights=one.weights, normal=normal)
                return replace(network, shapes=(), threshold=None)
        return self.trained_for(profile)

    def shapes_for(self, profile: str) -> tuple[Shaped, ...]:
        """The networks that were made for the profile, which compete for it."""
        return tuple(shape for shape in self.shapes if profile in shape.profiles)

    def trained_for(self, profile: str) -> ElectraModel:
        """The trained network with what is constant on devices of the profile computed."""
        if not self.architecture.types:
            return self
        architecture, weights = for_type(self.architecture, self.weights, profile)
        return replace(self, architecture=architecture, weights=weights)

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays: dict[str, NDArray[Any]] = dict(self.weights) | {
            "normal.residual_variance": self.normal.residual_variance,
        }
        plain: dict[str, NDArray[Any]] = {k: v.astype(np.float32) for k, v in arrays.items()}
        plain["normal.calibration_rows"] = self.normal.calibration_rows.astype(np.int64)
        for task, wide in self.wide.items():
            plain |= {f"wide.{task}.{name}": array for name, array in wide.arrays().items()}
        for shape in self.shapes:
            plain |= {f"{SHAPES}{shape.name}.{name}": array for name, array in shape.arrays().items()}
        return plain, {"architecture": asdict(self.architecture), "shapes": [shape.facts() for shape in self.shapes]}

    @classmethod
    def of_parts(cls, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], common: dict[str, Any]) -> ElectraModel:
        architecture = architecture_of(facts["architecture"])
        shapes = [Shaped.of_parts(arrays, f"{SHAPES}{told['name']}.", told) for told in facts.get("shapes", ())]
        return cls(
            **common,
            architecture=architecture,
            weights={k: v for k, v in arrays.items() if not k.startswith(("normal.", "wide.", SHAPES))},
            wide={
                head.task: Wide.of_arrays(arrays, f"wide.{head.task}.")
                for head in architecture.heads
                if f"wide.{head.task}.bias" in arrays
            },
            normal=Normal(arrays["normal.residual_variance"], arrays["normal.calibration_rows"]),
            shapes=tuple(shapes),
        )


@dataclass(frozen=True, kw_only=True)
class BoostedModel(TrainedModel):
    """Boosted trees on the features of `runtime.window_features`. What is evaluated is what devices compute.

    ``trees``: task -> its trees; a weakly labelled anomaly task has trees and no head. ``scored``: the task whose
    trees give the anomaly score, `runtime.trees.log_odds`. ``decides``: the tasks that it decides classes of.
    ``quiet``: the calibration rows. ``window_steps``: samples of a window.
    """

    kind: ClassVar[str] = "gradient_boosting"
    trees: dict[str, Trees]
    scored: str
    decides: tuple[Head, ...]
    quiet: NDArray[np.int64]
    window_steps: int

    @property
    def steps(self) -> int:
        return self.window_steps

    @property
    def heads(self) -> tuple[Head, ...]:
        return self.decides

    @property
    def calibration_rows(self) -> NDArray[np.int64]:
        return self.quiet

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays = {f"{task}.{name}": getattr(one, name) for task, one in self.trees.items() for name in _TREE_ARRAYS}
        heads = [asdict(head) for head in self.decides]
        facts = {"tasks": sorted(self.trees), "scored": self.scored, "heads": heads, "steps": self.window_steps}
        return arrays | {"normal.calibration_rows": self.quiet}, facts

    @classmethod
    def of_parts(cls, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], common: dict[str, Any]) -> BoostedModel:
        return cls(
            **common,
            trees={task: Trees(**{name: arrays[f"{task}.{name}"] for name in _TREE_ARRAYS}) for task in facts["tasks"]},
            scored=facts["scored"],
            decides=heads_of(facts["heads"]),
            quiet=arrays["normal.calibration_rows"],
            window_steps=facts["steps"],
        )


_KINDS: dict[str, type[TrainedModel]] = {model.kind: model for model in (ElectraModel, BoostedModel)}
_TREE_ARRAYS = tuple(one.name for one in fields(Trees))
