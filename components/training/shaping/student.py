"""A network in its deploy form that learns while it computes as int8 does.

Quantization-aware training (Jacob et al., CVPR 2018): in the forward pass weights and activations are rounded to the codes
that a device will have, by the rules of `components.models.simulation`; in the backward pass rounding counts as the identity
(straight-through estimator: Bengio et al., 2013). Batch norm is folded before, because devices have none.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from components.models.ranges import ranges
from components.models.simulation import activations
from components.models.telemetry_electra import network_input
from components.models.weights import WEIGHT_LIMIT, weight_scales
from components.runtime.scoring import Quantized
from components.values.architecture import Architecture, Weights

RANGES_EVERY = 25
"""Steps for which ranges of activations stand before they are read from the windows again."""


class Student(nn.Module):
    """``codes``: (windows, steps, channels) int8 whose activations set the ranges, as they will for an artefact."""

    def __init__(self, architecture: Architecture, weights: Weights, codes: NDArray[np.int8]) -> None:
        super().__init__()
        self.architecture = architecture
        self.names = tuple(sorted(weights))
        self.arrays = nn.ParameterList(nn.Parameter(torch.from_numpy(np.array(weights[name]))) for name in self.names)
        # Checkpoints keep its age, so that a training which goes on reads ranges when one that was not killed does.
        self.register_buffer("age", torch.zeros((), dtype=torch.int64))
        self.age: Tensor
        self._codes = codes
        self._scales: dict[str, Quantized] = {}

    def deploy_weights(self) -> Weights:
        """Under the names of `Architecture`."""
        return {name: p.detach().cpu().numpy().copy() for name, p in zip(self.names, self.arrays, strict=True)}

    def forward(self, x: Tensor, present: Tensor) -> dict[str, Tensor]:
        """As `imitation.answers`: (batch, steps, channels) standard deviations and what of them is there -> outputs."""
        self._grow_older()
        a, w = self.architecture, dict(zip(self.names, self.arrays, strict=True))
        entry = self._held("input", network_input(a, x, present)).transpose(1, 2)
        h = self._held("stem", torch.relu(_convolved(entry, w, "stem")))
        for i in range(a.blocks):
            depthwise, pointwise = f"block{i}.depthwise", f"block{i}.pointwise"
            d = self._held(depthwise, torch.relu(_convolved(h, w, depthwise, groups=a.width)))
            h = self._held(f"block{i}", torch.relu(h + self._held(pointwise, _convolved(d, w, pointwise))))
        found = {"correction": self._held("correction", _convolved(h, w, "correct")).transpose(1, 2)}
        embedding = self._held("embedding", h.mean(2))
        for head in a.heads:
            source = embedding if head.classes else self._summary(h, w, head.task)
            value = self._held(head.output, _dense(source, w, f"head.{head.task}"))
            found[head.output] = value if head.classes else value[:, 0]
        return found

    def _summary(self, h: Tensor, w: dict[str, nn.Parameter], task: str) -> Tensor:
        summary = f"summary.{task}"
        depthwise = F.conv1d(h, _rounded(w[f"{summary}.weight"]), w[f"{summary}.bias"], groups=h.shape[1])
        summed = self._held(summary, torch.relu(depthwise[:, :, 0]))
        return self._held(f"hidden.{task}", torch.relu(_dense(summed, w, f"hidden.{task}")))

    def _held(self, name: str, x: Tensor) -> Tensor:
        """``x`` as the codes of the tensor ``name`` say it."""
        q = self._scales[name]
        return torch.fake_quantize_per_tensor_affine(x, q.scale, q.zero, -128, 127)

    def _grow_older(self) -> None:
        if not self._scales or (self.training and int(self.age) % RANGES_EVERY == 0):
            weights = self.deploy_weights()
            self._scales = activations(self.architecture, ranges(self.architecture, weights, self._codes))
        self.age += int(self.training)


def _convolved(x: Tensor, w: dict[str, nn.Parameter], name: str, groups: int = 1) -> Tensor:
    """'Same' over steps; the spare step of an even kernel pads the end, as `models.reference` has it."""
    weight = w[f"{name}.weight"]
    kernel = weight.shape[2]
    padded = F.pad(x, ((kernel - 1) // 2, kernel // 2))
    return F.conv1d(padded, _rounded(weight), w[f"{name}.bias"], groups=groups)


def _dense(x: Tensor, w: dict[str, nn.Parameter], name: str) -> Tensor:
    return F.linear(x, _rounded(w[f"{name}.weight"]), w[f"{name}.bias"])


def _rounded(weight: nn.Parameter) -> Tensor:
    """Weights as codes with a scale an output channel say them."""
    scales = torch.from_numpy(weight_scales(weight.detach().cpu().numpy()).astype(np.float32)).to(weight.device)
    zeros = torch.zeros(len(scales), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT)
