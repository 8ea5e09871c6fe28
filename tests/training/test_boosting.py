"""Boosted trees learn from probabilities alone, and are in integers what XGBoost found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from components.runtime.trees import LEAF_BITS, NUMBER_BITS, tree_outputs
from components.training.boosting import judge, scored_task
from components.training.grow import grow_classes, grow_numbers, integer_trees
from components.training.train import calibration_split, train
from components.values import BoostedModel, LabelSet, Targets, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError
from components.workspace.model_settings import Model, Trees
from components.workspace.settings import Settings, Task
from tests.quantization import plant
from tests.training.quick import labels_of, statistics_of

ROWS, FEATURES = 20_000, 30


@pytest.fixture(scope="module")
def windows() -> Windows:
    return plant.windows(devices=6, per_device=60)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    base = plant.workspace(tmp_path)
    tasks = tuple(task for task in base.settings.tasks if task.kind != "regression")
    return _boosting(Workspace(base.root, base.settings.model_copy(update={"tasks": tasks}), ()), rounds=8, depth=3)


def _boosting(base: Workspace, **trees: int) -> Workspace:
    model = Model(kind="gradient_boosting", trees=Trees(**trees))
    return Workspace(base.root, base.settings.model_copy(update={"model": model}), ())


def _train(workspace: Workspace, windows: Windows, labels: LabelSet, targets: tuple[Targets, ...] = ()) -> BoostedModel:
    model = train(workspace, windows, [labels], statistics_of(windows), targets=targets)
    assert isinstance(model, BoostedModel)
    return model


def _same(a: BoostedModel, b: BoostedModel) -> bool:
    arrays, others = a.parts()[0], b.parts()[0]
    return arrays.keys() == others.keys() and all(np.array_equal(others[name], array) for name, array in arrays.items())


def _features(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8000, 8000, (ROWS, FEATURES)).astype(np.int16)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_integer_trees_decide_as_xgboost_does(classes: int) -> None:
    """On 99.9 of 100 rows that it was not grown on, with logits to within the rounding of the leaves."""
    x = _features()
    random = np.random.default_rng(classes)
    weights = random.normal(size=(FEATURES, classes))
    y = (np.tanh(x / 4000) @ weights + random.normal(0, 0.5, (ROWS, classes))).argmax(axis=1)
    objective = {"objective": "multi:softprob", "num_class": classes} if classes > 2 else {"objective": "binary:logistic"}
    parameters = objective | {"max_depth": 4, "eta": 0.2, "base_score": 0.5, "nthread": 1}
    booster = xgb.train(parameters, xgb.DMatrix(x[: ROWS // 2], y[: ROWS // 2]), 60)
    trees = integer_trees(booster, 4, np.log2(np.e) * (1 << LEAF_BITS), np.zeros(classes, np.int32))
    unseen = xgb.DMatrix(x[ROWS // 2 :])
    margins = booster.predict(unseen, output_margin=True)
    margins = margins - 0.5 if classes > 2 else np.stack([np.zeros_like(margins), margins], axis=1)
    got = trees.logits(x[ROWS // 2 :]) * (np.log(2) / (1 << LEAF_BITS))
    assert np.abs(got - margins).max() < 60 * 0.5 / (1 << LEAF_BITS)
    assert (got.argmax(axis=1) == margins.argmax(axis=1)).mean() >= 0.999


def test_integer_trees_predict_numbers_as_xgboost_does() -> None:
    x = _features()
    y = np.tanh(x[:, 0] / 4000) * 0.8
    booster = xgb.train({"max_depth": 4, "eta": 0.2, "base_score": 0.0, "nthread": 1}, xgb.DMatrix(x, y), 60)
    trees = integer_trees(booster, 4, 1 << NUMBER_BITS, np.zeros(1, np.int32))
    assert np.abs(trees.logits(x)[:, 0] / (1 << NUMBER_BITS) - booster.predict(xgb.DMatrix(x))).max() < 60 / (1 << NUMBER_BITS)


def test_the_same_seed_gives_the_same_trees_and_other_labels_others(workspace: Workspace, windows: Windows) -> None:
    first = _train(workspace, windows, labels_of(windows))
    assert _same(first, _train(workspace, windows, labels_of(windows)))
    assert not _same(first, _train(workspace, windows, labels_of(windows, 2)))


def test_uncovered_windows_and_held_out_windows_teach_nothing(workspace: Workspace, windows: Windows) -> None:
    """Whatever stands in rows that are unlabelled or held out, the trees are the same."""
    labels = labels_of(windows)
    silent = ~labels.covered | windows.test
    noise = labels.probabilities.copy()
    noise[silent] = noise[silent][:, ::-1]
    changed = replace(labels, probabilities=noise, covered=labels.covered & windows.train)
    codes = np.array(windows.codes)
    codes[windows.test] = 77
    assert _same(_train(workspace, windows, labels), _train(workspace, replace(windows, codes=codes), changed))


def test_trees_that_score_anomalies_never_see_the_calibration_windows(workspace: Workspace, windows: Windows) -> None:
    """Other probabilities there stop the growth elsewhere at most; without an anomaly task they teach."""
    labels = labels_of(windows)
    _, calibration = calibration_split(windows)
    noise = labels.probabilities.copy()
    noise[calibration] = noise[calibration][:, ::-1]
    changed = replace(labels, probabilities=noise)
    before, after = (_train(workspace, windows, one).trees["fault"] for one in (labels, changed))
    shared = min(len(before.leaf), len(after.leaf))
    assert np.array_equal(before.leaf[:shared], after.leaf[:shared])
    alone = workspace.settings.model_copy(update={"tasks": workspace.settings.tasks[1:]})
    plain = Workspace(workspace.root, alone, ())
    before, after = (_train(plain, windows, one).trees["fault"] for one in (labels, changed))
    assert not np.array_equal(before.leaf[:5], after.leaf[:5])


def test_growth_stops_where_the_windows_held_back_see_no_gain(workspace: Workspace, windows: Windows) -> None:
    """Random labels teach nothing that holds elsewhere."""
    many = _boosting(workspace, rounds=200, depth=3)
    assert len(_train(many, windows, labels_of(windows)).trees["fault"].leaf) < 200 * 5 / 2


def test_the_threshold_is_reached_by_the_stated_share_of_quiet_windows(workspace: Workspace, windows: Windows) -> None:
    model = _train(workspace, windows, labels_of(windows))
    score = np.sort(judge(model, windows.codes[model.calibration_rows]).scores)
    assert model.threshold == pytest.approx(np.quantile(score, 1 - model.false_alarm_share))


def test_a_number_is_learned_beside_classes(workspace: Workspace, windows: Windows) -> None:
    wanted = np.clip(np.nanmean(windows.values[:, :, 0], axis=1), -4, 8).astype(np.float32)
    wanted[::7] = np.nan
    task = Task(name="level", kind="regression", labels="gold", gold="gold.csv", unit="1", range=(-4.0, 8.0))
    settings = workspace.settings.model_copy(update={"tasks": (*workspace.settings.tasks, task)})
    target = Targets("level", "1", (-4.0, 8.0), wanted, {})
    more = _boosting(Workspace(workspace.root, settings, ()), rounds=40, depth=4)
    model = _train(more, windows, labels_of(windows), (target,))
    seen = windows.train & ~np.isnan(wanted)
    found = judge(model, windows.codes[seen]).values["level"]
    assert np.abs(found - wanted[seen]).mean() < 0.5 * np.abs(wanted[seen] - wanted[seen].mean()).mean()
    nobody = replace(target, values=np.full_like(wanted, np.nan))
    with pytest.raises(InputError, match="not one training window has a number"):
        _train(more, windows, labels_of(windows), (nobody,))


def test_one_class_alone_or_one_number_alone_is_no_accident(workspace: Workspace, windows: Windows) -> None:
    """Labels that never vary give trees that say so."""
    labels = labels_of(windows)
    sure = np.zeros_like(labels.probabilities)
    sure[:, 2] = 1
    model = _train(workspace, windows, replace(labels, probabilities=sure))
    assert (tree_outputs(model.trees, windows.codes).logits["fault"].argmax(axis=1) == 2).all()
    fit, _ = calibration_split(windows)
    still = Targets("level", "1", (0.0, 2.0), np.full(len(windows), 1.5, np.float32), {})
    features = _features()[: len(windows)]
    logits = grow_numbers(workspace.settings, features, still, fit).logits(features)
    assert np.abs(logits / (1 << NUMBER_BITS) - 0.5).max() < 1e-3


def test_a_task_without_a_labelled_window_is_an_input_error(workspace: Workspace, windows: Windows) -> None:
    labels = labels_of(windows)
    with pytest.raises(InputError, match="not one training window is labelled"):
        _train(workspace, windows, replace(labels, covered=np.zeros(len(windows), bool)))


def test_deeper_trees_and_more_rounds_are_what_the_settings_say(workspace: Workspace, windows: Windows) -> None:
    fit, calibration = calibration_split(windows)
    wide = _boosting(workspace, rounds=3, depth=5).settings
    trees = grow_classes(wide, _features()[: len(windows)], labels_of(windows), fit, calibration[:0])
    assert trees.leaf.shape == (3 * 5, 1 << 5)


@pytest.mark.parametrize(
    ("tasks", "scored"),
    [
        (["anomaly weak", "fault weak"], "anomaly"),
        (["fault weak", "anomaly weak"], "anomaly"),
        (["anomaly none", "state gold", "fault weak"], "fault"),
        (["state gold", "fault gold"], "state"),
    ],
)
def test_the_anomaly_score_is_that_of_a_weakly_labelled_task(tasks: list[str], scored: str, tmp_path: Path) -> None:
    base = plant.workspace(tmp_path).settings.model_dump(mode="json", exclude_unset=True)
    base["tasks"] = [_task(*text.split()) for text in tasks]
    assert scored_task(Settings.model_validate(base)) == scored


def _task(name: str, labels: str) -> dict[str, object]:
    if name == "anomaly":
        return {"name": name, "kind": "anomaly", "labels": labels}
    gold = {"gold": "gold.csv"} if labels == "gold" else {}
    return {"name": name, "kind": "classes", "classes": ["a", "b"], "labels": labels} | gold
