"""Run an artefact's own vectors in the device's runtime before it is trusted with telemetry."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.runtime.engines import Engine, open_engine
from components.values.artefact import Artefact
from registry.contract.reasons import Reason
from registry.device.refusal import Refused

_TIMED = 9
"""Single windows whose median is the latency, after one that warms up."""


@dataclass(frozen=True)
class Tested:
    """``vectors`` came out as the artefact says; one window took ``latency_us`` microseconds (median)."""

    vectors: int
    latency_us: int


def self_test(artefact: Artefact, budget_us: int | None = None) -> Tested:
    """Every vector, and then single windows against the clock.

    Raises:
        Refused: a surprise is off by more than the tolerance, a class or a value differs, the runtime fails, or a window takes
            longer than ``budget_us``.
    """
    test = artefact.self_test
    codes = artefact.self_test_codes
    try:
        engine = open_engine(artefact.runtime, artefact.members, artefact.tensors, artefact.optional)
        outputs = engine(codes)
        verdict = artefact.scoring.verdict(codes, outputs)
    except Exception as error:  # noqa: BLE001 - whatever a runtime does with a bad model, the device refuses it
        raise Refused(Reason.SELF_TEST_FAILED, f"the runtime failed: {type(error).__name__}: {error}") from None
    off = np.abs(verdict.surprise.astype(np.int64) - test.surprise)
    if off.max(initial=0) > test.tolerance:
        raise Refused(Reason.SELF_TEST_FAILED, f"surprise is off by {off.max()}, tolerance {test.tolerance}")
    for task, classes in test.classes.items():
        if task not in verdict.classes or not np.array_equal(verdict.classes[task], classes):
            raise Refused(Reason.SELF_TEST_FAILED, f"classes of task '{task}' differ")
    if not test.values.keys() <= verdict.values.keys() or test.wrong(verdict).any():
        raise Refused(Reason.SELF_TEST_FAILED, f"values differ: {', '.join(sorted(test.values))}")
    latency = _latency_us(engine, artefact, codes)
    if budget_us is not None and latency > budget_us:
        raise Refused(Reason.LATENCY_EXCEEDED, f"a window takes {latency:,} us, the budget is {budget_us:,} us")
    return Tested(len(test.raw), latency)


def _latency_us(engine: Engine, artefact: Artefact, codes: NDArray[np.int8]) -> int:
    """What a window takes from codes to verdict, the same as the proof's budget is for."""
    took = []
    for i in range(_TIMED + 1):
        one = codes[i % len(codes)][None]
        begin = time.perf_counter_ns()
        artefact.scoring.verdict(one, engine(one))
        took.append(time.perf_counter_ns() - begin)
    return int(statistics.median(took[1:])) // 1000
