"""One server a workspace: it holds a lock while it runs, and `stop` asks who holds it to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from components.workspace import Workspace
from components.workspace.errors import Conflict, InputError
from components.workspace.files import write_text
from registry.api.app import application
from registry.database import open_database
from registry.health.desk import Desk
from registry.health.intake import Intake

_STOP_S = 30.0


@dataclass(frozen=True)
class Running:
    pid: int
    url: str


def serve(workspace: Workspace, host: str, port: int, started: Callable[[Running], None]) -> None:
    """Serve until SIGINT or SIGTERM; what was received is counted before it returns. ``port`` 0: any free one.

    Raises:
        Conflict: this workspace is served already, or the port is taken.
        InputError: reports need no signatures, and the address is not loopback; or it is no address of this machine.
    """
    reports = workspace.settings.registry.reports
    broker = urlsplit(reports.broker).hostname if reports.broker else None
    if not reports.require_signatures and not all(_is_loopback(h) for h in (host, broker or "localhost")):
        raise InputError(
            "reports need no signatures (registry.reports.require_signatures: false), so anybody could send them",
            hint="serve on 127.0.0.1 and take reports from a broker there, or let signatures be required",
        )
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(_lock(workspace), timeout=0))
        except Timeout:
            raise Conflict("this workspace is served already", hint="muster down stops it") from None
        listener = stack.enter_context(_listener(host, port))
        engine = open_database(workspace.database_url)
        desk = stack.enter_context(Desk(Intake(engine, require_signatures=reports.require_signatures)))
        app = application(workspace, engine, desk)
        if reports.broker is not None:
            from registry.health.broker import take_from

            stack.enter_context(take_from(reports.broker, workspace.settings.name, desk))
        shown = f"[{host}]" if ":" in host else host
        me = Running(os.getpid(), f"http://{shown}:{listener.getsockname()[1]}")
        stack.callback(_file(workspace).unlink, missing_ok=True)

        def ready() -> None:
            write_text(_file(workspace), json.dumps(asdict(me)))
            started(me)

        _run(app, listener, ready)


def running(workspace: Workspace) -> Running | None:
    """Who serves the workspace now."""
    try:
        with FileLock(_lock(workspace), timeout=0):
            return None
    except Timeout:
        pass
    try:
        return Running(**json.loads(_file(workspace).read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it has the lock, and is about to say who it is


def stop(workspace: Workspace) -> Running | None:
    """Stop who serves the workspace; None: nobody did.

    Raises:
        Conflict: it does not end.
    """
    if (server := running(workspace)) is None:
        return None
    os.kill(server.pid, signal.SIGTERM)
    try:
        with FileLock(_lock(workspace), timeout=_STOP_S):
            return server
    except Timeout:
        raise Conflict(f"process {server.pid} does not stop", hint="look at what it does; kill it if you must") from None


def _lock(workspace: Workspace) -> Path:
    workspace.state.mkdir(parents=True, exist_ok=True)
    return workspace.state / "api.lock"


def _file(workspace: Workspace) -> Path:
    return workspace.state / "api.pid"


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except socket.gaierror:
        raise InputError(f"'{host}' is no address of this machine", hint="give --host 127.0.0.1 or another one") from None
    except (OSError, OverflowError) as error:
        raise Conflict(f"cannot listen on {host}:{port}: {error}", hint="choose another --port, or 0 for a free one") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(app: Any, listener: socket.socket, ready: Callable[[], None]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ending on a signal is what a server is for: no exception, exit code 0."""
            before = {s: signal.signal(s, self.handle_exit) for s in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, limit_concurrency=512, timeout_graceful_shutdown=5
    )
    Server(config).run(sockets=[listener])


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return holds
