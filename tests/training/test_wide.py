"""The wide part: fitted in closed form, honest about how sure it is, and what makes few labels enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from components.runtime.scaling import MISSING_CODE
from components.runtime.wide import BITS, CAP, wide_features
from components.training.checkpoint import Checkpoints
from components.training.device import training_device
from components.training.evaluation import macro_f1
from components.training.loop import Engine
from components.training.normal import logits, predict
from components.training.study.few import few
from components.training.train import rows_of, train_network
from components.training.wide import discriminant, fit_wide, left_out, logits_of, sharpness, unrest
from components.values import ElectraModel, LabelSet, TrainedModel, Windows
from tests.quantization import plant
from tests.training.quick import labels_of, quick_windows, quick_workspace

CLASSES = len(plant.CLASSES)


def shifted(windows: Windows, seed: int = 5) -> tuple[Windows, np.ndarray]:
    """Windows whose class shifts the means of some channels by one deviation of single samples."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, len(windows)).astype(np.int8)
    moved = np.where(truth[:, None] == np.arange(CLASSES), 28.0, 0.0)[:, None, :]
    codes = np.clip(rng.normal(0, 28, windows.codes.shape) + moved, -127, 127).astype(np.int8)
    return replace(windows, codes=codes), truth


def gold_of(windows: Windows, truth: np.ndarray, count: int) -> LabelSet:
    """``count`` windows of the training devices whose class is declared."""
    sure = np.eye(CLASSES, dtype=np.float32)[truth]
    every = replace(labels_of(windows), probabilities=sure, covered=np.ones(len(truth), bool), source="gold", gold=truth)
    return few(every, np.flatnonzero(windows.train), count, seed=1)


def features_of(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    codes = np.asarray(windows.codes)
    return wide_features(codes).astype(np.float64), (codes != MISSING_CODE).any(axis=1)


def test_it_is_the_discriminant_of_scikit_learn_under_the_shrunk_pooled_covariance():
    from sklearn.base import BaseEstimator
    from sklearn.covariance import ledoit_wolf
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    windows, truth = shifted(quick_windows())
    features, heard = features_of(windows)
    x = features.reshape(len(features), -1)
    within = x - np.stack([x[truth == k].mean(axis=0) for k in range(CLASSES)])[truth]
    used = x.std(axis=0) > 0
    shrunk = ledoit_wolf(within[:, used], assume_centered=True)[0]

    class Pooled(BaseEstimator):
        def fit(self, _):
            self.covariance_ = shrunk
            return self

    x = x[:, used]
    wanted = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Pooled()).fit(x, truth).decision_function(x)
    found = logits_of(discriminant(features, heard, truth, CLASSES), features, heard)
    np.testing.assert_allclose(found - found[:, :1], wanted - wanted[:, :1], atol=1e-6)


def test_integers_decide_what_floating_point_does():
    windows, truth = shifted(quick_windows())
    label = gold_of(windows, truth, 150)
    wide = fit_wide(windows.codes, label, np.flatnonzero(windows.train))
    features, heard = features_of(windows)
    known, rows = np.flatnonzero(label.covered), np.flatnonzero(windows.train)
    after = rows[np.stack([np.arange(len(rows) - 1), np.arange(1, len(rows))], axis=1).ravel()]
    unit = unrest(features[after], heard[after])
    features = np.divide(features, unit, out=np.zeros_like(features), where=unit > 0)
    exact = discriminant(features[known], heard[known], truth[known], CLASSES)
    factor = sharpness(features[known], heard[known], truth[known], CLASSES)
    wanted = factor * logits_of(exact, features, heard)
    wanted = np.maximum(wanted - wanted.max(axis=1, keepdims=True), -CAP / (1 << BITS))
    np.testing.assert_allclose(wide.nats(windows.codes), wanted, atol=0.05)


