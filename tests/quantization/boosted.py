"""Trees that no training made, on every shape of window, and the C of their artefact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from components.models.calibration import calibrate
from components.quantization.selftest import make_self_test
from components.quantization.targets.trees import compile_trees
from components.runtime.scaling import MISSING_CODE, Calibration, Converter, Scaling
from components.runtime.trees import Trees
from components.runtime.window_features import feature_names, window_features
from components.values import Artefact, BoostedModel, Head

from . import plant

CLASSES = ("normal", "worn", "broken")


def codes(count: int, steps: int, channels: int, seed: int, missing: float = 0.1) -> np.ndarray:
    """Random codes: noise of any spread on any level, some windows of extremes only, some without a sample."""
    rng = np.random.default_rng(seed)
    level, spread = rng.uniform(-127, 127, (count, 1, channels)), rng.choice([0, 1, 20, 300], (count, 1, channels))
    values = np.clip(np.rint(level + spread * rng.normal(size=(count, steps, channels))), -127, 127).astype(np.int8)
    share = rng.choice([0.0, missing, 0.95, 1.0], (count, 1, channels), p=[0.5, 0.3, 0.1, 0.1])
    values[rng.random(values.shape) < share] = MISSING_CODE
    return values


def trees(features: np.ndarray, classes: int, seed: int, rounds: int = 4, depth: int = 3) -> Trees:
    """Random splits at values that occur, so that windows go both ways."""
    rng = np.random.default_rng(seed)
    count, inner = rounds * classes, (1 << depth) - 1
    feature = rng.integers(0, features.shape[1], (count, inner)).astype(np.int16)
    threshold = features[rng.integers(0, len(features), feature.shape), feature]
    leaf = rng.integers(-3000, 3000, (count, inner + 1)).astype(np.int16)
    leaf[0] = leaf[0, 0]
    leaf[1, 1::2] = leaf[1, ::2]
    bias = rng.integers(-5000, 5000, classes).astype(np.int32)
    return Trees(feature, threshold, leaf, np.tile(np.arange(classes, dtype=np.int16), rounds), bias)


def model(steps: int = 16, channels: int = 3, tasks: int = 1, seed: int = 1, *, number: bool = True) -> BoostedModel:
    """``tasks`` with three classes each and then the trees of a weakly labelled anomaly task, and a regression."""
    features = window_features(codes(200, steps, channels, seed))
    assert features.shape[1] == channels * len(feature_names(steps))
    forests = {f"task{i}": trees(features, len(CLASSES), seed + i) for i in range(tasks)}
    if number:
        forests["wear"] = trees(features, 1, seed + 5)
    heads = [Head(task, CLASSES if len(one.bias) > 1 else (), "mm", (-2.0, 6.0)) for task, one in forests.items()]
    if tasks:
        forests["anomaly"] = trees(features, 2, seed + 9)
    return BoostedModel(
        name="forged",
        channels=tuple(f"c{i}" for i in range(channels)),
        converter=Converter((0.5,) * channels, (0.0,) * channels),
        calibration=Calibration(20, 1_000_000, (3,) * channels, Scaling((7,) * channels, (900,) * channels)),
        core=(steps // 4, 3 * steps // 4),
        has_anomaly=tasks > 0,
        false_alarm_share=0.01,
        metrics={},
        trees=forests,
        scored="anomaly" if tasks else "",
        decides=tuple(heads),
        quiet=np.arange(10),
        window_steps=steps,
    )


def artefact(made: BoostedModel, runtime: str = "c99") -> Artefact:
    """``made`` for a profile of ``runtime``, calibrated on random windows."""
    profile = plant.profile(runtime)
    network = compile_trees(profile, made)
    some = codes(256, made.steps, len(made.channels), 2)
    scoring = calibrate(made, network, some)
    test = make_self_test(network, scoring, some, 6, exact=True)
    bare = Artefact(
        name=made.name,
        profile=profile.name,
        runtime=runtime,
        runtime_minimal="1.0",
        channels=made.channels,
        steps=made.steps,
        tasks={head.task: head.classes for head in made.heads if head.classes} | ({"anomaly": ()} if made.has_anomaly else {}),
        converter=made.converter,
        calibration=made.calibration,
        scoring=scoring,
        tensors=network.tensors,
        members=network.members,
        self_test=test,
        model_digest="0" * 64,
    )
    return (replace(bare, members=network.sources(bare)) if network.sources else bare).sealed()
