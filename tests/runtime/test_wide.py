"""The linear part beside the network, in integers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.runtime.scaling import MISSING_CODE
from components.runtime.wide import BITS, CAP, NEVER, Joined, Wide, units_of, wide_features

CLASSES, CHANNELS = 3, 2


def part(steps: int = 16, seed: int = 1, shift: int = 8) -> Wide:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-32767, 32768, (CLASSES, CHANNELS, len(units_of(steps)))).astype(np.int16)
    base = rng.integers(-(1 << 20), 1 << 20, (CHANNELS, CLASSES)).astype(np.int32)
    return Wide(weight, base, rng.integers(-(1 << 20), 1 << 20, CLASSES).astype(np.int32), shift)


def codes_of(seed: int, steps: int = 16, windows: int = 9, missing: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (windows, steps, CHANNELS)).astype(np.int8)
    codes[rng.random(codes.shape) < missing] = MISSING_CODE
    return codes


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.sampled_from([8, 16, 60, 512]), shift=st.integers(0, 24))
def test_logits_are_the_weighted_sum_of_features_in_exact_integers(seed, steps, shift):
    """Against Python's own integers, which nothing rounds."""
    wide, codes = part(steps, seed, shift), codes_of(seed, steps, 3)
    features = wide_features(codes)
    for window, got in enumerate(wide.logits(codes).tolist()):
        sums = []
        for k in range(CLASSES):
            heard = [c for c in range(CHANNELS) if (codes[window, :, c] != MISSING_CODE).any()]
            pairs = [(int(w), int(f)) for c in heard for w, f in zip(wide.weight[k, c], features[window, c], strict=True)]
            sums.append((sum(w * f for w, f in pairs) >> shift) + sum(int(wide.base[c, k]) for c in heard) + int(wide.bias[k]))
        assert got == [max(s - max(sums), -CAP) for s in sums]


def test_a_silent_channel_says_nothing():
    wide, codes = part(), codes_of(3)
    codes[:, :, 1] = MISSING_CODE
    deaf = Wide(np.where(np.arange(CHANNELS)[:, None] == 1, 77, wide.weight).astype(np.int16), wide.base, wide.bias, wide.shift)
    assert (wide.logits(codes) == deaf.logits(codes)).all()
    assert (wide.logits(codes_of(3)) != deaf.logits(codes_of(3))).any()


def test_a_class_without_an_example_is_as_unlikely_as_any_can_be():
    wide = part()
    wide.bias[2] = NEVER
    assert (wide.logits(codes_of(4))[:, 2] == -CAP).all()


def test_a_network_that_is_sure_enough_overrules_the_wide_part():
    wide, codes = part(), codes_of(5)
    joined = Joined(wide, gain=1 << (BITS - 4), zero=-10)  # a code is a sixteenth of a nat
    deep = np.full((len(codes), CLASSES), -128, np.int8)
    assert (joined.logits(codes, deep).argmax(axis=1) == wide.logits(codes).argmax(axis=1)).all()
    deep[:, 1] = 127
    assert (joined.logits(codes, deep).argmax(axis=1) == 1).all()


def test_features_of_the_longest_window_stay_in_16_bits():
    codes = np.full((1, 512, CHANNELS), 127, np.int8)
    codes[:, ::2] = -127
    codes[:, :, 1] = MISSING_CODE
    assert (np.abs(wide_features(codes).astype(int)) < 2**15).all()
    assert wide_features(codes).min() >= -127 * 64


@pytest.mark.parametrize("steps", [8, 60])
def test_it_survives_artefacts_and_models(steps):
    joined = Joined(part(steps), 4096, -3)
    back = Joined.from_json(json.loads(json.dumps(joined.to_json())))
    again = Wide.of_arrays({f"wide.{name}": array for name, array in joined.wide.arrays().items()}, "wide.")
    codes, deep = codes_of(6, steps), np.zeros((9, CLASSES), np.int8)
    assert (back.logits(codes, deep) == joined.logits(codes, deep)).all()
    assert (again.logits(codes) == joined.wide.logits(codes)).all()
