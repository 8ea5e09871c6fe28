"""What a network learns from the trained one, and how far it is from it in integers.

Distillation (Hinton et al., 2015) of everything that the trained network says: its corrections (Huber's loss), its class
probabilities (their divergence, wide parts included) and its numbers. Half of the windows carry synthetic faults, because a
student that has seen normal windows alone may answer anything where it matters, and what the teacher takes for a rare class is
drawn more often. No label is asked: what labels taught is in the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from components.models.corruption import with_faults
from components.models.simulation import Simulated, simulate
from components.models.telemetry_electra import Encoder
from components.training.device import placed_on
from components.training.dropout import without_channels
from components.training.finetune import NUMBER_WEIGHT
from components.training.loop import Engine, Losses, Phase, run_phase
from components.training.normal import predict
from components.training.pretrain import REPEAT_WEIGHT, as_input, validation_rows
from components.values.architecture import Architecture, Head, Weights

Codes = NDArray[np.int8]
Answers = Mapping[str, Tensor]
"""'correction' (batch, steps, channels), and a head's output (batch, classes) or (batch,)."""
FAULTY = 0.5
"""Share of the windows that get faults."""


@dataclass(frozen=True)
class Lessons:
    """``codes``: (windows, steps, channels) of the fleet, ``rows``: those to learn from, drawn by ``weights``. ``watched``:
    codes, with faults in half of them, that nothing learns from. ``ranges``: codes that set the ranges of activations.
    ``kind``: position of the device type that the teacher answers for, -1 for none.
    """

    teacher: Encoder
    kind: int
    codes: Codes
    rows: NDArray[np.int64]
    weights: Tensor
    watched: Codes
    ranges: Codes
    batch: int
    channel_dropout: float


def lessons(
    teacher: Encoder,
    kind: int,
    codes: Codes,
    rows: NDArray[np.int64],
    held: NDArray[np.int64],
    ranges: Codes,
    batch: int,
    dropout: float,
) -> Lessons:
    """``held``: rows that nothing learned from; some are watched."""
    calm = np.asarray(codes[validation_rows(held)])
    faulty = _with_faults(calm, teacher.architecture, 1.0, torch.Generator().manual_seed(0))
    weights = torch.from_numpy(_weights(teacher, kind, codes[rows]))
    return Lessons(teacher, kind, codes, rows, weights, np.concatenate([calm, faulty]), ranges, batch, dropout)


def answers(encoder: Encoder, x: Tensor, present: Tensor, kind: int = -1) -> Answers:
    """What a network with batch norm says of (batch, steps, channels) from devices of one type."""
    encoded, found = encoder(x, present, np.full(len(x), kind)), {}
    for head in encoder.architecture.heads:
        classes = bool(head.classes)
        found[head.output] = encoder.logits(head.task, encoded.embedding) if classes else encoded.numbers[head.task]
    return {"correction": encoded.correction, **found}


class Learner(Protocol):
    """A module that answers like the teacher, and says the weights that a device would have."""

    architecture: Architecture

    def __call__(self, x: Tensor, present: Tensor) -> Answers: ...

    def deploy_weights(self) -> Weights: ...


def imitate(engine: Engine, phase: Phase, learner: Learner, taught: Lessons) -> Weights:
    """Train ``learner``, a module, in place towards the teacher.

    What comes back are the weights which at a validation point were nearest to it in integers: what is selected is what runs.
    """
    assert isinstance(learner, nn.Module)  # noqa: S101 - both kinds of learners are
    a, best = learner.architecture, Best(learner.deploy_weights())

    def losses(random: torch.Generator) -> Losses:
        drawn = torch.multinomial(taught.weights.to(engine.device), taught.batch, replacement=True, generator=random)
        codes = without_channels(taught.codes[taught.rows[drawn.cpu().numpy()]], a.optional, taught.channel_dropout, random)
        codes = _with_faults(codes, a, FAULTY, random)
        x, present = as_input(codes, a.input_scale)
        with torch.no_grad():
            wanted = answers(taught.teacher, x, present, taught.kind)
        return distance(a.heads, learner(x, present), wanted, present, _wide(taught.teacher, codes))

    def watch(_: torch.Generator) -> dict[str, Losses]:
        weights = learner.deploy_weights()
        found = distance_in_integers(a, weights, taught)
        best.hear(total(found), weights)
        return {"int8": found}

    learner.train()
    with placed_on(engine.device):
        run_phase(engine, phase, nn.ModuleDict({"learner": learner, "best": best}).to(engine.device), losses, watch)
    learner.eval()
    return best.weights()


