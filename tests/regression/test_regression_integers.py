"""Numbers and operating conditions in integers: Python and C put out the same bits, and no value leaves its range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.runtime import interpreter
from components.runtime.conditions import MISSING_RAW, Conditions
from components.runtime.gauge import Gauge
from tests.quantization import forge

RANGES = st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4)).map(lambda pair: (pair[0] * pair[1], (pair[0] + 1) * pair[1]))
"""Settings refuse ranges that lie further from 0 than 2^14 of their widths."""
CODES = np.arange(-128, 128, dtype=np.int8)


@given(span=RANGES, scale=st.floats(1e-4, 0.5), zero=st.integers(-128, 127))
def test_a_value_is_what_the_output_means_to_within_a_step_and_never_leaves_the_range(
    span: tuple[float, float], scale: float, zero: int
) -> None:
    gauge = Gauge.over(span, scale, zero)
    low, high = span
    wanted = np.clip(low + ((CODES.astype(float) - zero) * scale + 1) / 2 * (high - low), low, high)
    got = gauge.in_unit(gauge.values(CODES))
    step = 2.0**-gauge.bits
    assert np.abs(got - wanted).max() <= 2 * step
    assert (got >= low - step).all() and (got <= high + step).all()
    assert gauge.bits in {0, 30} or step <= (high - low) / 2**14


def test_remaining_life_up_to_125_cycles_is_in_256ths_of_a_cycle() -> None:
    assert Gauge.over((0.0, 125.0), 0.01, 0).bits == 8


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("calibration_steps", [0, 20])
def test_the_c_code_reads_conditions_and_says_numbers_as_python_does(tmp_path: Path, seed: int, calibration_steps: int) -> None:
    """From raw samples with gaps under three conditions, through the device's own calibration, to values."""
    graph = forge.graph(seed=seed, numbers=2)
    artefact = forge.artefact(graph, calibration_steps, conditions=_conditions())
    device, random = forge.build(tmp_path, artefact), np.random.default_rng(seed)
    history = _samples(random, 2 * calibration_steps + 5)
    for sample in history:
        device.calibrate(sample)
    scaling = artefact.calibration.learn(artefact.calibration.read(history))
    assert device.scaling == scaling
    raw = _samples(random, 12 * artefact.steps).reshape(12, artefact.steps, -1)
    codes = scaling.codes(artefact.calibration.read(raw))
    verdict = artefact.scoring.verdict(codes, interpreter.engine(graph)(codes))
    for i, window in enumerate(raw):
        assert device.run(window)[0] == verdict.surprise[i]
        assert device.values(window) == [int(verdict.values[task][i]) for task in sorted(artefact.scoring.gauges)]
    assert device.self_test() == 0


@given(raw=arrays(np.int16, (20, 3)), regime=st.integers(0, 2))
def test_what_is_missing_stays_missing_and_what_is_undone_comes_back(raw: np.ndarray, regime: int) -> None:
    conditions = _conditions()
    read = conditions.applied(raw)
    assert np.array_equal(read == MISSING_RAW, raw == MISSING_RAW)
    quiet = np.clip(raw, -900, 900)
    again = conditions.applied(conditions.undone(quiet, regime))
    assert np.abs(again[:, 1:].astype(int) - quiet[:, 1:]).max() <= max(m >> 17 for m in conditions.multiplier[regime]) + 1


def _conditions() -> Conditions:
    """Channel 0 tells which of three; a gap in it must be read as the first, though as a number it is nearest to the second."""
    return Conditions(
        (0,), (70000,), ((0,), (-9000,), (9000,)), ((0, 0, 0), (0, -500, 40), (0, 800, -90)), ((65536, 90000, 30000),) * 3
    )


def _samples(random: np.random.Generator, count: int) -> np.ndarray:
    regime = random.integers(0, 3, count)
    point = np.asarray([-9000, 0, 9000])[regime]
    raw = np.stack([point + random.normal(0, 50, count), *random.normal(0, 600, (2, count))], axis=1).astype(np.int16)
    raw[random.random(raw.shape) < 0.03] = MISSING_RAW
    return raw
