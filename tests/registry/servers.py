"""Servers for tests: repositories that serve or attack devices, and a database."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import sqlalchemy as sa


@dataclass
class Served:
    url: str
    requests: list[str] = field(default_factory=list)
    sent: int = 0


@contextmanager
def folder_server(folder: Path) -> Iterator[Served]:
    """Serves a repository as any static file server does."""
    served = Served("")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_args: Any) -> None: ...

        def do_GET(self) -> None:
            served.requests.append(self.path)
            super().do_GET()

        def copyfile(self, source: Any, outputfile: Any) -> None:
            data = source.read()
            served.sent += len(data)
            outputfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw_server(first: bytes, drip: bytes, pause_s: float) -> Iterator[str]:
    """Answers every request with ``first``, then ``drip`` again and again until the client has gone."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve(client: socket.socket) -> None:
        with client:
            try:
                client.recv(65536)
                client.sendall(first)
                while not stop.wait(pause_s):
                    client.sendall(drip)
            except OSError:
                return

    def accept() -> None:
        while not stop.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _server_binaries() -> Path | None:
    """Where initdb and postgres are: on PATH, or in Debian's versioned folder."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@contextmanager
def postgresql_server() -> Iterator[str | None]:
    """The address of a server of one's own; None where there is none, or root cannot become someone else for initdb."""
    binaries = _server_binaries()
    if binaries is None or (os.getuid() == 0 and shutil.which("runuser") is None):
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="muster-postgresql-"))  # pytest's own folders are closed to other users
    become = []
    if os.getuid() == 0:
        become = ["runuser", "-u", "nobody", "--"]
        shutil.chown(folder, "nobody")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"
    environment = {**os.environ, "LC_ALL": "C"}
    initdb = [*become, str(binaries / "initdb"), "-D", str(data), "-U", "muster", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, env=environment)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*become, str(binaries / "pg_ctl"), "-D", str(data)]
    subprocess.run(
        [*control, "-w", "-l", str(folder / "log"), "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder
    )
    yield f"postgresql://muster@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
    shutil.rmtree(folder)


def fresh(server: str) -> str:
    """The address of a new database on a PostgreSQL server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.rpartition("/")[0] + f"/{name}"
