"""Repository servers for devices: a good one that counts, and ones that attack."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


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
