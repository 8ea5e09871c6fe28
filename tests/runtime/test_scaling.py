"""Scaling of raw samples, in the integers that every device computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from components.runtime.conditions import MISSING_RAW
from components.runtime.scaling import MISSING_CODE, Calibration, Converter, Scaling, gain_for

FALLBACK = Scaling((5, -5), (100, 200))
raws = hn.arrays(np.int16, st.tuples(st.integers(1, 40), st.just(2)))


@given(raw=raws, center=st.integers(-32768, 32767), multiplier=st.integers(0, 2**30))
def test_codes_are_the_rounded_clipped_product_and_missing_stays_missing(raw, center, multiplier):
    codes = Scaling((center, center), (multiplier, multiplier)).codes(raw)
    exact = np.clip(np.floor((raw.astype(object) - center) * multiplier / 65536 + 0.5).astype(float), -127, 127)
    there = raw != MISSING_RAW
    assert (codes[~there] == MISSING_CODE).all()
    assert (codes[there] == exact[there]).all()


@given(center=st.integers(-30000, 30000), multiplier=st.integers(1, 2**30))
def test_codes_rise_with_raw(center, multiplier):
    raw = np.arange(-32767, 32768, 37, dtype=np.int16)[:, None]
    codes = Scaling((center,), (multiplier,)).codes(raw)[:, 0].astype(int)
    assert (np.diff(codes) >= 0).all()


@given(
    values=hn.arrays(np.float64, (7, 2), elements=st.floats(-1e3, 1e3) | st.just(float("nan"))),
    lsb=st.floats(1e-3, 10),
    offset=st.floats(-50, 50),
)
def test_raw_is_within_half_a_step_of_the_physical_value_or_saturated(values, lsb, offset):
    raw = Converter((lsb, lsb), (offset, offset)).raw(values)
    assert ((raw == MISSING_RAW) == np.isnan(values)).all()
    there = ~np.isnan(values)
    back = raw[there] * lsb + offset
    saturated = np.abs(raw[there].astype(int)) == 32767
    assert (saturated | (np.abs(back - values[there]) <= lsb * 0.5001)).all()


@given(raw=raws)
def test_too_few_samples_give_the_fallback(raw):
    assert Calibration(len(raw), 1000, (1, 1), FALLBACK).learn(raw) == FALLBACK
    assert Calibration(0, 1000, (1, 1), FALLBACK).learn(raw) == FALLBACK


@pytest.mark.parametrize("silent", [slice(0, 10), slice(10, 20)], ids=["first phase", "second phase"])
def test_a_channel_that_was_silent_in_a_phase_keeps_the_fallback(silent):
    raw = np.arange(40, dtype=np.int16).reshape(20, 2)
    raw[silent, 1] = MISSING_RAW
    learned = Calibration(10, 1000, (1, 1), FALLBACK).learn(raw)
    assert (learned.center[1], learned.multiplier[1]) == (FALLBACK.center[1], FALLBACK.multiplier[1])
    assert learned.center[0] == 9  # mean of 0, 2, .. 18


@given(seed=st.integers(0, 2**31), level=st.integers(-20000, 20000), spread=st.integers(50, 2000))
def test_normal_noise_lands_at_the_promised_width(seed, level, spread):
    """After calibration one standard deviation is 127 / clip codes, to within the error of 240 samples."""
    clip = 6.0
    raw = np.random.default_rng(seed).normal(level, spread, (2000, 1)).round().astype(np.int16)
    learned = Calibration(240, gain_for(clip), (1,), Scaling((0,), (1,))).learn(raw)
    codes = learned.codes(raw[480:])[:, 0].astype(float)
    assert abs(codes.mean()) < 0.4 * 127 / clip
    assert abs(codes.std() / (127 / clip) - 1) < 0.25


def test_a_channel_that_stands_still_does_not_blow_up():
    raw = np.full((20, 2), 100, np.int16)
    assert Calibration(10, 5000, (50, 0), FALLBACK).learn(raw).multiplier == (100, 5000)


@given(raw=raws, steps=st.integers(0, 20))
def test_a_calibration_survives_json(raw, steps):
    calibration = Calibration(steps, 1234, (1, 2), FALLBACK)
    assert Calibration.from_json(calibration.to_json()) == calibration
