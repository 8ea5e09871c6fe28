"""Fine-tuning: heads learn from label probabilities and declared numbers while the encoder keeps detecting and correcting.

The noise-aware loss is the expected cross-entropy under the label model's probabilities (Ratner et al., NeurIPS 2016):
``sum_c p_c * -log q_c``, with p sharpened: half of a label's probability is a belief that no vote moved, right as a
probability and timid as a target (sharpening: Berthelot et al., MixMatch, NeurIPS 2019, equation 7 with T = 1/2).
Uncovered windows take no part in it. Rare classes are drawn more often, by the inverse square root of their expected
share, so that the class decision keeps some of the prior without drowning in it.

Numbers are learned on the scale of their range with Huber's loss (Annals of Mathematical Statistics 35, 1964), squared up to
a quarter of the range, on all training windows that have one: how a machine wears out shows at the end of its record, which
thresholds of scores are calibrated on and the other losses leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from components.models.selection import range_codes
from components.models.simulation import simulate
from components.models.telemetry_electra import Encoded, Encoder, Generator
from components.training.device import placed_on, precision
from components.training.dropout import without_channels, without_types
from components.training.loop import Engine, Losses, Phase, run_phase
from components.training.pretrain import as_input, draw_rows, electra_losses, validation_rows
from components.values import LabelSet, Targets
from components.values.architecture import for_type
from components.workspace.model_settings import Model

if TYPE_CHECKING:
    from components.training.train import Rows

_SHARE = 0.3
"""Weight of what pre-training learned beside the tasks: enough that anomaly scores keep, and 1 costs tasks more."""
_SMALLEST_BATCH = 32
_STEPS_OF_NOISE = 8
_SHARPNESS = 2.0
_HUBER = 0.5
NUMBER_WEIGHT = 20.0
"""Of the loss of a number: an error of a quarter of the range weighs as much as a class that the head gives a half."""

Read = tuple[NDArray[np.int8], NDArray[np.int64]]
"""Windows as the encoder is to read them: codes and types."""
Asked = tuple[LabelSet | Targets, NDArray[np.int64]]
"""What a task wants to hear, and the windows it is asked about."""


def finetune(
    encoder: Encoder,
    generator: Generator,
    codes: NDArray[np.int8],
    types: NDArray[np.int64],
    rows: Rows,
    labels: list[LabelSet],
    targets: Sequence[Targets],
    settings: Model,
    seed: int,
    engine: Engine,
) -> None:
    """Train heads and encoder in place on what ``rows`` has to fit on; its calibration windows are for the validation losses.

    ``types``: (windows,) of `Architecture.positions`.
    """
    draws = [(label, *_draw_weights(label, rows.fit)) for label in labels if label.task in encoder.heads]
    lessons = [(target, np.flatnonzero(target.covered)) for target in targets]
    size = max(settings.batch // max(len(draws) + len(lessons), 1), _SMALLEST_BATCH)
    watched = validation_rows(rows.quiet)
    _begin_with_nothing(encoder)
    held_back = [(label, validation_rows(rows.calibration[label.covered[rows.calibration]])) for label, _, _ in draws]
    held_back = [(label, held) for label, held in held_back if len(held)]
    judged: list[Asked] = [*held_back]
    ranges = range_codes(codes, np.union1d(rows.fit, rows.calibration))

    def seen(chosen: NDArray[np.int64], random: torch.Generator) -> Read:
        lacking = without_channels(codes[chosen], encoder.architecture.optional, settings.channel_dropout, random)
        return lacking, without_types(types[chosen], random)

    def losses(random: torch.Generator) -> Losses:
        batch, known = seen(draw_rows(rows.clean, settings.batch, random), random)
        found = _kept_in_mind(electra_losses(encoder, generator, batch, settings.detect_weight, random, known)[0])
        asked: list[Asked] = []
        for label, taught, weights in draws:
            drawn = torch.multinomial(weights.to(engine.device), size, replacement=True, generator=random)
            asked.append((label, taught[drawn.cpu().numpy()]))
        asked += [(target, draw_rows(taught, size, random)) for target, taught in lessons]
        return found | _task_losses(encoder, asked, seen(_all_rows(asked), random), random)

    def watch(random: torch.Generator) -> dict[str, Losses]:
        found: Losses = {}
        if len(watched):
            kept = electra_losses(encoder, generator, codes[watched], settings.detect_weight, random, types[watched])
            found = _kept_in_mind(kept[0])
        if judged:
            everything = _all_rows(judged)
            found |= _task_losses(encoder, judged, (codes[everything], types[everything]), random)
        return {"validation": found, "int8": _losses_in_integers(encoder, held_back, codes, types, ranges)}

    modules = torch.nn.ModuleDict({"encoder": encoder, "generator": generator})
    phase = Phase("fine-tune", settings.finetune_steps, settings.learning_rate, seed + 1)
    with placed_on(engine.device):
        run_phase(engine, phase, modules, losses, watch)


def _kept_in_mind(losses: Losses) -> Losses:
    return {name: _SHARE * loss for name, loss in losses.items()}


def _begin_with_nothing(encoder: Encoder) -> None:
    """Heads beside a wide part begin at 0, so that the network learns only what that does not explain."""
    for task in encoder.wide:
        for parameter in encoder.heads[task].parameters():
            torch.nn.init.zeros_(parameter)


def _draw_weights(label: LabelSet, fit: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tensor]:
    rows = fit[label.covered[fit]]
    probabilities = label.probabilities[rows]
    weights = (probabilities / np.sqrt(np.maximum(probabilities.mean(axis=0), 1e-6))).sum(axis=1)
    return rows, torch.from_numpy(weights.astype(np.float64))


def _all_rows(asked: list[Asked]) -> NDArray[np.int64]:
    return np.concatenate([rows for _, rows in asked])


def _task_losses(encoder: Encoder, asked: list[Asked], read: Read, random: torch.Generator) -> Losses:
    """``read``: the windows of all tasks, one task after the other: one pass is for all."""
    codes, types = read
    x, present = as_input(codes, encoder.architecture.input_scale)
    found: Losses = {}
    with precision(x.device):
        encoded: Encoded = encoder(x, present, types)
        end = 0
        for what, rows in asked:
            mine = slice(end, end := end + len(rows))
            if isinstance(what, LabelSet):
                embedding = _as_coarse_as_int8(encoded.embedding[mine].float(), random)
                found[what.task] = _noise_aware_loss(encoder, what, embedding, codes[mine], rows)
            else:
                found[what.task] = NUMBER_WEIGHT * _number_loss(what, encoded.numbers[what.task][mine], rows)
    return found


def _noise_aware_loss(
    encoder: Encoder, label: LabelSet, embedding: Tensor, codes: NDArray[np.int8], rows: NDArray[np.int64]
) -> Tensor:
    logits = encoder.logits(label.task, embedding).float()
    if label.task in encoder.wide:
        logits = logits + torch.as_tensor(encoder.wide[label.task].nats(codes).astype(np.float32))
    return F.cross_entropy(logits, torch.as_tensor(sharpened(label.probabilities[rows])))


def _losses_in_integers(
    encoder: Encoder,
    judged: list[tuple[LabelSet, NDArray[np.int64]]],
    codes: NDArray[np.int8],
    types: NDArray[np.int64],
    ranges: NDArray[np.int8],
) -> Losses:
    """The noise-aware losses of what devices would compute if training ended now, each type of device its own network."""
    a, weights, found = encoder.architecture, encoder.deploy_weights(), {}
    known = np.unique(np.concatenate([types[rows] for _, rows in judged])) if judged else ()
    networks = {t: simulate(*for_type(a, weights, a.types[t] if t >= 0 else ""), ranges) for t in known}
    for label, rows in judged:
        logits = np.empty((len(rows), len(label.classes)), np.float32)
        for t, network in networks.items():
            mine = types[rows] == t
            q, said = network.tensors[f"logits.{label.task}"], network.engine(codes[rows[mine]]).logits[label.task]
            logits[mine] = (said.astype(np.float32) - q.zero) * np.float32(q.scale)
        if label.task in encoder.wide:
            logits += encoder.wide[label.task].nats(codes[rows]).astype(np.float32)
        found[label.task] = F.cross_entropy(torch.as_tensor(logits), torch.as_tensor(sharpened(label.probabilities[rows])))
    return found


def _number_loss(target: Targets, number: Tensor, rows: NDArray[np.int64]) -> Tensor:
    return F.huber_loss(number.float(), torch.as_tensor(target.scaled[rows]), delta=_HUBER)


def sharpened(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(windows, classes) probabilities to the power `_SHARPNESS`, summing to 1 again."""
    powers = probabilities**_SHARPNESS
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _as_coarse_as_int8(embedding: Tensor, random: torch.Generator) -> Tensor:
    """Add the error that int8 activations will have, so that heads leave a margin for it.

    Rounding to steps of s is like uniform noise of width s (Widrow, IRE Trans. Circuit Theory 3, 1956); a few layers'
    errors add up to some steps.
    """
    span = embedding.detach().max() - embedding.detach().min()
    return embedding + (torch.rand(embedding.shape, generator=random) - 0.5) * span * (_STEPS_OF_NOISE / 255)
