"""Run an artefact's own vectors in the device's runtime before it is trusted with telemetry."""

from __future__ import annotations

import numpy as np

from components.runtime.engines import open_engine
from components.values.artefact import Artefact
from registry.contract.reasons import Reason
from registry.device.refusal import Refused


def self_test(artefact: Artefact) -> int:
    """The number of vectors that came out as the artefact says.

    Raises:
        Refused: a surprise is off by more than the tolerance, a class or a value differs, or the runtime fails.
    """
    test = artefact.self_test
    codes = artefact.self_test_codes
    try:
        outputs = open_engine(artefact.runtime, artefact.members, artefact.tensors, artefact.optional)(codes)
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
    return len(test.raw)