def total(losses: Losses) -> float:
    return float(torch.stack(list(losses.values())).sum())


class Best(nn.Module):
    """The weights that were best so far. A module, so that checkpoints keep it."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.names = tuple(sorted(weights))
        self.register_buffer("loss", torch.tensor(float("inf"), dtype=torch.float64))
        self.loss: Tensor
        for place, name in enumerate(self.names):
            self.register_buffer(f"kept{place}", torch.from_numpy(weights[name].copy()))

    def hear(self, loss: float, weights: Weights) -> None:
        if loss < float(self.loss):
            self.loss.fill_(loss)
            for place, name in enumerate(self.names):
                self.get_buffer(f"kept{place}").copy_(torch.from_numpy(weights[name]))

    def weights(self) -> Weights:
        return {name: self.get_buffer(f"kept{place}").cpu().numpy().copy() for place, name in enumerate(self.names)}


def distance(heads: tuple[Head, ...], got: Answers, wanted: Answers, present: Tensor, wide: Answers) -> Losses:
    """How far ``got`` is from ``wanted``: one loss for the correction of ``present`` samples, one a head.

    ``wide``: task -> (batch, classes) what its wide part adds to both.
    """
    seen = present.float()
    correction = F.smooth_l1_loss(got["correction"], wanted["correction"], reduction="none")
    found = {"correction": REPEAT_WEIGHT * (correction * seen).sum() / seen.sum().clamp(min=1)}
    for head in heads:
        mine, theirs = got[head.output], wanted[head.output]
        if head.classes:
            mine, theirs = ((logits + wide.get(head.task, 0.0)).log_softmax(-1) for logits in (mine, theirs))
            found[head.task] = F.kl_div(mine, theirs, reduction="batchmean", log_target=True)
        else:
            found[head.task] = NUMBER_WEIGHT * F.smooth_l1_loss(mine, theirs)
    return found


def distance_in_integers(architecture: Architecture, weights: Weights, taught: Lessons) -> Losses:
    """`distance` from the teacher's floats of what a device computes from ``weights``, on the watched windows."""
    x, present = as_input(taught.watched, architecture.input_scale)
    device = next(taught.teacher.parameters()).device
    with torch.no_grad():
        wanted = {k: v.cpu() for k, v in answers(taught.teacher, x.to(device), present.to(device), taught.kind).items()}
    simulated = simulate(architecture, weights, taught.ranges)
    got, wide = _in_floats(architecture, simulated, taught.watched), _wide(taught.teacher, taught.watched)
    return distance(architecture.heads, got, wanted, present.cpu(), {task: nats.cpu() for task, nats in wide.items()})


def _in_floats(architecture: Architecture, simulated: Simulated, codes: Codes) -> Answers:
    said = simulated.engine(codes)
    found: dict[str, NDArray[np.generic]] = {"correction": said.correction}
    for head in architecture.heads:
        found[head.output] = said.logits[head.task] if head.classes else said.numbers[head.task]
    values = {}
    for name, array in found.items():
        q = simulated.tensors[name]
        values[name] = torch.from_numpy(((array.astype(np.float32) - q.zero) * q.scale).astype(np.float32)).cpu()
    return values


def _with_faults(codes: Codes, architecture: Architecture, share: float, random: torch.Generator) -> Codes:
    """``codes`` with synthetic faults in ``share`` of the windows; what is missing stays missing."""
    scale = architecture.input_scale
    x, present = as_input(codes, scale)
    faulty = (torch.rand((len(x), 1, 1), generator=random) < share) & present
    x = torch.where(faulty, with_faults(x, present, 127 * scale, random), x)
    rounded = np.rint(x.cpu().numpy() / scale).clip(-127, 127).astype(np.int8)
    return np.where(faulty.cpu().numpy(), rounded, codes)


def _weights(teacher: Encoder, kind: int, codes: Codes) -> NDArray[np.float64]:
    """(windows,) how often each is drawn: by the inverse square root of the share of its classes, mean over tasks."""
    weights = np.zeros(len(codes))
    for found in predict(teacher, codes, np.full(len(codes), kind)).values():
        share = np.bincount(found) / len(found)
        weights += 1 / np.sqrt(share[found])
    return weights if weights.any() else np.ones(len(codes))


def _wide(teacher: Encoder, codes: Codes) -> Answers:
    return {task: torch.as_tensor(part.nats(codes).astype(np.float32)) for task, part in teacher.wide.items()}
