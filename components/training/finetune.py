"""Fine-tuning: classification heads learn from label probabilities while the encoder keeps detecting and correcting.

The noise-aware loss is the expected cross-entropy under the label model's probabilities (Ratner et al., NeurIPS 2016):
``sum_c p_c * -log q_c``, with p sharpened: half of a label's probability is a belief that no vote moved, right as a
probability and timid as a target (sharpening: Berthelot et al., MixMatch, NeurIPS 2019, equation 7 with T = 1/2).
Uncovered windows take no part in it. Rare classes are drawn more often, by the inverse square root of their expected
share, so that the class decision keeps some of the prior without drowning in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from components.models.telemetry_electra import Encoder, Generator
from components.training.pretrain import WEIGHT_DECAY, as_input, electra_loss
from components.values import LabelSet
from components.workspace.settings import Model

if TYPE_CHECKING:
    from components.training.train import Progress

_REPORT_EVERY = 25
_SMALLEST_BATCH = 32
_STEPS_OF_NOISE = 8
_SHARPNESS = 2.0


def finetune(
    encoder: Encoder,
    generator: Generator,
    codes: NDArray[np.int8],
    fit: NDArray[np.int64],
    clean: NDArray[np.int64],
    labels: list[LabelSet],
    settings: Model,
    seed: int,
    progress: Progress,
) -> None:
    """Train heads and encoder in place. ``fit``: training rows, ``clean``: those of them that look normal."""
    random = torch.Generator().manual_seed(seed + 1)
    draws = [(label, *_draw_weights(label, fit)) for label in labels if label.task in encoder.heads]
    steps, size = settings.finetune_steps, max(settings.batch // max(len(draws), 1), _SMALLEST_BATCH)
    parameters = [*encoder.parameters(), *generator.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps)
    for step in range(steps):
        batch = clean[torch.randint(0, len(clean), (settings.batch,), generator=random).numpy()]
        loss, _ = electra_loss(encoder, generator, codes[batch], settings.detect_weight, random)
        for label, rows, weights in draws:
            chosen = rows[torch.multinomial(weights, size, replacement=True, generator=random).numpy()]
            loss = loss + _noise_aware_loss(encoder, label, codes[chosen], chosen, random)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % _REPORT_EVERY == 0 or step == steps - 1:
            progress("fine-tune", step + 1, steps)


def _draw_weights(label: LabelSet, fit: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tensor]:
    rows = fit[label.covered[fit]]
    probabilities = label.probabilities[rows]
    weights = (probabilities / np.sqrt(np.maximum(probabilities.mean(axis=0), 1e-6))).sum(axis=1)
    return rows, torch.from_numpy(weights.astype(np.float64))


def _noise_aware_loss(
    encoder: Encoder, label: LabelSet, codes: NDArray[np.int8], rows: NDArray[np.int64], random: torch.Generator
) -> Tensor:
    x, _ = as_input(codes, encoder.architecture.input_scale)
    embedding = _as_coarse_as_int8(encoder(x).embedding, random)
    return F.cross_entropy(encoder.logits(label.task, embedding), torch.from_numpy(sharpened(label.probabilities[rows])))


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
