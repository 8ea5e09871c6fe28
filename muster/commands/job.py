"""The commands without a noun: run the main job, one step of it, look after the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from muster.console import Json, Quiet, emit_json, emit_line, emit_table

HEADLINES = ("vus_pr", "macro_f1", "rmse")
"""Metrics that come first in the table of a task; methods stand in their order."""
LOWER_IS_BETTER = "rmse"

Root = Annotated[Path, typer.Argument(help="workspace folder", show_default="this folder")]


def add_to(app: typer.Typer) -> None:
    app.command("run")(run)
    app.command("train")(train)
    app.command("step")(step)
    app.command("doctor")(doctor)
    app.command("schema")(schema)


def run(
    root: Root = Path(),
    demo: Annotated[bool, typer.Option("--demo", help="approve the releases as two demo people with demo keys")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Telemetry to drafted releases: ingest, validate, label, train, quantize, prove, register, draft."""
    from components.workspace import open_workspace
    from flows import job
    from flows.summary import summarise
    from muster.progress import shown

    workspace = open_workspace(root)
    with shown(quiet):
        record = job.run(workspace)
        if demo:
            from flows.demo import approve_as_two_people

            approve_as_two_people(workspace)
    summary = summarise(workspace)
    if json:
        from dataclasses import asdict

        emit_json("run", asdict(summary) | {"record": asdict(record)})
    else:
        _print(summary, root)


def train(root: Root = Path(), json: Json = False, quiet: Quiet = False) -> None:
    """Telemetry to a trained model: the steps up to training that are not up to date, and what the model reaches."""
    from components.workspace import open_workspace
    from flows import training
    from muster.progress import shown

    workspace = open_workspace(root)
    with shown(quiet):
        trained = training.train(workspace)
    if json:
        from dataclasses import asdict

        emit_json("training", asdict(trained))
        return
    for task, columns, rows in _by_method(trained.metrics, trained.kind):
        emit_table(f"{task}: what is held out", columns, rows)
        emit_line()
    if not trained.metrics:
        emit_line("nothing to judge by: evaluation.truth is not declared, or nothing is held out")
    for declared in workspace.settings.tasks:
        if trained.metrics and not any(name.startswith(f"{declared.name}/") for name in trained.metrics):
            emit_line(f"{declared.name}: not judged, evaluation.truth says nothing of it")
    if len(trained.networks) > 1:
        from components.values.networks import COLUMNS, as_row

        emit_table("Networks", COLUMNS, [as_row(network) for network in trained.networks])
        emit_line()
    emit_line(f"model       {trained.folder}")
    emit_line(f"report      {trained.report}")


