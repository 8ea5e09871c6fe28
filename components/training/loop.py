"""One phase of training: batches are drawn, losses lowered, and the way is kept as a learning curve and checkpoints.

What is learned is not said here: a phase is given a function that draws a batch and returns its losses. Everything that
the next step depends on is in the checkpoint (weights, optimiser, schedule, random generators, the curve so far), so a
training that is killed and taken up again ends with the bytes of one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from components.training.checkpoint import Checkpoints
from components.values.curves import Point
from components.workspace.errors import InputError

if TYPE_CHECKING:
    from components.training.train import Progress

WEIGHT_DECAY = 0.01
RECORD_EVERY = 25
"""Steps from one point of the learning curve to the next; checkpoints and progress keep this rhythm too."""
VALIDATIONS = 10
"""Points of a phase at which the validation loss is taken, about evenly spaced."""

Losses = dict[str, Tensor]
"""Named scalars; their sum is what the optimiser lowers."""
Draw = Callable[[torch.Generator], Losses]
"""Draws a batch with the generator and returns its losses."""
Watch = Callable[[torch.Generator], Mapping[str, Losses]]
"""Part of the curve, as in `Point.part`, -> losses on windows that training never sees."""


@dataclass(frozen=True)
class Phase:
    """``seed``: of everything drawn in it. ``warm_up``: loss -> share of the steps over which its weight rises from 0 to 1."""

    name: str
    steps: int
    learning_rate: float
    seed: int
    warm_up: Mapping[str, float] = field(default_factory=dict)

    def weighted(self, losses: Losses, step: int) -> Losses:
        """What counts of ``losses`` at ``step``, from 0 on."""
        shares = {name: (step + 1) / (self.steps * share) for name, share in self.warm_up.items() if share > 0}
        return {name: value * min(shares.get(name, 1.0), 1.0) for name, value in losses.items()}


@dataclass(frozen=True)
class Engine:
    """How a training runs, whatever it learns; ``curve`` grows by the points of each phase."""

    device: torch.device
    progress: Progress
    checkpoints: Checkpoints
    curve: list[Point] = field(default_factory=list)


def run_phase(engine: Engine, phase: Phase, modules: nn.ModuleDict, losses: Draw, watch: Watch) -> None:
    """Train ``modules`` in place. ``watch`` is asked for losses without gradient, in evaluation mode, always with the
    same random numbers, and may have none; what it draws changes nothing in the training.

    Raises:
        InputError: the losses grew beyond all bounds.
    """
    if not phase.steps:
        return
    way = _Way(phase, modules, engine.device)
    kept = engine.checkpoints.load(phase.name, engine.device)
    if kept is not None:
        way.restore(kept)
    sums: dict[str, Tensor] = {}
    since = way.step
    while way.step < phase.steps:
        for name, value in way.advance(losses).items():
            sums[name] = sums.get(name, 0.0) + value
        if way.step % RECORD_EVERY and way.step < phase.steps:
            continue
        way.record("train", {name: value / (way.step - since) for name, value in sums.items()})
        sums, since = {}, way.step
        if _validates(way.step, phase.steps):
            for part, held in _without_training(modules, watch, engine.device, phase.seed).items():
                if held:
                    way.record(part, held)
        engine.progress(phase.name, way.step, phase.steps)
        if engine.checkpoints.due or way.step == phase.steps:
            engine.checkpoints.save(phase.name, way.state())
    engine.curve.extend(way.points)


class _Way:
    """What one step hands to the next."""

    def __init__(self, phase: Phase, modules: nn.ModuleDict, device: torch.device) -> None:
        self._phase, self._modules, self._device = phase, modules, device
        self._random = torch.Generator(device).manual_seed(phase.seed)
        self._optimiser = torch.optim.AdamW(modules.parameters(), lr=phase.learning_rate, weight_decay=WEIGHT_DECAY)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, phase.learning_rate, total_steps=max(phase.steps, 2)
        )
        self.step = 0
        self.points: list[Point] = []

    def advance(self, losses: Draw) -> Losses:
        found = self._phase.weighted(losses(self._random), self.step)
        self._optimiser.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        self._optimiser.step()
        self._schedule.step()
        self.step += 1
        return {name: value.detach() for name, value in found.items()}

    def record(self, part: str, losses: Losses) -> None:
        values = {name: float(value) for name, value in losses.items()}
        if part == "train" and not all(abs(value) < float("inf") for value in values.values()):
            raise InputError(
                f"training diverged in {self._phase.name} before step {self.step}: "
                + ", ".join(f"{name} {value:g}" for name, value in values.items()),
                hint="lower model.learning_rate in muster.yaml, or raise model.batch",
            )
        rate = float(self._schedule.get_last_lr()[0])
        self.points.append(Point(self._phase.name, self.step, part, rate, values))

    def state(self) -> dict[str, Any]:
        return {
            "device": self._device.type,
            "step": self.step,
            "modules": dict(self._modules.state_dict()),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": self._random.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self._device.type == "cuda" else [],
            "points": [asdict(point) for point in self.points],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._modules.load_state_dict(state["modules"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self._random.set_state(state["random"])
        torch.set_rng_state(state["torch"])
        if state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])
        self.step, self.points = state["step"], [Point.from_json(point) for point in state["points"]]


def _validates(step: int, steps: int) -> bool:
    every = max(steps // VALIDATIONS // RECORD_EVERY, 1) * RECORD_EVERY
    return step % every == 0 or step == steps


def _without_training(modules: nn.ModuleDict, watch: Watch, device: torch.device, seed: int) -> Mapping[str, Losses]:
    """Losses in evaluation mode; each module has the mode it had again afterwards."""
    training = [(module, module.training) for module in modules.modules()]
    modules.eval()
    try:
        with torch.no_grad():
            return watch(torch.Generator(device).manual_seed(seed))
    finally:
        for module, mode in training:
            module.training = mode
