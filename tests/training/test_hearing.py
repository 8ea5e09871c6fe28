"""Beside a wide part the network is heard as far as windows that are new to both say, and no further."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from components.training.hearing import FACTORS, hearing
from components.training.normal import logits
from components.training.train import rows_of
from tests.training.quick import quick_windows
from tests.training.test_wide import gold_of, shifted, trained


def told(count: int, sure: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities of windows, and logits that speak for the right class by ``sure`` nats on average."""
    rng = np.random.default_rng(seed)
    truth = np.eye(3)[rng.integers(0, 3, count)]
    return truth.astype(np.float32), sure * truth + rng.normal(0, 1, (count, 3))


def test_a_network_that_knows_more_is_heard_and_one_that_is_sure_of_nothing_true_is_not():
    truth, deep = told(400, 3.0)
    wide = told(400, 0.0, seed=2)[1] / 10
    assert hearing(wide, deep, truth) > 0.6
    assert hearing(deep, 5 * wide * 10, truth) < 0.2


@pytest.mark.parametrize("count", [2, 4])
def test_where_few_windows_say_anything_it_stays_quiet(count):
    heard = []
    for seed in range(20):
        truth, wide = told(count, 2.0, seed)
        heard.append(hearing(wide, told(count, 0.0, seed + 100)[1] * 5, truth))
    assert np.median(heard) == FACTORS[0]


def test_without_a_label_among_what_calibrates_the_wide_part_decides_alone(tmp_path):
    windows, truth = shifted(quick_windows())
    label = gold_of(windows, truth, 60)
    early = replace(label, covered=label.covered & ~np.isin(np.arange(len(truth)), rows_of(windows, [label]).calibration))
    encoder = trained(tmp_path, windows, early, finetune_steps=30)
    away = logits(encoder, windows.codes)["fault"] - encoder.wide["fault"].nats(windows.codes)
    assert np.abs(away - away.mean(axis=1, keepdims=True)).max() < 1
