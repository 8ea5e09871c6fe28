"""`muster model`: the versions of the workspace's model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from muster.commands.imported import import_command
from muster.commands.seeds import seeds
from muster.commands.study import study
from muster.console import Json, check_folder, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from components.training.judging.detector import Detector
    from components.values import Proof
    from components.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Models: registered versions with their artefacts, proofs and metrics.")
app.command()(seeds)
app.command()(study)
app.command("import")(import_command)

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
Model = Annotated[str, typer.Argument(help="version number, alias, folder out/train, or .artefact file")]
Telemetry = Annotated[Path, typer.Option("--data", help="telemetry: a Parquet or CSV file, or a folder of them")]
Contract = Annotated[Path | None, typer.Option("--workspace", help="folder with muster.yaml; for a version: this folder")]


@app.command("list")
def list_models(
    workspace: WorkspacePath = Path(),
    limit: Annotated[int, typer.Option(min=1, help="versions to show, newest first")] = 20,
    json: Json = False,
) -> None:
    """The registered versions, newest first."""
    from registry.models import describe, list_versions

    opened = open_workspace(workspace)
    found = [describe(opened, v) for v in list_versions(opened, limit=limit)]
    if json:
        emit_json("models", [asdict(d) for d in found])
        return
    rows = [(d.model.version, d.created, ", ".join(d.aliases), len(d.artefacts), d.model.run_id) for d in found]
    emit_table(f"Model {opened.settings.name}", ("version", "created", "aliases", "artefacts", "run"), rows)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="version number or alias")] = "candidate",
    workspace: WorkspacePath = Path(),
    json: Json = False,
) -> None:
    """What a version was measured at, how its artefacts were proven on each profile, and where it came from."""
    from registry import models

    opened = open_workspace(workspace)
    found = models.describe(opened, models.find_version(opened, version))
    proofs = models.read_proofs(opened, found.model)
    if json:
        emit_json("model", asdict(found) | {"proofs": [p.to_json() for p in proofs]})
        return
    title = f"Model {found.model.name}, version {found.model.version}"
    measured = [(*_parts(name), f"{value:.4g}") for name, value in models.trained_metrics(found, proofs).items()]
    emit_table(f"{title}: held-out devices", ("task", "metric", "method", "value"), sorted(measured))
    emit_line()
    columns = ("profile", "proof level", "passed", "task metrics", "one window")
    emit_table("Artefacts", columns, [_proven(p) for p in proofs])
    emit_line()
    rows: list[tuple[str, object]] = [("created", found.created), ("aliases", ", ".join(found.aliases))]
    rows += [("run", found.model.run_id), *found.lineage.items(), ("artefacts", ", ".join(found.artefacts))]
    emit_table("Origin", ("key", "value"), rows)


@app.command()
def report(
    model: Annotated[str, typer.Argument(help="folder with muster.yaml, or version number or alias")] = ".",
    workspace: Annotated[Path, typer.Option("--workspace", help="folder with muster.yaml, for a version")] = Path(),
    json: Json = False,
) -> None:
    """Where the report of a training run is: of the workspace's last one, or of a registered version."""
    from flows.training import report_file

    file = report_file(model, workspace)
    if json:
        emit_json("report", {"file": str(file)})
        return
    emit_line(str(file))


@app.command()
def evaluate(
    model: Model,
    data: Telemetry,
    labels: Annotated[Path, typer.Option("--labels", help="labels of rows (device, time, label) or segments: CSV or Parquet")],
    workspace: Contract = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder for evaluation.html and evaluation.json")] = None,
    train_share: Annotated[
        float, typer.Option("--train-share", min=0.05, max=0.9, help="without a workspace: what baselines learn from")
    ] = 0.3,
    held_out: Annotated[bool, typer.Option("--held-out", help="judge only what the workspace did not train on")] = False,
    autoencoder: Annotated[
        bool, typer.Option("--autoencoder/--no-autoencoder", help="train a convolutional autoencoder beside it, some seconds")
    ] = True,
    json: Json = False,
) -> None:
    """Judge a model on labelled telemetry, with intervals, beside what people use."""
    from components.training.judging import page
    from components.training.judging.judge import judge
    from components.workspace.files import write_json, write_text

    check_folder(out)
    detector, opened = _open(model, workspace)
    found = judge(detector, data, labels, opened, train_share=train_share, held_out=held_out, autoencoder=autoencoder)
    if out:
        write_json(out / "evaluation.json", found.to_json())
        write_text(out / "evaluation.html", page.evaluation_page(found))
        say(f"written: {out / 'evaluation.html'}")
    if json:
        emit_json("evaluation", found.to_json())
        return
    title = f"{detector.name}: {len(found.truths):,} devices, {len(found.windows):,} windows"
    for columns, lines in page.method_tables(found):
        emit_table(title, columns, lines)
        emit_line()
    if rows := page.macro_rows(found):
        emit_table("Classes", ("task", "method", "macro-F1"), rows)
        emit_line()
        emit_table("Classes of the model", page.CLASS_COLUMNS, page.class_rows(found))
        emit_line()
    if numbers := page.number_rows(found):
        emit_table("Numbers", page.NUMBER_COLUMNS, numbers)
        emit_line()
    emit_table("Hardware profiles", page.PROFILE_COLUMNS, page.profile_rows(found))
    for note in found.notes:
        say(f"note: {note}")


