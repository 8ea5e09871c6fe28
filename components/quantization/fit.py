"""Whether a trained model fits a hardware profile, from what needs no held-out windows: operators, sizes, self-test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.quantization.prove import device_checks
from components.quantization.quantize import quantize
from components.quantization.targets import Trial
from components.values import Artefact, Check, TrainedModel, Windows
from components.workspace.errors import GateFailed, InputError
from components.workspace.profiles import Profile

if TYPE_CHECKING:
    from components.workspace import Workspace


@dataclass(frozen=True)
class Fit:
    """``lacking``: why it does not fit, empty when it does. ``machine``: whose code was measured, '' when none could be made.

    ``missing``: what a proof here would leave open.
    """

    profile: str
    runtime: str
    lacking: tuple[str, ...]
    level: str
    machine: str
    checks: tuple[Check, ...]
    missing: str

    @property
    def fits(self) -> bool:
        return not self.lacking


def fit(workspace: Workspace, profile: Profile, model: TrainedModel, windows: Windows, digest: str, cache: Path) -> Fit:
    """Compile ``model`` for ``profile`` and hold sizes, instructions and latency against its budgets.

    Raises:
        BackendUnreachable: a converter or a runtime is not installed.
    """
    try:
        artefact = quantize(workspace, profile, model, windows, digest, cache)
        trial = _try(profile, artefact)
    except (GateFailed, InputError) as error:
        return Fit(profile.name, profile.runtime.name, (error.message,), "none", "", (), "")
    checks = tuple(device_checks(profile, trial))
    lacking = tuple(_words(c) for c in checks if not c.passed) or (() if trial.level != "none" else (trial.machine,))
    machine = f"{trial.machine}; RAM: {trial.note}" if trial.note else trial.machine
    return Fit(profile.name, profile.runtime.name, lacking, trial.level, machine, checks, trial.missing)


def _try(profile: Profile, artefact: Artefact) -> Trial:
    if artefact.runtime == "c99":
        from components.quantization.targets.c99.trial import try_self_test

        return try_self_test(profile, artefact)
    from components.quantization.targets.interpreted import try_here

    return try_here(profile, artefact, artefact.self_test_codes)


def _words(check: Check) -> str:
    return f"{check.name}: {check.value:,.6g} {check.unit}, {check.limit:,.6g} allowed"
