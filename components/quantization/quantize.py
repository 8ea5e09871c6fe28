"""Compile a trained model for one hardware profile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from components.models.calibration import calibrate
from components.models.selection import normal_windows, own_windows, vector_windows
from components.quantization.recipes.search import Search
from components.quantization.selftest import make_self_test
from components.quantization.targets import Network
from components.values import Artefact, ElectraModel, TrainedModel, Windows
from components.workspace.errors import GateFailed, InputError
from components.workspace.profiles import Profile

if TYPE_CHECKING:
    from components.workspace import Workspace


def quantize(
    workspace: Workspace, profile: Profile, model: TrainedModel, windows: Windows, model_digest: str, found: Search
) -> Artefact:
    """The sealed artefact of ``profile``: the network that `recipes.search` ``found``, calibrated score, self-test.

    Artefacts may be built in parallel. Equal inputs give equal bytes.

    Raises:
        InputError: the windows do not fit the model, or there are too few to calibrate on.
        GateFailed: the network holds an operator that the profile does not allow, or cannot keep its numeric contract.
    """
    _check(model, windows)
    mine = own_windows(model, windows, profile.name)
    model = model.for_profile(profile.name, found.recipe.shape)
    network = found.network
    exact = _exact(profile, network)
    scoring = calibrate(model, network, normal_windows(model, windows, mine))
    vectors = vector_windows(windows, mine), profile.proof.vectors
    artefact = Artefact(
        name=model.name,
        profile=profile.name,
        runtime=profile.runtime.name,
        runtime_minimal=profile.runtime.minimal,
        channels=model.channels,
        steps=model.steps,
        tasks=_tasks(workspace, model),
        converter=model.converter,
        calibration=model.calibration,
        scoring=scoring,
        tensors=network.tensors,
        members=network.members,
        self_test=make_self_test(
            network,
            scoring,
            *vectors,
            exact=exact,
            conditions=model.calibration.conditions,
        ),
        model_digest=model_digest,
        units={h.task: h.unit for h in model.heads if not h.classes},
        recipe=found.recipe.name,
        shape=found.recipe.shape,
        stride=workspace.settings.windows.stride,
        optional=model.architecture.optional if isinstance(model, ElectraModel) else (),
    )
    if network.sources is not None:
        artefact = replace(artefact, members=network.sources(artefact))
    return artefact.sealed()


def _exact(profile: Profile, network: Network) -> bool:
    """Whether the device has to repeat every bit; trees and C do so by themselves."""
    can = not network.tensors or profile.runtime.name == "c99"
    if profile.exact and not can:
        raise GateFailed(
            f"profile '{profile.name}': numeric.contract is exact, but {profile.runtime.name} rounds as each processor does",
            hint="set numeric.contract to tolerance, or runtime.name to c99",
        )
    return can


def _tasks(workspace: Workspace, model: TrainedModel) -> dict[str, tuple[str, ...]]:
    """Task -> its classes; the anomaly task has none."""
    tasks: dict[str, tuple[str, ...]] = {h.task: h.classes for h in model.heads if h.classes}
    if model.has_anomaly:
        tasks |= {t.name: () for t in workspace.settings.tasks if t.kind == "anomaly"}
    return tasks


def _check(model: TrainedModel, windows: Windows) -> None:
    if windows.codes.shape[1:] != (model.steps, len(model.channels)) or windows.channels != model.channels:
        raise InputError(
            f"windows of {windows.codes.shape[1]} steps and channels {', '.join(windows.channels)} do not fit the model, "
            f"which reads {model.steps} steps of {', '.join(model.channels)}",
            hint="train again on these windows",
        )
