"""The telemetry ELECTRA: a generator corrupts windows, an encoder detects *and corrects* what was replaced.

ELECTRA (Clark et al., ICLR 2020) trains a discriminator to tell which tokens a small generator replaced. On sensors
the replaced-probability alone is a poor anomaly score, because real anomalies are no generator samples; corrected
values are a good one (estimate the mask and the value: VIME, Yoon et al., NeurIPS 2020). So the encoder has three
heads. Detection sharpens what the others read and is thrown away after training, with the generator. Restoring learns from
replaced cells alone what should have been there; repeating learns from all cells what a window like this looks like. What
only restores is unsure of normal windows, and what only repeats learns to copy anomalies too: the residual of their mean
sees both kinds, and since both are linear, devices compute one head.

Shapes: windows are (batch, steps, channels) float32 in robust standard deviations, 0 where missing, and beside them a bool of
the samples that are present: of channels that devices may lack, the encoder reads it too (`components.runtime.presence`).
A learned vector of the device's type is added behind the stem's batch norm, where it is a change of the folded bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.runtime.presence import ABSENT
from components.runtime.wide import Wide
from components.values.architecture import TYPES, Architecture, Weights

BINS = 24
"""Values that the generator chooses from, a channel: equal steps over the input range."""


@dataclass(frozen=True)
class Encoded:
    """``restored``, ``repeated``: (batch, steps, channels) what the two heads take the window for, ``detection``: logits of
    the same shape, ``embedding``: (batch, width), ``numbers``: regression task -> (batch,) from -1 to 1 over the task's
    range, and perhaps beyond.
    """

    restored: Tensor
    repeated: Tensor
    detection: Tensor
    embedding: Tensor
    numbers: dict[str, Tensor]

    @property
    def correction(self) -> Tensor:
        """The mean of both, which is what devices compute."""
        return (self.restored + self.repeated) / 2


class Encoder(nn.Module):
    """The network of `components.values.model.Architecture` with batch norm, and the detection head.

    ``wide``: task -> the wide part that its head was taught beside; `logits` are the network's alone.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.architecture = a
        self.wide: dict[str, Wide] = {}
        self.stem = _Normed(nn.Conv1d(a.inputs, a.width, 3, padding=1, bias=False))
        self.types = nn.Parameter(torch.zeros(len(a.types), a.width)) if a.types else None
        self.depthwise = nn.ModuleList(
            _Normed(nn.Conv1d(a.width, a.width, a.kernel, padding=a.kernel // 2, groups=a.width, bias=False))
            for _ in range(a.blocks)
        )
        self.pointwise = nn.ModuleList(_Normed(nn.Conv1d(a.width, a.width, 1, bias=False)) for _ in range(a.blocks))
        self.restore = nn.Conv1d(a.width, a.channels, 1)
        self.repeat = nn.Conv1d(a.width, a.channels, 1)
        self.detect = nn.Conv1d(a.width, a.channels, 1)
        self.heads = nn.ModuleDict({h.task: nn.Linear(a.width, len(h.classes)) for h in a.heads if h.classes})
        self.gauges = nn.ModuleDict({h.task: Gauge(a) for h in a.heads if not h.classes})

    def forward(self, x: Tensor, present: Tensor, types: NDArray[np.int64] | None = None) -> Encoded:
        """``types``: (batch,) of `Architecture.positions`; None: all unknown."""
        h = torch.relu(self._typed(self.stem(network_input(self.architecture, x, present).transpose(1, 2)), types))
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            h = torch.relu(h + pointwise(torch.relu(depthwise(h))))
        numbers = {task: gauge(h) for task, gauge in self.gauges.items()}
        restored, repeated, detection = (head(h).transpose(1, 2) for head in (self.restore, self.repeat, self.detect))
        return Encoded(restored, repeated, detection, h.mean(2), numbers)

    def on_processor(self) -> Encoder:
        """The same network there, as PyTorch runs it without compiling anything."""
        plain = Encoder(self.architecture)
        plain.load_state_dict(self.state_dict())
        plain.wide = self.wide
        return plain.eval()

    def _typed(self, h: Tensor, types: NDArray[np.int64] | None) -> Tensor:
        """(batch, width, steps) with the vector of each window's type added to all steps."""
        if self.types is None or types is None:
            return h
        vectors = torch.cat([self.types, torch.zeros_like(self.types[:1])])  # the last, at -1, is of a type unknown
        return h + vectors[torch.as_tensor(types)][:, :, None]

    def logits(self, task: str, embedding: Tensor) -> Tensor:
        """(batch, width) -> (batch, classes)."""
        head: Tensor = self.heads[task](embedding)
        return head

    def deploy_weights(self) -> Weights:
        """Batch norm folded into the convolutions, under the names of `Architecture`."""
        pairs: dict[str, tuple[Any, Any]] = {"stem": self.stem.folded()}
        for kind, stack in (("depthwise", self.depthwise), ("pointwise", self.pointwise)):
            for i, convolution in enumerate(stack):
                assert isinstance(convolution, _Normed)  # noqa: S101 - made in __init__
                pairs[f"block{i}.{kind}"] = convolution.folded()
        pairs["correct"] = (
            (self.restore.weight + self.repeat.weight) / 2,
            (_bias(self.restore) + _bias(self.repeat)) / 2,
        )
        for task, head in self.heads.items():
            pairs[f"head.{task}"] = (head.weight, head.bias)
        for task, gauge in self.gauges.items():
            assert isinstance(gauge, Gauge)  # noqa: S101 - made in __init__
            for name in ("summary", "hidden", "head"):
                layer = getattr(gauge, name)
                pairs[f"{name}.{task}"] = (layer.weight, layer.bias)
        arrays = {}
        for name, (weight, bias) in pairs.items():
            arrays[f"{name}.weight"] = weight.detach().cpu().numpy().astype(np.float32)
            arrays[f"{name}.bias"] = bias.detach().cpu().numpy().astype(np.float32)
        if self.types is not None:
            arrays[TYPES] = self.types.detach().cpu().numpy().astype(np.float32)
        return arrays


def network_input(architecture: Architecture, x: Tensor, present: Tensor) -> Tensor:
    """(batch, steps, channels) -> (batch, steps, inputs): `runtime.presence.entry` in standard deviations."""
    optional = list(architecture.optional)
    if not optional:
        return x
    absent = (~present[:, :, optional]).to(x.dtype) * (ABSENT * architecture.input_scale)
    return torch.cat([x, absent], 2)


class Gauge(nn.Module):
    """A number out of a window. Its summary starts as the mean over steps and learns which steps count for each feature."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        steps, width = architecture.steps, architecture.width
        self.summary = nn.Conv1d(width, width, steps, groups=width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 1)
        nn.init.constant_(self.summary.weight, 1 / steps)

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, width, steps) -> (batch,)."""
        summary = torch.relu(self.summary(steps)[:, :, 0])
        value: Tensor = self.head(torch.relu(self.hidden(summary)))[:, 0]
        return value


class Generator(nn.Module):
    """A small masked model of normal telemetry: a quarter of the encoder's width, one block (ELECTRA uses 1/4)."""

    def __init__(self, channels: int, width: int, reach: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(-reach, reach, BINS))
        self.centres: Tensor
        self.channels = channels
        self.mix = nn.Sequential(
            nn.Conv1d(2 * channels, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, width, 5, padding=2), nn.ReLU()
        )
        self.choose = nn.Parameter(torch.randn(channels, BINS, width) / width**0.5)
        self.prior = nn.Parameter(torch.zeros(channels, BINS))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Window and (batch, steps, channels) bool of hidden cells -> (hidden cells, BINS) logits."""
        seen = torch.cat([torch.where(hidden, 0.0, x), hidden.float()], dim=2).transpose(1, 2)
        window, step, channel = hidden.nonzero(as_tuple=True)
        features = self.mix(seen).transpose(1, 2)[window, step]
        return torch.einsum("nw,nbw->nb", features, self.choose[channel]) + self.prior[channel]

    def bins(self, values: Tensor) -> Tensor:
        """The bin of each value."""
        step = self.centres[1] - self.centres[0]
        return ((values - self.centres[0]) / step).round().long().clamp(0, BINS - 1)

    def sample(self, logits: Tensor, temperature: float, random: torch.Generator) -> Tensor:
        """(cells, BINS) -> (cells,) values drawn from the tempered distribution, without gradient, spread inside their bin."""
        levels = (logits.detach() / temperature).softmax(-1).cumsum(-1)
        draw = torch.rand((len(logits), 1), generator=random)
        chosen = (levels < draw).sum(-1).clamp(max=BINS - 1)
        step = self.centres[1] - self.centres[0]
        return self.centres[chosen] + step * (torch.rand(chosen.shape, generator=random) - 0.5)


class _Normed(nn.Module):
    """A convolution without bias and its batch norm."""

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm1d(convolution.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.convolution(x))
        return y

    def folded(self) -> tuple[Tensor, Tensor]:
        """(weight, bias) of the one convolution that does the same at inference."""
        norm = self.norm
        assert norm.running_var is not None and norm.running_mean is not None  # noqa: S101 - for the type checker
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return self.convolution.weight * gain[:, None, None], norm.bias - norm.running_mean * gain


def _bias(convolution: nn.Conv1d) -> Tensor:
    assert convolution.bias is not None  # noqa: S101 - made with one
    return convolution.bias
