"""Vectors that a device runs before it trusts an artefact, and the count of those that come out wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets import Network
from components.runtime.conditions import MISSING_RAW, Conditions
from components.runtime.engines import Engine
from components.runtime.scaling import MISSING_CODE, Scaling
from components.runtime.surprise import Calibrated, Outputs, Verdict
from components.values import Artefact
from components.values.artefact import SelfTest

_RAW_PER_CODE = 64
_MARGIN = 6  # codes between the winning logit and the next
_CODES_OFF = 4  # that a regression's output may be off on other kernels: three layers lie behind the encoder


def make_self_test(
    network: Network,
    scoring: Calibrated,
    codes: NDArray[np.int8],
    vectors: int,
    *,
    exact: bool,
    conditions: Conditions | None = None,
) -> SelfTest:
    """Choose ``vectors`` of the windows ``codes``, spread over the range of surprise, with edge cases among them.

    The samples are written for one fixed scaling under which the device finds just these codes. With ``exact`` the
    device must reproduce every bit. Otherwise the kernels of another processor may round each output the other way:
    the tolerance is what one code of every output changes, and windows with close logits are left out. Under
    ``conditions`` the vectors go through the regimes by turns, in which some codes are missed by a little.
    """
    chosen = np.concatenate([_edges(codes.shape[1:]), _spread(network, scoring, codes, vectors - 2, exact=exact)])
    scaling = Scaling(tuple(100 * c - 50 for c in range(codes.shape[2])), (65536 // _RAW_PER_CODE,) * codes.shape[2])
    raw = _raw(chosen, scaling)
    if conditions is not None:
        raw = np.stack([conditions.undone(one, i % len(conditions.point)) for i, one in enumerate(raw)])
        chosen = scaling.codes(conditions.applied(raw))
    outputs = network.engine(chosen)
    wanted = scoring.verdict(chosen, outputs)
    tolerance = 0 if exact else _tolerance(scoring, chosen, outputs)
    off = {task: 0 if exact else (_CODES_OFF * abs(g.multiplier) >> 16) + 1 for task, g in scoring.gauges.items()}
    return SelfTest(raw, scaling, wanted.surprise, wanted.classes, tolerance, wanted.values, off)


def mismatches(artefact: Artefact, engine: Engine) -> int:
    """How many vectors come out wrong on ``engine``."""
    codes = artefact.self_test_codes
    return int(artefact.self_test.wrong(artefact.scoring.verdict(codes, engine(codes))).sum())


def _edges(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """A window that saturates both ends by turns, and one with nothing but missing samples in its second half."""
    swing = np.where(np.indices(shape).sum(axis=0) % 2, 127, -127).astype(np.int8)
    silent = np.zeros(shape, np.int8)
    silent[shape[0] // 2 :] = MISSING_CODE
    return np.stack([swing, silent])


def _spread(network: Network, scoring: Calibrated, codes: NDArray[np.int8], n: int, *, exact: bool) -> NDArray[np.int8]:
    outputs = network.engine(codes)
    verdict = scoring.verdict(codes, outputs)
    margin = _margin(scoring, codes, outputs)
    clear = np.arange(len(codes)) if exact else np.flatnonzero(margin >= _MARGIN)
    if len(clear) < n:
        clear = np.argsort(-margin, kind="stable")[:n]
    ordered = clear[np.argsort(verdict.surprise[clear], kind="stable")]
    return codes[ordered[np.linspace(0, len(ordered) - 1, n).round().astype(int)]]


def _margin(scoring: Calibrated, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.int32]:
    """(windows,) by how many steps of the network's logits the winner of every task leads, at most 255."""
    margin = np.full(len(codes), 255, np.int32)
    for task, logits in scoring.logits(codes, outputs).items():
        top = np.sort(logits.astype(np.int32), axis=1)
        margin = np.minimum(margin, (top[:, -1] - top[:, -2]) // scoring.logit_step(task))
    return margin


def _tolerance(scoring: Calibrated, codes: NDArray[np.int8], outputs: Outputs) -> int:
    at: Verdict = scoring.verdict(codes, outputs)
    moved = [scoring.verdict(codes, _moved(outputs, by)).surprise for by in (-1, 1)]
    return int(max(np.abs(m.astype(np.int64) - at.surprise).max() for m in moved)) + 1


def _moved(outputs: Outputs, by: int) -> Outputs:
    def move(x: NDArray[np.int8]) -> NDArray[np.int8]:
        return np.clip(x.astype(np.int16) + by, -128, 127).astype(np.int8)

    return Outputs(move(outputs.correction), move(outputs.embedding), outputs.logits, outputs.numbers)


def _raw(codes: NDArray[np.int8], scaling: Scaling) -> NDArray[np.int16]:
    raw = codes.astype(np.int16) * _RAW_PER_CODE + np.asarray(scaling.center, np.int16)
    raw[codes == MISSING_CODE] = MISSING_RAW
    return raw
