"""Where networks are trained: on a CUDA device where there is one, else on the processor.

On CUDA the networks are compiled and compute in bfloat16 where autocast holds that to be safe; weights stay float32. Runs
repeat as far as PyTorch has deterministic kernels there; on a processor they repeat to the bit.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from components.workspace.errors import InputError


def training_device(wanted: str) -> torch.device:
    """``wanted``: 'auto', 'cpu' or 'cuda', as in `model.device`.

    Raises:
        InputError: 'cuda' where PyTorch sees none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "model.device is cuda, and PyTorch sees no CUDA device here",
            hint="set model.device: auto, or install a driver and a PyTorch built for CUDA",
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def repeatable(device: torch.device) -> None:
    """Have PyTorch choose deterministic kernels; on CUDA, where some operations have none, it warns at most."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")


def compiled(network: nn.Module, device: torch.device) -> None:
    """Have PyTorch fuse what ``network`` computes on CUDA; a short training on a processor would not earn back the wait.

    Where its compiler fails, as without a C compiler on the machine, the network runs as it is.
    """
    if device.type == "cuda":
        torch._dynamo.config.suppress_errors = True
        network.compile()


def placed_on(device: torch.device) -> AbstractContextManager[object]:
    """New tensors are made on ``device`` in this block; the processor needs no block, which would slow every call."""
    return nullcontext() if device.type == "cpu" else device


def precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 on CUDA where that is safe, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else nullcontext()
