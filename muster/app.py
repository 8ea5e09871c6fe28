"""The table of commands. Each command lives in `muster/commands/`, one module a noun."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from muster import __version__
from muster.commands import artefact, data, device, fleet, init, job, keys, labels, model, profile, release, serve
from muster.console import DEBUG, emit_line, errors_explained

_SILENT = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

app = typer.Typer(
    name="muster",
    help="From unlabelled device telemetry to signed, staged rollout manifests.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich costs a third of the time budget
    context_settings={"help_option_names": ["-h", "--help"]},
)
init.add_to(app)
job.add_to(app)
serve.add_to(app)
for name, noun in (
    ("data", data.app),
    ("labels", labels.app),
    ("model", model.app),
    ("profile", profile.app),
    ("artefact", artefact.app),
    ("fleet", fleet.app),
    ("release", release.app),
    ("keys", keys.app),
    ("device", device.app),
):
    app.add_typer(noun, name=name)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show a traceback with an error")] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"
    if version:
        emit_line(f"muster {__version__}")
        raise typer.Exit


def main() -> None:
    """Run one command. The telemetry of every dependency is switched off before any of them is imported."""
    os.environ.update(_SILENT)
    with errors_explained(_completed):
        app(prog_name="muster")


def _completed(text: str) -> str:
    from muster.next_command import completed

    return completed(text, sys.argv[1:], typer.main.get_command(app))
