"""`muster up` and `muster down`: the server that devices report to."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from components.workspace.errors import BackendUnreachable
from muster.console import Json, emit_json, emit_line, say

if TYPE_CHECKING:
    from components.workspace import Workspace
    from registry.api.serving import Running

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
_START_S = 30.0


def add_to(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)


def up(
    workspace: WorkspacePath = Path(),
    host: Annotated[str, typer.Option(help="address to listen on; others than loopback belong behind TLS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8300,
    detach: Annotated[bool, typer.Option("--detach", help="go on in the background until muster down")] = False,
    json: Json = False,
) -> None:
    """Take health reports over HTTP, and from the broker of registry.reports.broker, until Ctrl-C."""
    from registry.api import serve

    opened = open_workspace(workspace)

    def tell(server: Running) -> None:
        if json:
            emit_json("up", {"pid": server.pid, "url": server.url})
            sys.stdout.flush()
        else:
            say(f"serving {opened.settings.name} at {server.url}; operators' token: {opened.state / 'api.token'}")

    if detach:
        tell(_started(opened, host, port))
        return
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    serve(opened, host, port, tell)


def down(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Stop the server of a workspace; what it has received is counted first."""
    from registry.api import stop

    server = stop(open_workspace(workspace))
    if json:
        emit_json("down", {"stopped": server is not None, "pid": server.pid if server else None})
    else:
        emit_line(f"stopped process {server.pid} at {server.url}" if server else "nothing was running")


def _started(workspace: Workspace, host: str, port: int) -> Running:
    """Start the same command in a session of its own, and wait until it serves."""
    from components.workspace.errors import Conflict
    from registry.api import running
    from registry.api.serving import wait_until

    if running(workspace) is not None:
        raise Conflict("this workspace is served already", hint="muster down stops it")
    log = workspace.state / "api.log"
    workspace.state.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "muster", "up", str(workspace.root), "--host", host, "--port", str(port)]
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    wait_until(lambda: running(workspace) is not None or child.poll() is not None, _START_S)
    server = running(workspace)
    if server is None:
        child.terminate()
        said = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise BackendUnreachable("the server did not start:\n" + "\n".join(said), hint=f"the whole log is in {log}")
    return server