def test_the_unit_of_a_feature_is_what_it_moves_by_between_changes_of_state():
    rng = np.random.default_rng(2)
    state = np.repeat(rng.normal(0, 1000, 40), 50)  # one change in fifty
    features = np.zeros((2000, 2, 3))
    features[:, 0] = state[:, None] + rng.normal(0, [10.0, 20.0, 300.0], (2000, 3))
    features[:, 1, 0] = rng.normal(0, 10.0, 2000)
    heard = np.ones((2000, 2), bool)
    heard[::4, 1], features[::4, 1] = False, 1e6
    found = unrest(np.repeat(features, 2, axis=0)[1:-1], np.repeat(heard, 2, axis=0)[1:-1])
    floor = 0.05 * state.std()
    assert found[0] == pytest.approx([floor, floor, 300.0], rel=0.2)
    assert found[1] == pytest.approx([10.0, 0.0, 0.0], rel=0.2)
    assert (unrest(features, np.zeros_like(heard)) == 0).all()


def test_it_is_no_surer_of_windows_that_it_has_not_seen_than_it_is_right():
    """On noise, where nothing can be known, hardly any odds are left of what a plain discriminant is sure of."""
    rng = np.random.default_rng(1)
    features, heard = rng.normal(0, 100, (60, 3, 31)), np.ones((60, 3), bool)
    classes = rng.integers(0, 3, 60).astype(np.int8)
    out = left_out(features, heard, classes, 3)
    assert sharpness(features, heard, classes, 3) * np.abs(out - out.mean(axis=1, keepdims=True)).mean() < 0.25
    features[:, 0] += 1000.0 * classes[:, None]
    assert sharpness(features, heard, classes, 3) * np.abs(left_out(features, heard, classes, 3)).mean() > 2


def test_a_class_without_an_example_is_not_decided_and_one_class_alone_teaches_nothing():
    windows, truth = shifted(quick_windows())
    label, rows = gold_of(windows, truth, 60), np.flatnonzero(windows.train)
    without = replace(label, covered=label.covered & (truth != 2))
    assert not (fit_wide(windows.codes, without, rows).logits(windows.codes).argmax(axis=1) == 2).any()
    assert fit_wide(windows.codes, replace(label, covered=label.covered & (truth == 2)), rows) is None


def trained(tmp_path, windows, label, **model):
    workspace = quick_workspace(tmp_path, **model)
    engine = Engine(training_device("cpu"), lambda *_: None, Checkpoints())
    return train_network(workspace, windows, [label], (), rows_of(windows, [label]), engine)


@pytest.fixture(scope="module")
def few_labels():
    windows, truth = shifted(quick_windows())
    return windows, truth, gold_of(windows, truth, 20)


@pytest.mark.slow
def test_with_20_labels_a_plant_is_learned_by_the_wide_part_alone(few_labels, tmp_path):
    windows, truth, label = few_labels
    test = windows.test
    reached = {}
    for wide in (False, True):
        encoder = trained(tmp_path, windows, label, wide=wide, finetune_steps=40)
        reached[wide] = macro_f1(truth[test], predict(encoder, windows.codes[test])["fault"], CLASSES)
    assert reached[False] < 0.5
    assert reached[True] > 0.8


def test_the_network_begins_with_nothing_beside_it_and_a_kept_model_says_the_same(few_labels, tmp_path):
    windows, _, label = few_labels
    encoder = trained(tmp_path, windows, label, finetune_steps=1, learning_rate=1e-9)
    wide = encoder.wide["fault"].nats(windows.codes)
    np.testing.assert_allclose(logits(encoder, windows.codes)["fault"], wide, atol=1e-3)
    model = replace(plant.model(windows), wide=encoder.wide)
    model.save(tmp_path)
    loaded = TrainedModel.load(tmp_path)
    assert isinstance(loaded, ElectraModel)
    assert not any(name.startswith("wide.") for name in loaded.weights)
    assert (loaded.wide["fault"].logits(windows.codes) == encoder.wide["fault"].logits(windows.codes)).all()
