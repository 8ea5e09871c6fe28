"""The bodies of the steps: read the inputs, call the one component, write the result.

Each body imports its component when it runs, so that a step which is not needed costs nothing.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.workspace import Workspace
from components.workspace.files import sha256_file, write_json
from components.workspace.modules import local_sources
from flows import progress

if TYPE_CHECKING:
    from components.values import LabelSet, Targets


@dataclass(frozen=True)
class Work:
    """What a body gets: the folders its inputs were put out to, the empty ``folder`` for its result, ``profile`` ('' for
    steps with one result for all), and ``outside``, what its step's key digests of the world outside. ``resume``: a folder
    that outlives a killed run, for the same step, inputs, configuration and code alone; gone once the result is kept.
    """

    workspace: Workspace
    inputs: Mapping[str, Path]
    folder: Path
    profile: str
    outside: Any
    resume: Path


def ingest(work: Work) -> None:
    """Raw objects -> the lake."""
    from components.ingestion.ingest import ingest
    from components.ingestion.objects import SourceObject

    ingest(work.workspace, [SourceObject(*row) for row in work.outside], work.folder)


def validate(work: Work) -> None:
    """The lake -> accepted rows, quarantine, report."""
    from components.validation.validate import validate

    validate(work.workspace, work.inputs["ingest"] / "lake", work.folder)


def features(work: Work) -> None:
    """Accepted rows -> windows and their statistics."""
    from components.features.columns import save_statistics
    from components.features.statistics import window_statistics
    from components.features.windows import make_windows
    from components.values import Dataset

    windows = make_windows(work.workspace, Dataset.load(work.inputs["validate"]), progress.say)
    windows.save(work.folder)
    save_statistics(window_statistics(work.workspace, windows), work.folder)


def label(work: Work) -> None:
    """Windows -> votes and probabilities of each labelled task, with the report on the labelling functions."""
    from components.features.columns import FileColumns
    from components.labeling.label import label, targets
    from components.labeling.report import write_report
    from components.values import Windows

    windows = Windows.load(work.inputs["features"])
    labels = label(work.workspace, windows, FileColumns(work.inputs["features"]), progress.say)
    for one in labels:
        one.save(work.folder)
    declared = targets(work.workspace, windows)
    for numbers in declared:
        numbers.save(work.folder)
    write_report(work.folder, work.workspace, windows, labels, declared)


def train(work: Work) -> None:
    """Windows and labels -> the trained model and its metrics."""
    import pandas as pd

    from components.training.checkpoint import Checkpoints
    from components.training.events import write_events
    from components.training.train import train
    from components.values import Windows

    windows, (labels, targets) = Windows.load(work.inputs["features"]), learned_from(work.workspace, work.inputs["label"])
    statistics = pd.read_parquet(work.inputs["features"] / "statistics.parquet")
    checkpoints = Checkpoints(work.resume, progress.say)
    model = train(work.workspace, windows, labels, statistics, progress.report, checkpoints, targets=targets)
    model.save(work.folder)
    write_events(work.folder / "tensorboard", model.curves)


def report(work: Work) -> None:
    """The trained model on what is held out -> the report of the training run."""
    import pandas as pd

    from components.quantization.detectors import open_detector
    from components.training.reporting.write import write_report
    from components.values import TrainedModel, Windows
    from components.values.curves import load_curves
    from components.values.networks import networks_in

    windows, (labels, targets) = Windows.load(work.inputs["features"]), learned_from(work.workspace, work.inputs["label"])
    statistics = pd.read_parquet(work.inputs["features"] / "statistics.parquet")
    anomaly = [task.name for task in work.workspace.settings.tasks if task.kind == "anomaly"]
    detector, curves = open_detector(work.inputs["train"], *anomaly), load_curves(work.inputs["train"])
    networks = networks_in(work.inputs["train"])
    model = TrainedModel.load(work.inputs["train"])
    write_report(work.folder, work.workspace, windows, labels, statistics, detector, curves, targets, networks, model)


def quantize(work: Work) -> None:
    """The trained model -> the artefact of one hardware profile, and the recipes that were tried for it."""
    from components.quantization.quantize import quantize
    from components.quantization.recipes.search import search
    from components.values import TrainedModel, Windows

    model, windows = TrainedModel.load(work.inputs["train"]), Windows.load(work.inputs["features"])
    digest, profile = TrainedModel.digest(work.inputs["train"]), work.workspace.profile(work.profile)
    found = search(profile, model, windows, work.workspace.state / "compiled")
    found.save(work.folder, work.profile)
    write_json(work.workspace.state / "paces" / f"{work.profile}.json", found.paces)
    quantize(work.workspace, profile, model, windows, digest, found).save(work.folder)


def prove(work: Work) -> None:
    """The artefact of one profile, run in its device's runtime -> the proof."""
    from components.quantization.prove import prove
    from components.values import Artefact, TrainedModel, Windows

    artefact = Artefact.load(work.inputs["quantize"] / f"{work.profile}.artefact")
    model, windows = TrainedModel.load(work.inputs["train"]), Windows.load(work.inputs["features"])
    prove(work.workspace, work.workspace.profile(work.profile), artefact, model, windows).save(work.folder)


