"""Pre-training: the encoder learns to detect and correct what a generator and synthetic faults replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from components.models.corruption import corrupt
from components.models.telemetry_electra import Encoded, Encoder, Generator
from components.runtime.scaling import MISSING_CODE
from components.workspace.settings import Model

if TYPE_CHECKING:
    from components.training.train import Progress

CORRECT_WEIGHT = 10.0
GENERATOR_WEIGHT = 0.1
WEIGHT_DECAY = 0.01
_REPORT_EVERY = 25
_SETTLING_BATCHES = 16


def pretrain(
    encoder: Encoder, codes: NDArray[np.int8], rows: NDArray[np.int64], settings: Model, seed: int, progress: Progress
) -> Generator:
    """Train ``encoder`` in place on the windows ``rows`` of ``codes``; return the generator for joint fine-tuning."""
    random = torch.Generator().manual_seed(seed)
    a = encoder.architecture
    generator = Generator(a.channels, max(8, a.width // 4), 127 * a.input_scale)
    steps = settings.pretrain_steps
    parameters = [*encoder.parameters(), *generator.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps)
    encoder.train()
    for step in range(steps):
        batch = rows[torch.randint(0, len(rows), (settings.batch,), generator=random).numpy()]
        loss, _ = electra_loss(encoder, generator, codes[batch], settings.detect_weight, random)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % _REPORT_EVERY == 0 or step == steps - 1:
            progress("pre-train", step + 1, steps)
    return generator


def electra_loss(
    encoder: Encoder, generator: Generator, codes: NDArray[np.int8], detect_weight: float, random: torch.Generator
) -> tuple[Tensor, Encoded]:
    """Generator cross-entropy + ``detect_weight`` x detection at every cell + Huber correction, and the encoder's outputs.

    ELECTRA weighs detection with 50 against a vocabulary of 30,000; with a few bins 5 to 10 balance the terms.
    """
    x, present = as_input(codes, encoder.architecture.input_scale)
    corrupted = corrupt(x, present, generator, 127 * encoder.architecture.input_scale, random)
    encoded: Encoded = encoder(corrupted.window)
    seen = present.float()
    count = seen.sum().clamp(min=1)
    detection = F.binary_cross_entropy_with_logits(encoded.detection, corrupted.replaced.float(), reduction="none")
    correction = F.smooth_l1_loss(encoded.correction, x, reduction="none")
    loss = (
        GENERATOR_WEIGHT * corrupted.generator_loss
        + detect_weight * (detection * seen).sum() / count
        + CORRECT_WEIGHT * (correction * seen).sum() / count
    )
    return loss, encoded


def settle_norms(encoder: Encoder, codes: NDArray[np.int8], rows: NDArray[np.int64], seed: int) -> None:
    """Give batch norm the statistics of whole, natural windows, and hold them.

    Pre-training fed corrupted windows and fine-tuning draws rare classes often: with either's statistics the network
    would see a shifted world on devices.
    """
    random = torch.Generator().manual_seed(seed)
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches below
    encoder.train()
    with torch.no_grad():
        for _ in range(_SETTLING_BATCHES):
            batch = rows[torch.randint(0, len(rows), (512,), generator=random).numpy()]
            encoder(as_input(codes[batch], encoder.architecture.input_scale)[0])
    encoder.eval()


def as_input(codes: NDArray[np.int8], scale: float) -> tuple[Tensor, Tensor]:
    """(windows, steps, channels) int8 -> standard deviations with 0 for missing, and the bool of present samples."""
    present = torch.from_numpy(np.asarray(codes != MISSING_CODE))
    x = torch.from_numpy(np.asarray(codes, np.float32)) * scale
    return torch.where(present, x, 0.0), present
