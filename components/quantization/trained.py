"""What a trained model of either kind says of windows: what its artefacts are measured against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.models import reference
from components.runtime.scaling import MISSING_CODE
from components.runtime.surprise import Integers
from components.runtime.trees import LEAF_BITS, raw_score, tree_outputs
from components.training.boosting import tree_values
from components.training.judging.detector import Scored
from components.values import BoostedModel, ElectraModel, TrainedModel


def answers(model: TrainedModel, codes: NDArray[np.int8], profiles: NDArray[Any] | None = None) -> Scored:
    """(windows, steps, channels) int8 codes -> score, residual and logits of ``model``.

    ``profiles``: (windows,) hardware profile of each window's device, for a model that knows types; None: all unknown.
    """
    if isinstance(model, BoostedModel):
        return _of_trees(model, codes)
    assert isinstance(model, ElectraModel)  # noqa: S101 - there are two kinds
    return _of_network(model, codes, None if profiles is None else model.architecture.positions(profiles))


def distances(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """(windows, steps, channels) squared distance of each sample from its channel's centre, 0 where it is missing.

    Trees correct nothing; this stands in for their residual where channels are named.
    """
    return np.where(codes == MISSING_CODE, 0, codes).astype(np.float32) ** 2


def nats(logits: Integers) -> NDArray[np.float64]:
    """Logits of trees -> natural logarithms of odds."""
    return np.asarray(logits * (np.log(2.0) / (1 << LEAF_BITS)))


def _of_trees(model: BoostedModel, codes: NDArray[np.int8]) -> Scored:
    outputs = tree_outputs(model.trees, codes)
    scores = raw_score(model.scored, outputs, len(codes)) / 256.0
    logits = {head.task: nats(outputs.logits[head.task]) for head in model.heads if head.classes}
    return Scored(scores, distances(codes), logits, tree_values(model.heads, outputs))


def _of_network(model: ElectraModel, codes: NDArray[np.int8], types: NDArray[np.int64] | None) -> Scored:
    outputs = reference.forward(model.architecture, model.weights, codes, types)
    values = codes * np.float32(model.architecture.input_scale)
    residual = np.where(codes == MISSING_CODE, 0, values - outputs.correction) ** 2 / model.normal.residual_variance
    wide = {task: part.nats(codes) for task, part in model.wide.items()}
    logits = {task: found.astype(np.float64) + wide.get(task, 0.0) for task, found in outputs.logits.items()}
    return Scored(
        reference.raw_score(model, codes, outputs),
        residual.astype(np.float32),
        logits,
        reference.values(model.architecture, outputs),
    )