def raw_objects(workspace: Workspace, profile: str) -> Any:
    from components.ingestion.ingest import listing

    return [[o.key, o.etag, o.size] for o in listing(workspace)]


def profile_names(workspace: Workspace, profile: str) -> Any:
    return [p.name for p in workspace.profiles]


def groups_and_streams(workspace: Workspace, profile: str) -> Any:
    """The files that features are made of beside telemetry."""
    settings = workspace.settings
    streams = sorted({channel.records.source for channel in settings.telemetry.channels if channel.records})
    return _digests(workspace, settings.evaluation.groups, *(settings.records[name] for name in streams))


def labelling_sources(workspace: Workspace, profile: str) -> Any:
    settings = workspace.settings
    labeling = settings.labeling
    sources = local_sources(workspace.path(labeling.module))
    modules = [[str(file.relative_to(workspace.root)), sha256_file(file)] for file in sources]
    gold = [task.gold for task in settings.tasks]
    beside = [file for _, file in (*sorted(settings.records.items()), *sorted(labeling.models.items()))]
    return [modules, *_digests(workspace, labeling.module, *gold, labeling.annotations, labeling.rules, *beside)]


def declared_truth(workspace: Workspace, profile: str) -> Any:
    return _digests(workspace, workspace.settings.evaluation.truth)


def profile_facts(workspace: Workspace, profile: str) -> Any:
    return workspace.profile(profile).model_dump(mode="json")


def profile_facts_truth_and_tools(workspace: Workspace, profile: str) -> Any:
    """A compiler or emulator that was installed since raises the level of a proof."""
    from components.quantization.boards import toolchains
    from components.quantization.levels import HOST_COMPILERS

    tools = [name for name in (*HOST_COMPILERS, *(t.program for t in toolchains())) if shutil.which(name)]
    return [profile_facts(workspace, profile), declared_truth(workspace, profile), tools, platform.machine()]


def learned_from(workspace: Workspace, folder: Path) -> tuple[list[LabelSet], list[Targets]]:
    """What the label step left in ``folder``: of the tasks that learn classes, and of those that learn numbers."""
    from components.values import LabelSet, Targets

    tasks = workspace.settings.tasks
    labels = [LabelSet.load(folder, task.name) for task in tasks if task.votes]
    return labels, [Targets.load(folder, task.name) for task in tasks if task.kind == "regression"]


def _digests(workspace: Workspace, *relative: str | None) -> list[str | None]:
    files = [workspace.path(name) for name in relative if name is not None]
    return [sha256_file(file) if file.is_file() else None for file in files]
