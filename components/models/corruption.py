"""What is done to a window so that the encoder has something to detect and correct.

Half of the spans get synthetic faults, as AnomalyBERT does (Jeong et al., 2023): level shift, drift, freeze, scale,
spikes, a span of another window. The other half get samples of the generator. A cell counts as replaced only when
its value moved by more than half a generator bin; smaller changes would be label noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from components.models.telemetry_electra import Generator

GENERATED_SHARE = 0.5
"""Of the windows, those whose first span is the generator's; the others' gets a fault."""
SPANS = 3
"""Blocks of steps x channels that are corrupted in each window."""
TEMPERATURE = 1.5
"""Above 1, so that the generator's samples are visible: at 1 it models the values too well to be told apart."""


@dataclass(frozen=True)
class Corrupted:
    """``window``: corrupted, ``replaced``: bool, both (batch, steps, channels); ``generator_loss``: scalar."""

    window: Tensor
    replaced: Tensor
    generator_loss: Tensor


def corrupt(x: Tensor, present: Tensor, generator: Generator, reach: float, random: torch.Generator) -> Corrupted:
    """(batch, steps, channels) standard deviations and the bool of samples that are not missing -> corrupted batch."""
    blocks = [_block(x, random) & present for _ in range(SPANS)]
    hidden = blocks[0] & (torch.rand((len(x), 1, 1), generator=random) < GENERATED_SHARE)
    logits = generator(x, hidden)
    loss = F.cross_entropy(logits, generator.bins(x[hidden])) if len(logits) else logits.sum()
    fault = _synthetic(x, random)
    broken = torch.stack([blocks[0] & ~hidden, *blocks[1:]]).any(0)
    y = torch.where(broken, fault, x)
    y = y.masked_scatter(hidden, generator.sample(logits, TEMPERATURE, random)).clamp(-reach, reach)
    width = float(generator.centres[1] - generator.centres[0])
    return Corrupted(y, (y - x).abs() > width / 2, loss)


def with_faults(x: Tensor, present: Tensor, reach: float, random: torch.Generator) -> Tensor:
    """(batch, steps, channels) with synthetic faults alone, in as many blocks a window as `corrupt` has."""
    broken = torch.stack([_block(x, random) & present for _ in range(SPANS)]).any(0)
    return torch.where(broken, _synthetic(x, random), x).clamp(-reach, reach)


def _block(x: Tensor, random: torch.Generator) -> Tensor:
    """One span of steps and a subset of channels a window, as bool."""
    batch, steps, channels = x.shape
    longest = max(3, steps * 2 // 5)
    length = torch.randint(2, longest + 1, (batch, 1), generator=random)
    start = (torch.rand((batch, 1), generator=random) * (steps - length + 1)).long()
    t = torch.arange(steps)[None]
    in_span = (t >= start) & (t < start + length)
    share = 0.1 + 0.5 * torch.rand((batch, 1), generator=random)
    in_channels = torch.rand((batch, channels), generator=random) < share
    in_channels[torch.arange(batch), torch.randint(0, channels, (batch,), generator=random)] = True
    return in_span[:, :, None] & in_channels[:, None, :]


def _synthetic(x: Tensor, random: torch.Generator) -> Tensor:
    """Each window with one kind of fault over its whole length; the caller cuts the block out."""
    batch, steps, channels = x.shape
    size = torch.randn((batch, 1, channels), generator=random)
    size = size.sign() * (0.3 + 1.5 * size.abs())
    ramp = torch.linspace(0, 1, steps)[None, :, None]
    at = torch.randint(0, steps, (batch,), generator=random)
    frozen = x[torch.arange(batch), at][:, None, :].expand_as(x)
    mean = x.mean(1, keepdim=True)
    spikes = (torch.rand(x.shape, generator=random) < 0.3) * size * 2
    kinds = (
        x + size,
        x + size * 2 * ramp,
        frozen,
        mean + (x - mean) * torch.exp(size.clamp(-2, 2)),
        x + spikes,
        x[torch.randperm(batch, generator=random)],
    )
    kind = torch.randint(0, len(kinds), (batch, 1, 1), generator=random)
    return sum((fault * (kind == i) for i, fault in enumerate(kinds)), start=torch.zeros_like(x))
