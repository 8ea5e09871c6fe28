"""Make the networks of `model.shapes`: try the recipes of each shape, and keep what answers best in integers.

post_training   the trained network as it is, quantized after training as for every other profile
qat             the trained network, trained on while it computes as int8 does
prune           its least channels and blocks cut out, then as qat
distil          a network of its own size learns from the trained one, then as qat
search          all of these that the size allows

Labels, gold answers and truth take no part in the choice: a recipe is as good as its answers are near those of the trained
network on calibration windows, with and without faults.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.models.reference import forward
from components.models.selection import enough, of_type, range_windows
from components.models.telemetry_electra import Encoder
from components.training.decisions import settled
from components.training.loop import Phase
from components.training.normal import residual_variance, thinned
from components.training.pretrain import settle_norms
from components.training.shaping.imitation import Answers, Lessons, answers, distance_in_integers, imitate, lessons, total
from components.training.shaping.pruning import pruned
from components.training.shaping.student import Student
from components.values import LabelSet, Windows
from components.values.architecture import Architecture, Weights, for_type
from components.values.shaped import Shaped

if TYPE_CHECKING:
    from components.training.loop import Engine
    from components.training.train import Rows
    from components.workspace import Workspace
    from components.workspace.model_settings import Model, Shape

QAT_RATE = 0.25
"""Of the learning rate of the settings: these weights are good already."""

Network = tuple[Architecture, Weights]


def shaped(
    workspace: Workspace, windows: Windows, labels: list[LabelSet], rows: Rows, teacher: Encoder, engine: Engine
) -> tuple[Shaped, ...]:
    """One a shape of the settings. ``teacher``: the trained network on the processor, as it is again afterwards."""
    return tuple(_shaped(workspace, shape, windows, labels, rows, teacher, engine) for shape in workspace.settings.model.shapes)


def _shaped(
    workspace: Workspace,
    shape: Shape,
    windows: Windows,
    labels: list[LabelSet],
    rows: Rows,
    teacher: Encoder,
    engine: Engine,
) -> Shaped:
    """Of a network that knows device types, a shape learns the answers for its one profile, on windows from there."""
    model, types, profile = workspace.settings.model, teacher.architecture.types, shape.profiles[0]
    mine = of_type(types, windows, profile)
    rows = replace(rows, **{part: enough(getattr(rows, part), mine) for part in ("fit", "calibration", "clean", "quiet")})
    kind = types.index(profile) if profile in types else -1
    ranges, held = range_windows(windows, mine), rows.quiet if len(rows.quiet) else rows.clean
    taught = lessons(teacher, kind, windows.codes, rows.fit, held, ranges, model.batch, model.channel_dropout)
    teacher.to(engine.device)
    found = _best(workspace, shape, taught, engine)
    teacher.cpu()
    return _settled(workspace, windows, labels, rows, teacher, found)


def _best(workspace: Workspace, shape: Shape, taught: Lessons, engine: Engine) -> Shaped:
    model, tried = workspace.settings.model, {}
    for recipe in shape.recipes(model):
        network = _RECIPES[recipe](shape, model, taught, engine, workspace.settings.seed)
        tried[recipe] = (total(distance_in_integers(*network, taught)), network)
    recipe = min(tried, key=lambda name: tried[name][0])  # of equal ones the first, which costs least
    architecture, weights = tried[recipe][1]
    losses: dict[str, float] = {name: loss for name, (loss, _) in tried.items()}
    return Shaped(shape.name, shape.profiles, recipe, losses, architecture, weights, np.zeros(0, np.float32))


def _post_training(shape: Shape, model: Model, taught: Lessons, engine: Engine, seed: int) -> Network:
    a = taught.teacher.architecture
    return for_type(a, taught.teacher.deploy_weights(), a.types[taught.kind] if taught.kind >= 0 else "")


def _qat(shape: Shape, model: Model, taught: Lessons, engine: Engine, seed: int) -> Network:
    return _trained_on("qat", shape, _post_training(shape, model, taught, engine, seed), model, taught, engine, seed)


def _prune(shape: Shape, model: Model, taught: Lessons, engine: Engine, seed: int) -> Network:
    a, weights = _post_training(shape, model, taught, engine, seed)
    network = pruned(a, weights, shape.width or a.width, shape.blocks or a.blocks, taught.ranges)
    return _trained_on("prune", shape, network, model, taught, engine, seed)


def _distil(shape: Shape, model: Model, taught: Lessons, engine: Engine, seed: int) -> Network:
    a = taught.teacher.architecture
    torch.manual_seed(seed)
    size = shape.width or a.width, shape.blocks or a.blocks, shape.kernel or a.kernel
    small = replace(a, width=size[0], blocks=size[1], kernel=size[2], types=())
    beginner = _Beginner(small).to(engine.device)
    phase = Phase(f"distil-{shape.name}", shape.steps, model.learning_rate, seed)
    imitate(engine, phase, beginner, taught)
    settle_norms(beginner.encoder, taught.codes, np.full(len(taught.codes), -1), taught.rows, seed, engine.device)
    network = beginner.architecture, beginner.deploy_weights()
    return _trained_on("distil-qat", shape, network, model, taught, engine, seed)


_RECIPES = {"post_training": _post_training, "qat": _qat, "prune": _prune, "distil": _distil}


def _trained_on(name: str, shape: Shape, network: Network, model: Model, taught: Lessons, engine: Engine, seed: int) -> Network:
    student = Student(*network, taught.ranges).to(engine.device)
    phase = Phase(f"{name}-{shape.name}", shape.steps, QAT_RATE * model.learning_rate, seed)
    return student.architecture, imitate(engine, phase, student, taught)


class _Beginner(nn.Module):
    """A network with batch norm that answers as its teacher does."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = Encoder(architecture)

    def forward(self, x: Tensor, present: Tensor) -> Answers:
        return answers(self.encoder, x, present)

    def deploy_weights(self) -> Weights:
        return self.encoder.deploy_weights()


def _settled(workspace: Workspace, windows: Windows, labels: list[LabelSet], rows: Rows, teacher: Encoder, one: Shaped) -> Shaped:
    """Decisions as often for each class as labels have them, and the residual that normal windows have, as of the teacher."""
    weights = dict(one.weights)
    for label in (label for label in labels if label.task in teacher.heads):

        def logits(chosen: NDArray[np.int64], task: str = label.task) -> NDArray[np.float64]:
            deep = forward(one.architecture, weights, windows.codes[chosen]).logits[task].astype(np.float64)
            return deep + (teacher.wide[task].nats(windows.codes[chosen]) if task in teacher.wide else 0.0)

        shift = settled(logits, label, rows.fit, rows.calibration)
        weights[f"head.{label.task}.bias"] = (weights[f"head.{label.task}.bias"] + shift).astype(np.float32)
    a, core, fit = one.architecture, workspace.settings.windows.core, thinned(rows.clean)
    correction = forward(a, weights, windows.codes[fit]).correction
    return replace(one, weights=weights, residual_variance=residual_variance(windows.codes[fit], correction, a.input_scale, core))
