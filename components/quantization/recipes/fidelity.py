"""How near what a network says in a device's arithmetic is to the float model, on windows that nothing was learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.models import reference
from components.models.calibration import Network, uncalibrated
from components.models.reference import Floats
from components.quantization.ranks import rank_correlation
from components.quantization.trained import answers
from components.runtime.surprise import Integers, Outputs
from components.training.judging.detector import Scored
from components.training.numbers import rmse
from components.values import ElectraModel
from components.workspace.profiles import Numeric


@dataclass(frozen=True)
class Judged:
    """(windows, steps, channels) ``codes`` and what the float model says of them."""

    codes: NDArray[np.int8]
    outputs: Floats
    said: Scored


@dataclass(frozen=True)
class Fidelity:
    """``noise``: squared error of the outputs as a share of their variance, mean over outputs (1 / SQNR). ``agreement``: least
    share of windows with the same class over tasks. ``correlation``: Spearman's, of anomaly scores; None without an anomaly
    task. ``shift``: greatest root mean square distance of a number as a share of its range.
    """

    noise: float
    agreement: float
    correlation: float | None
    shift: float

    def broken(self, numeric: Numeric) -> str:
        """Which promise of a profile is not kept, in words; '' when all are."""
        wrong = []
        if self.agreement < numeric.min_label_agreement:
            wrong.append(f"label agreement {self.agreement:.3f} < {numeric.min_label_agreement:g}")
        if self.correlation is not None and self.correlation < numeric.min_rank_correlation:
            wrong.append(f"rank correlation {self.correlation:.3f} < {numeric.min_rank_correlation:g}")
        if self.shift > numeric.max_value_shift:
            wrong.append(f"value shift {self.shift:.3f} > {numeric.max_value_shift:g}")
        return ", ".join(wrong)


def judged(model: ElectraModel, codes: NDArray[np.int8]) -> Judged:
    return Judged(codes, reference.forward(model.architecture, model.weights, codes), answers(model, codes))


def fidelity(model: ElectraModel, network: Network, wanted: Judged) -> Fidelity:
    scoring, outputs = uncalibrated(model, network), network.engine(wanted.codes)
    verdict = scoring.verdict(wanted.codes, outputs)
    same = [float((verdict.classes[t] == logits.argmax(axis=1)).mean()) for t, logits in wanted.said.logits.items()]
    shifts = [rmse(g.in_unit(verdict.values[t]) - wanted.said.values[t]) / g.width for t, g in scoring.gauges.items()]
    score = scoring.raw_score(wanted.codes, outputs)
    return Fidelity(
        _noise(network, outputs, wanted.outputs),
        min(same, default=1.0),
        rank_correlation(wanted.said.score, score) if model.has_anomaly else None,
        max(shifts, default=0.0),
    )


def _noise(network: Network, outputs: Outputs, wanted: Floats) -> float:
    pairs: dict[str, tuple[Integers, NDArray[np.float32]]] = {"correction": (outputs.correction, wanted.correction)}
    pairs |= {f"logits.{task}": (found, wanted.logits[task]) for task, found in outputs.logits.items()}
    pairs |= {f"number.{task}": (found.ravel(), wanted.numbers[task]) for task, found in outputs.numbers.items()}
    return float(np.mean([_error(network, name, *pair) for name, pair in pairs.items()]))


def _error(network: Network, name: str, codes: Integers, wanted: NDArray[np.float32]) -> float:
    q = network.tensors[name]
    error = (codes.astype(np.float64) - q.zero) * q.scale - wanted
    return float((error**2).mean() / max(float(wanted.var(dtype=np.float64)), 1e-12))
