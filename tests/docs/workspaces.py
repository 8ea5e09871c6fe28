"""The smallest workspace in which every command still has something to show."""

from __future__ import annotations

from pathlib import Path

from tests.flows.running import change, small_pumps

_QUICKER = {"pretrain_steps": 20, "finetune_steps": 40, "threads": 1}
"""Enough for a model that quantizes well; its metrics say nothing."""


def quick_pumps(checkout: Path, root: Path) -> Path:
    """A quarter of the default fleet, with the same names, and a model that is trained in seconds."""
    small_pumps(checkout, root)
    change(root / "muster.yaml", lambda settings: settings["model"].update(_QUICKER))
    return root