def step(
    name: Annotated[str, typer.Argument(help="ingest, validate, features, label, train, report, quantize or prove")],
    root: Root = Path(),
    profile: Annotated[str | None, typer.Option("--profile", help="one hardware profile of quantize or prove")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one step; a result that is already there for the same data, configuration and code is put out again."""
    from components.workspace import open_workspace
    from flows import progress, release, steps
    from flows.notes import describe
    from muster.progress import shown

    workspace = open_workspace(root)
    steps.find(name)
    with shown(quiet), progress.timed(f"{name} {profile}" if profile else name) as done:
        results = steps.run_step(workspace, name, profile)
        kept = "kept from an earlier run: " if all(r.reused for r in results) else ""
        done.note = kept + describe(workspace, name, profile)
    if json:
        from dataclasses import asdict

        emit_json("step", [asdict(result) for result in results])
    if name == "prove":
        release.require_proofs(workspace, profile)


def doctor(
    root: Annotated[Path | None, typer.Argument(help="also look at this workspace's registry", show_default="none")] = None,
    json: Json = False,
) -> None:
    """What this machine can do: runtimes, compilers, emulators, and what to install for more.

    With a workspace: exits 8 when the model registry's aliases are not what the release log says.
    """
    from flows.doctor import examine, require_registries_agree, to_install

    if root is not None:
        from components.workspace import open_workspace

        require_registries_agree(open_workspace(root))
    findings = examine()
    if json:
        emit_json(
            "doctor", [{"what": f.what, "found": f.found, "needed_for": f.needed_for, "install": f.install} for f in findings]
        )
        return
    emit_table(
        "This machine",
        ("what", "found", "needed for", "to get it"),
        [(f.what, f.found or "-", f.needed_for, "" if f.found else f.install) for f in findings],
    )
    if command := to_install(findings):
        emit_line(f"to get every compiler and emulator that is missing: {command}")


def schema(
    profile: Annotated[bool, typer.Option("--profile", help="the schema of profiles/*.yaml instead")] = False,
    package: Annotated[bool, typer.Option("--package", help="the schema of a package's package.json instead")] = False,
) -> None:
    """Print the JSON schema of muster.yaml."""
    import json

    from components.workspace.profiles import Profile
    from components.workspace.section import Section
    from components.workspace.settings import Settings

    chosen: type[Section] = Profile if profile else Settings
    described = chosen.model_json_schema()
    if package:
        from pydantic import TypeAdapter

        from components.quantization.package.description import PackageDescription
        from components.quantization.package.imported.description import ImportedDescription

        both: TypeAdapter[PackageDescription | ImportedDescription] = TypeAdapter(PackageDescription | ImportedDescription)
        described = both.json_schema()
    emit_line(json.dumps(described, indent=2, sort_keys=True))


def _print(summary: Any, root: Path) -> None:
    total = summary.rows_accepted + summary.rows_quarantined
    emit_line()
    accepted, quarantined = f"{summary.rows_accepted:,} of {total:,} rows accepted", f"{summary.rows_quarantined:,} quarantined"
    emit_line(f"telemetry   {accepted}, {quarantined}, {summary.devices} devices")
    for task, coverage in summary.labels.items():
        emit_line(f"labels      {task}: {coverage:.1%} of the windows labelled")
    _print_metrics(summary.metrics, summary.kind)
    emit_line(f"model       {summary.model} version {summary.version}")
    emit_line()
    emit_table(
        "Artefacts",
        ("profile", "runtime", "bytes", "metric", "cost of a window", "proof", "passed"),
        [
            (
                row["profile"],
                row["runtime"],
                f"{row['bytes']:,}",
                ", ".join(f"{name} {value:.3f}" for name, value in row["metrics"].items()) or "-",
                f"{row['cost']['value']:,.3g} {row['cost']['unit']}" if row["cost"] else "-",
                row["level"],
                "yes" if row["passed"] else "NO",
            )
            for row in summary.artefacts
        ],
    )
    for row in summary.artefacts:
        if row["missing"]:
            emit_line(f"  {row['profile']}: proven as '{row['level']}'; for more: {row['missing']}")
    emit_line()
    emit_table(
        "Manifests",
        ("fleet", "variant", "devices", "sequence", "state", "artefact"),
        [
            (m["fleet"], m["variant"], m["devices"], m["sequence"], m["state"], m["artefact_sha256"][:12])
            for m in summary.manifests
        ],
    )
    for line in summary.left_out:
        emit_line(f"  left out of {line}")
    emit_line()
    _print_next(summary, root)


def _print_metrics(metrics: dict[str, float], kind: str) -> None:
    by_metric: dict[tuple[str, str], dict[str, float]] = {}
    for key, value in metrics.items():
        task, method, metric = key.split("/")
        by_metric.setdefault((task, metric), {})[method] = value
    for (task, metric), methods in sorted(by_metric.items()):
        ours = methods.pop(kind, None)
        rest = ", ".join(f"{method} {value:.3f}" for method, value in sorted(methods.items(), key=lambda item: -item[1]))
        shown = f"{ours:.3f}" if ours is not None else "-"
        emit_line(f"held out    {task} {metric}: {shown}" + (f"   beside it: {rest}" if rest else ""))


def _by_method(metrics: dict[str, float], kind: str) -> list[tuple[str, list[str], list[list[str]]]]:
    """Of each task its name, the columns and the rows of a table: a row a method, the model first, a column a metric."""
    parts = {key: key.split("/") for key in metrics}
    tables = []
    for task in sorted({part[0] for part in parts.values()}):
        found = {(part[1], part[2]): metrics[key] for key, part in parts.items() if part[0] == task}
        names = sorted({metric for _, metric in found}, key=lambda metric: (metric not in HEADLINES, metric))
        sign = 1 if names[0] == LOWER_IS_BETTER else -1
        ranked = sorted((sign * value, method) for (method, metric), value in found.items() if metric == names[0])
        every = sorted({method for method, _ in found}, key=lambda method: (method != kind, method))
        methods = dict.fromkeys([*every[: kind in every], *(method for _, method in ranked), *every])
        rows = [[m, *(f"{found[m, name]:.3f}" if (m, name) in found else "" for name in names)] for m in methods]
        tables.append((task, ["method", *names], rows))
    return tables


def _print_next(summary: Any, root: Path) -> None:
    """The three commands that a user would type now."""
    from components.workspace import open_workspace
    from components.workspace.errors import NotFound
    from registry import keys

    waiting = [m["release"] for m in summary.manifests if m["state"] == "waiting_for_approval"]
    try:
        people = [holder.name for holder in keys.show_keys(open_workspace(root)) if holder.role == "releases"]
    except NotFound:
        people = []
    emit_line("next:")
    if waiting and people:
        commands = [f"muster release show {waiting[0]} {root}"]
        commands += [f"muster release approve {waiting[0]} {root} --person {name} --reason WHY" for name in people[:2]]
    elif waiting:
        commands = [f"muster release show {waiting[0]} {root}", f"muster keys init {root} --person ana --person ben"]
        commands += [f"muster release approve {waiting[0]} {root} --person ana --reason WHY"]
    else:
        commands = [f"muster release list {root}", f"muster labels report {root}", f"muster model show candidate {root}"]
    for command in commands:
        emit_line(f"  {command}")
