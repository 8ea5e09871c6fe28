"""Run an artefact in its own runtime on held-out windows, and hold it against the float model and its budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.models.selection import held_out, own_windows
from components.quantization.ranks import rank_correlation
from components.quantization.targets import Trial
from components.quantization.trained import answers
from components.training.evaluation import evaluate
from components.training.judging.detector import Scored
from components.training.numbers import rmse
from components.values import Artefact, Check, Proof, TrainedModel, Windows
from components.workspace.errors import InputError
from components.workspace.profiles import Profile

if TYPE_CHECKING:
    from components.workspace import Workspace


UNGATED = ("/mae", "/last_rmse", "/last_phm08")
"""Metrics of a regression that follow its RMSE, some of them from few windows: reported, not gated."""
_TINY = 1e-9


def prove(workspace: Workspace, profile: Profile, artefact: Artefact, model: TrainedModel, windows: Windows) -> Proof:
    """The record of ``artefact`` on up to `evaluation.max_windows` held-out windows of whole devices.

    A budget that is broken is a failed check of the proof, not an error.

    Raises:
        InputError: the artefact was made for another profile, or no window is held out.
    """
    if artefact.profile != profile.name:
        raise InputError(
            f"artefact of profile '{artefact.profile}' cannot be proven for '{profile.name}'", hint="name its own profile"
        )
    rows = held_out(windows, workspace.settings.evaluation.max_windows, own_windows(model, windows, profile.name))
    trial = _try(profile, artefact, windows, rows)
    checks = _device_checks(profile, trial) + _model_checks(workspace, profile, artefact, model, windows, rows, trial)
    machine = f"{trial.machine}; RAM: {trial.note}" if trial.note else trial.machine
    return Proof(profile.name, artefact.runtime, artefact.sha256, trial.level, machine, tuple(checks), trial.missing)


def _try(profile: Profile, artefact: Artefact, windows: Windows, rows: NDArray[np.int64]) -> Trial:
    if artefact.runtime == "c99":
        from components.quantization.targets.c99.trial import try_c

        return try_c(profile, artefact, windows, rows)
    from components.quantization.targets.interpreted import try_here

    return try_here(profile, artefact, np.asarray(windows.codes[rows]))


def _device_checks(profile: Profile, trial: Trial) -> list[Check]:
    memory, budget = profile.memory, profile.budget
    limits = [
        ("self_test_mismatches", trial.self_test_mismatches, 0, "vectors"),
        ("flash", trial.flash, memory.model_flash_kib * 1024, "bytes"),
        ("ram", trial.ram, memory.model_ram_kib * 1024, "bytes"),
        ("latency", trial.latency_ms, budget.latency_ms, "ms"),
        ("instructions", trial.instructions, budget.max_instructions, "instructions a window"),
    ]
    return [_at_most(name, value, limit, unit) for name, value, limit, unit in limits if value is not None]


def _model_checks(
    workspace: Workspace,
    profile: Profile,
    artefact: Artefact,
    model: TrainedModel,
    windows: Windows,
    rows: NDArray[np.int64],
    trial: Trial,
) -> list[Check]:
    """Parity with the profile's float model on the same windows, and each task metric beside that of the trained model."""
    verdict, numeric = trial.verdict, profile.numeric
    if verdict is None:
        return []
    codes, mine = np.asarray(windows.codes[rows]), model.for_profile(profile.name)
    wanted = answers(mine, codes)
    classes = _decided(wanted)
    checks = [
        _at_least(f"{task}/label_agreement", float((verdict.classes[task] == got).mean()), numeric.min_label_agreement)
        for task, got in classes.items()
    ]
    values = {task: gauge.in_unit(verdict.values[task]) for task, gauge in artefact.scoring.gauges.items()}
    checks += [
        _at_most(f"{task}/value_shift", rmse(got - wanted.values[task]) / gauge.width, numeric.max_value_shift)
        for (task, got), gauge in zip(values.items(), artefact.scoring.gauges.values(), strict=True)
    ]
    scores = wanted.score if model.has_anomaly else None
    surprise = verdict.surprise if model.has_anomaly else None
    if scores is not None:
        name = next((t.name for t in workspace.settings.tasks if t.kind == "anomaly"), "anomaly")
        checks.append(
            _at_least(f"{name}/rank_correlation", rank_correlation(scores, verdict.surprise), numeric.min_rank_correlation)
        )
    threshold = float(artefact.scoring.threshold) if model.has_anomaly else None
    got = evaluate(workspace, windows, rows, surprise, verdict.classes, values, threshold=threshold)
    trained = wanted if mine is model else answers(model, codes, windows.profiles[rows])
    before = evaluate(workspace, windows, rows, trained.score if model.has_anomaly else None, _decided(trained), trained.values)
    for name, value in sorted(before.items()):
        if name.endswith("/rmse"):
            checks.append(_at_most(f"{name}/rise", got[name] / max(value, _TINY) - 1, numeric.max_error_rise))
        elif not name.endswith(UNGATED):
            checks.append(_at_most(f"{name}/drop", value - got[name], numeric.max_metric_drop))
    return checks + [_at_most(name, value, None) for name, value in sorted(got.items())]


def _decided(said: Scored) -> dict[str, NDArray[np.int8]]:
    return {task: logits.argmax(axis=1).astype(np.int8) for task, logits in said.logits.items()}


def _at_most(name: str, value: float, limit: float | None, unit: str = "") -> Check:
    return Check(name, float(value), None if limit is None else float(limit), limit is None or value <= limit, unit)


def _at_least(name: str, value: float, limit: float) -> Check:
    return Check(name, float(value), float(limit), value >= limit)