@app.command()
def score(
    model: Model,
    data: Telemetry,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write: a row a window")],
    workspace: Contract = None,
    steps: Annotated[bool, typer.Option("--steps", help="also <out>.steps.parquet: a row a step, with each channel")] = False,
    json: Json = False,
) -> None:
    """Score telemetry as a device would: score, alarm, classes, numbers, and the channels to blame."""
    from components.training.judging.detector import untyped
    from components.training.judging.scoring import step_table, window_table, write_parquet
    from components.training.judging.telemetry import read_windows

    detector, opened = _open(model, workspace)
    windows, contract = read_windows(detector, data, opened)
    table = window_table(detector, windows)
    files = [write_parquet(table, out)]
    if steps:
        files.append(
            write_parquet(step_table(detector, windows, contract.telemetry.interval_s), out.with_suffix(".steps.parquet"))
        )
    for note in (*contract.notes, *untyped(detector, windows.profiles)):
        say(f"note: {note}")
    if detector.anomaly and detector.threshold is None:
        say("note: no threshold travels with this model: nothing alarms; train it again, or score an artefact")
    facts = {
        "files": [str(file) for file in files],
        "windows": len(table),
        "devices": int(table["device_id"].nunique()),
        "windows_in_alarm": int(table["alarm"].sum()) if detector.anomaly else 0,
    }
    if json:
        emit_json("scores", facts)
        return
    emit_line(f"{facts['windows']:,} windows of {facts['devices']:,} devices, {facts['windows_in_alarm']:,} in alarm: {out}")


def _open(model: str, workspace: Path | None) -> tuple[Detector, Workspace | None]:
    """The model, and the workspace if one is named or needed to find a version."""
    from components.quantization.detectors import open_detector

    path = Path(model)
    if path.exists():
        opened = open_workspace(workspace) if workspace else None
        return open_detector(path, *_anomaly(opened)), opened
    import tempfile

    from registry import models

    opened = open_workspace(workspace or Path())
    with tempfile.TemporaryDirectory() as folder:
        version = models.find_version(opened, model)
        return open_detector(models.fetch(opened, version, "model", Path(folder)), *_anomaly(opened)), opened


def _anomaly(workspace: Workspace | None) -> tuple[str, ...]:
    """The name of the workspace's anomaly task, where that is known."""
    return tuple(task.name for task in workspace.settings.tasks if task.kind == "anomaly") if workspace else ()


def _parts(name: str) -> tuple[str, str, str]:
    """Task, metric and method of `<task>/<method>/<metric>`, so that methods stand below each other."""
    task, _, rest = name.partition("/")
    method, _, metric = rest.partition("/")
    return task, metric, method


def _proven(proof: Proof) -> tuple[object, ...]:
    """A profile's row: the metrics that its proof gates, and what a window costs there."""
    gated = [c.name.rpartition("/")[0] for c in proof.checks if c.name.endswith(("/drop", "/rise"))]
    values = [f"{name} {check.value:.4g}" for name in gated if (check := proof.check(name))]
    costs = [f"{_number(c.value)} {c.unit}" for name in ("latency", "instructions") if (c := proof.check(name))]
    failed = [c.name for c in proof.checks if not c.passed]
    passed = "yes" if proof.passed else f"no: {', '.join(failed) or proof.missing}"
    return proof.profile, proof.level, passed, ", ".join(values), ", ".join(costs)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
