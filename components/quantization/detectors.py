"""A trained model or an artefact as a `Detector`: the same function of windows for evaluation and scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.models.calibration import CLEAR_AFTER, RAISE_AFTER
from components.quantization.trained import answers, distances, nats
from components.runtime.engines import open_engine
from components.runtime.scaling import MISSING_CODE
from components.runtime.scoring import Quantized, Scoring
from components.runtime.surprise import Integers, Outputs
from components.runtime.trees import TreeScoring
from components.runtime.wide import BITS
from components.training.judging.detector import Detector, Number, Scored
from components.values import Artefact, ElectraModel, TrainedModel
from components.workspace.errors import InputError, NotFound

_ONE = 65536.0
_SURPRISE = 256.0


def open_detector(path: Path, anomaly: str = "anomaly") -> Detector:
    """The trained model in the folder ``path`` (`out/train`), or the artefact in the file; ``anomaly`` names its task.

    Raises:
        NotFound: neither is there.
        InputError: the file is damaged, or its runtime does not run on this machine.
    """
    if (path / "model.json").is_file():
        return of_model(TrainedModel.load(path), anomaly)
    if path.is_file():
        return of_artefact(Artefact.load(path))
    raise NotFound(f"no trained model and no artefact at {path}", hint="name out/train, an .artefact file, a version or an alias")


def of_model(model: TrainedModel, anomaly: str = "anomaly") -> Detector:
    return Detector(
        name=model.name,
        kind="trained model",
        channels=model.channels,
        steps=model.steps,
        core=model.core,
        converter=model.converter,
        calibration=model.calibration,
        anomaly=anomaly if model.has_anomaly else "",
        classes={head.task: head.classes for head in model.heads if head.classes},
        threshold=model.threshold,
        false_alarm_share=model.false_alarm_share,
        raise_after=RAISE_AFTER,
        clear_after=CLEAR_AFTER,
        score=lambda codes, profiles: answers(model, codes, profiles),
        numbers={head.task: Number(head.unit, head.range) for head in model.heads if not head.classes},
        types=model.architecture.types if isinstance(model, ElectraModel) else (),
    )


def of_artefact(artefact: Artefact) -> Detector:
    """Scores are the artefact's own integers, in bits of surprise; it reads every window as one of its own devices'.

    Raises:
        InputError: its runtime does not run on this machine.
    """
    scoring = artefact.scoring
    try:
        engine = open_engine(artefact.runtime, artefact.members, artefact.tensors, artefact.optional)
    except ValueError as error:
        raise InputError(
            f"artefact of profile '{artefact.profile}': {error}",
            hint="name the trained model, or the artefact of a profile with ONNX Runtime or LiteRT",
        ) from None

    def score(codes: NDArray[np.int8], profiles: NDArray[Any]) -> Scored:
        del profiles
        outputs = engine(codes)
        surprise = scoring.surprise(scoring.raw_score(codes, outputs)) / _SURPRISE
        numbers = {task: gauge.in_unit(gauge.values(outputs.numbers[task])) for task, gauge in scoring.gauges.items()}
        if isinstance(scoring, TreeScoring):
            logits = {task: nats(outputs.logits[task]) for task in scoring.tasks}
            return Scored(surprise, distances(codes), logits, numbers)
        assert isinstance(scoring, Scoring)  # noqa: S101 - there are two kinds
        logits = {
            task: found / float(1 << BITS) if task in scoring.wide else _values(found, artefact.tensors[f"logits.{task}"])
            for task, found in scoring.logits(codes, outputs).items()
        }
        return Scored(surprise, _residual(scoring, codes, outputs), logits, numbers)

    threshold = scoring.threshold / _SURPRISE
    return Detector(
        name=f"{artefact.name} {artefact.profile}",
        kind="artefact",
        channels=artefact.channels,
        steps=artefact.steps,
        core=artefact.scoring.core,
        converter=artefact.converter,
        calibration=artefact.calibration,
        anomaly=next((task for task, classes in artefact.tasks.items() if not classes), ""),
        classes={task: classes for task, classes in artefact.tasks.items() if classes},
        threshold=threshold,
        false_alarm_share=float(2.0**-threshold),
        raise_after=scoring.raise_after,
        clear_after=scoring.clear_after,
        score=score,
        numbers={task: Number(artefact.units.get(task, ""), gauge.range) for task, gauge in scoring.gauges.items()},
    )


def _residual(scoring: Scoring, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.float32]:
    correction = (outputs.correction.astype(np.float32) - scoring.correction_zero) * (scoring.residual_output / _ONE)
    values = codes.astype(np.float32) * (scoring.residual_input / _ONE)
    squared = np.where(codes == MISSING_CODE, 0, values - correction) ** 2
    return np.asarray((squared * (np.asarray(scoring.channel_weight) / 256.0)).astype(np.float32))


def _values(codes: Integers, tensor: Quantized) -> NDArray[np.float64]:
    return (codes.astype(np.float64) - tensor.zero) * tensor.scale
