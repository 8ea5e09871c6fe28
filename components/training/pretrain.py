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
from components.training.device import placed_on, precision
from components.training.dropout import without_channels, without_types
from components.training.loop import Engine, Losses, Phase, run_phase
from components.workspace.model_settings import Model

if TYPE_CHECKING:
    from components.training.train import Rows

RESTORE_WEIGHT = 10.0
REPEAT_WEIGHT = 20.0
GENERATOR_WEIGHT = 0.1
_SETTLING_BATCHES, _SETTLING_BATCH = 16, 512
_VALIDATION_WINDOWS = 256


def pretrain(
    encoder: Encoder,
    codes: NDArray[np.int8],
    types: NDArray[np.int64],
    rows: Rows,
    settings: Model,
    seed: int,
    engine: Engine,
) -> Generator:
    """Train ``encoder`` in place on the clean windows of ``codes``; return the generator for joint fine-tuning.

    The quiet ones are for the validation loss. ``types``: (windows,) of `Architecture.positions`. No steps: both stay as they
    were drawn.
    """
    a = encoder.architecture
    generator = Generator(a.channels, max(8, a.width // 4), 127 * a.input_scale).to(engine.device)
    watched = validation_rows(rows.quiet)

    def losses(random: torch.Generator) -> Losses:
        batch = draw_rows(rows.clean, settings.batch, random)
        seen = without_channels(codes[batch], a.optional, settings.channel_dropout, random)
        known = without_types(types[batch], random)
        return electra_losses(encoder, generator, seen, settings.detect_weight, random, known)[0]

    def watch(random: torch.Generator) -> dict[str, Losses]:
        if not len(watched):
            return {}
        found, _ = electra_losses(encoder, generator, codes[watched], settings.detect_weight, random, types[watched])
        return {"validation": found}

    encoder.train()
    modules = torch.nn.ModuleDict({"encoder": encoder, "generator": generator})
    warm_up = {"detection": settings.detect_warm_up}
    phase = Phase("pre-train", settings.pretrain_steps, settings.learning_rate, seed, warm_up)
    with placed_on(engine.device):
        run_phase(engine, phase, modules, losses, watch)
    return generator


def electra_losses(
    encoder: Encoder,
    generator: Generator,
    codes: NDArray[np.int8],
    detect_weight: float,
    random: torch.Generator,
    types: NDArray[np.int64] | None = None,
) -> tuple[Losses, Encoded]:
    """Generator cross-entropy, ``detect_weight`` x detection at every cell, Huber losses of restoring replaced cells and of
    repeating all, and the encoder's outputs.

    ELECTRA weighs detection with 50 against a vocabulary of 30,000; with a few bins that would take the whole encoder.
    """
    x, present = as_input(codes, encoder.architecture.input_scale)
    with precision(x.device):
        corrupted = corrupt(x, present, generator, 127 * encoder.architecture.input_scale, random)
        encoded: Encoded = encoder(corrupted.window, present, types)
    seen = present.float()
    count = seen.sum().clamp(min=1)
    detection = F.binary_cross_entropy_with_logits(encoded.detection.float(), corrupted.replaced.float(), reduction="none")
    restoring = F.smooth_l1_loss(encoded.restored.float(), x, reduction="none")
    repeating = F.smooth_l1_loss(encoded.repeated.float(), x, reduction="none")
    replaced = (corrupted.replaced & present).float()
    losses = {
        "generator": GENERATOR_WEIGHT * corrupted.generator_loss.float(),
        "detection": detect_weight * (detection * seen).sum() / count,
        "restoring": RESTORE_WEIGHT * (restoring * replaced).sum() / replaced.sum().clamp(min=1),
        "repeating": REPEAT_WEIGHT * (repeating * seen).sum() / count,
    }
    return losses, encoded


def draw_rows(rows: NDArray[np.int64], count: int, random: torch.Generator) -> NDArray[np.int64]:
    """(count,) of ``rows``, drawn with replacement."""
    return rows[torch.randint(0, len(rows), (count,), generator=random).cpu().numpy()]


def validation_rows(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `_VALIDATION_WINDOWS`, evenly spaced."""
    few = np.linspace(0, len(rows) - 1, min(len(rows), _VALIDATION_WINDOWS)).astype(np.int64)
    return rows[few]


def settle_norms(
    encoder: Encoder,
    codes: NDArray[np.int8],
    types: NDArray[np.int64],
    rows: NDArray[np.int64],
    seed: int,
    device: torch.device,
) -> None:
    """Give batch norm the statistics of whole, natural windows, and hold them.

    Pre-training fed corrupted windows and fine-tuning draws rare classes often: with either's statistics the network
    would see a shifted world on devices.
    """
    random = torch.Generator(device).manual_seed(seed)
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches below
    encoder.train()
    with torch.no_grad(), placed_on(device):
        for _ in range(_SETTLING_BATCHES):
            batch = draw_rows(rows, _SETTLING_BATCH, random)
            encoder(*as_input(codes[batch], encoder.architecture.input_scale), types[batch])
    encoder.eval()


def as_input(codes: NDArray[np.int8], scale: float) -> tuple[Tensor, Tensor]:
    """(windows, steps, channels) int8 -> standard deviations with 0 for missing, and the bool of present samples.

    Both are on the device of the surrounding `placed_on` block, or the processor.
    """
    present = torch.as_tensor(np.asarray(codes != MISSING_CODE))
    x = torch.as_tensor(np.asarray(codes, np.float32)) * scale
    return torch.where(present, x, 0.0), present
