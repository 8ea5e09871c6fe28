"""A head decides for each class as often as its labels do, however often training drew the class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.models.telemetry_electra import Encoder
from components.training.decisions import matching, most_macro_f1, settle_decisions
from components.training.evaluation import macro_f1
from components.training.normal import encode, predict
from components.training.train import Rows
from components.values import Architecture, Head, LabelSet
from tests.quantization import plant

FACTOR = 1.15
"""By how much a rare class may be decided more often than its labels decide for it."""


@given(st.integers(0, 2**31), st.integers(2, 6), st.floats(0, 3))
def test_matched_decisions_have_the_wanted_shares(seed: int, k: int, bent: float) -> None:
    """Even where the logits lean towards one class by e^3."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (2000, k)) + np.linspace(0, bent, k)
    shares = random.dirichlet(np.full(k, 3.0))
    got = np.bincount((logits + matching(logits, shares)).argmax(axis=1), minlength=k) / len(logits)
    assert np.abs(got - shares).max() < 0.01


def test_a_rare_class_that_was_drawn_often_is_decided_as_often_as_labels_decide_for_it() -> None:
    """Logits of a network that saw a class of 2 % as often as the other."""
    random = np.random.default_rng(5)
    rare = random.random(20_000) < 0.02
    evidence = random.normal(np.where(rare, 1.5, -1.5), 1.5)
    logits = np.stack([-evidence, evidence], axis=1)
    assert (logits.argmax(axis=1) == 1).mean() > 5 * rare.mean()
    shift = matching(logits, np.asarray([0.98, 0.02]))
    assert (logits + shift).argmax(axis=1).mean() <= FACTOR * 0.02


@given(st.integers(0, 2**31))
def test_shifts_chosen_on_gold_lose_nothing_there_and_stay_near_their_start(seed: int) -> None:
    random = np.random.default_rng(seed)
    gold = random.integers(0, 3, 90).astype(np.int8)
    logits = random.normal(0, 1, (90, 3)) + np.eye(3)[gold]
    start = random.normal(0, 0.5, 3)
    shift = most_macro_f1(logits, gold, start)
    before = macro_f1(gold, (logits + start).argmax(axis=1).astype(np.int8), 3)
    assert macro_f1(gold, (logits + shift).argmax(axis=1).astype(np.int8), 3) >= before
    assert np.ptp(shift - start) <= 4


def _labels(decided: np.ndarray, gold: np.ndarray) -> LabelSet:
    k = len(plant.CLASSES)
    return LabelSet(
        task="fault",
        classes=plant.CLASSES,
        functions=(),
        votes=np.empty((len(decided), 0), np.int8),
        probabilities=np.eye(k, dtype=np.float32)[decided],
        covered=np.ones(len(decided), bool),
        gold=gold,
        sampled=gold >= 0,
        decision_weights=(1.0,) * k,
        source="weak",
        facts={},
    )


def _network() -> Encoder:
    torch.manual_seed(1)
    return Encoder(Architecture(32, 5, 12, 1, 5, 6 / 127, (Head("fault", plant.CLASSES),)))


def _late(rows: np.ndarray) -> Rows:
    """Of windows that all calibrate."""
    return Rows(rows[:0], rows, rows[:0], rows)


def test_settled_heads_follow_the_shares_of_the_labels_and_nothing_else_moves() -> None:
    windows = plant.windows(devices=6, per_device=300)
    rows = np.flatnonzero(windows.train)
    decided = np.random.default_rng(2).choice(5, len(windows), p=[0.8, 0.05, 0.05, 0.05, 0.05]).astype(np.int8)
    encoder = _network()
    before = encode(encoder, windows.codes[:50])[1]
    settle_decisions(encoder, windows.codes, _late(rows), [_labels(decided, np.full(len(windows), -1, np.int8))])
    got = np.bincount(predict(encoder, windows.codes[rows])["fault"], minlength=5) / len(rows)
    wanted = np.bincount(decided[rows], minlength=5) / len(rows)
    assert (got <= FACTOR * wanted + 1 / len(rows)).all()
    np.testing.assert_array_equal(encode(encoder, windows.codes[:50])[1], before)


def test_enough_words_of_people_outweigh_the_shares() -> None:
    """People say that every fifth window is of each class: the decisions serve their macro-F1, not the 80 % of the labels."""
    windows = plant.windows(devices=6, per_device=300)
    rows = np.flatnonzero(windows.train)
    random = np.random.default_rng(3)
    decided = random.choice(5, len(windows), p=[0.8, 0.05, 0.05, 0.05, 0.05]).astype(np.int8)
    gold = np.where(random.random(len(windows)) < 0.3, random.integers(0, 5, len(windows)), -1).astype(np.int8)
    judged = rows[gold[rows] >= 0]
    drawn, chosen, unasked = (
        _labels(decided, gold),
        replace(_labels(decided, gold), sampled=np.zeros(len(windows), bool)),
        _labels(decided, np.full(len(windows), -1, np.int8)),
    )
    reached = []
    for label in (drawn, chosen, unasked):
        encoder = _network()
        settle_decisions(encoder, windows.codes, _late(rows), [label])
        reached.append(macro_f1(gold[judged], predict(encoder, windows.codes[judged])["fault"], 5))
    assert reached[0] > reached[2]
    assert reached[1] == reached[2], "answers about windows that were chosen set no threshold"


def test_declared_classes_keep_the_biases_they_were_learned_with() -> None:
    """Whoever declares classes declares them of calibration windows too, and heads learn from all of them."""
    windows = plant.windows(devices=6, per_device=300)
    rows, gold = np.flatnonzero(windows.train), np.random.default_rng(4).integers(0, 5, len(windows)).astype(np.int8)
    encoder = _network()
    before = encoder.heads["fault"].bias.detach().clone()
    settle_decisions(encoder, windows.codes, _late(rows), [replace(_labels(gold, gold), source="gold")])
    assert torch.equal(encoder.heads["fault"].bias, before)
