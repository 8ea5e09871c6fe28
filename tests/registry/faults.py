"""Publishers and devices that die, and object stores that compare before they write."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from components.workspace import Workspace, open_workspace
from registry.repository.store import Store

_WRITES = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.symlink", "os.chmod"})


def killed_at(number: int, below: Path, work: Callable[[], object], *, also: str = "") -> bool:
    """Do it in a process that dies before its ``number``-th write ``below``; whether it came to that.

    ``also``: an audit event that counts wherever it happens.
    """
    child = os.fork()
    if child == 0:
        left = [number]

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            if event != also and (event not in _WRITES or str(below) not in str(arguments[0]) + str(arguments[1:2])):
                return
            if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
                return
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            work()
        except BaseException:  # noqa: BLE001 - the test must not go on in this process
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


class Killed(BaseException):
    """The publisher's process dies; no handler runs."""


class Dying:
    """A store whose publisher dies instead of making write number ``after``."""

    def __init__(self, store: Store, after: int) -> None:
        self._store, self.left, self._alone = store, after, Lock()

    def lock(self) -> AbstractContextManager[None]:
        return self._store.lock()

    def names(self, folder: str) -> list[str]:
        return self._store.names(folder)

    def below(self, folder: str) -> set[str]:
        return self._store.below(folder)

    def read(self, name: str) -> bytes | None:
        return self._store.read(name)

    def create(self, name: str, data: bytes) -> None:
        if self._store.read(name) is None:
            self._write()
        self._store.create(name, data)

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        self._write()
        self._store.replace(name, data, before)

    def _write(self) -> None:
        with self._alone:
            if self.left == 0:
                self.die()
            self.left -= 1

    def die(self) -> None:
        raise Killed


@contextmanager
def object_store(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket whose server enforces conditional writes and lets everybody read."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)
    import boto3

    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    client = boto3.client("s3")
    client.create_bucket(Bucket="fleet")
    client.put_bucket_policy(
        Bucket="fleet",
        Policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}',
    )
    try:
        yield f"http://{host}:{port}/fleet/edge"
    finally:
        server.stop()


def to_bucket(workspace: Workspace) -> Workspace:
    """The same workspace, publishing to the bucket."""
    file = workspace.root / "muster.yaml"
    file.write_text(file.read_text() + "registry: {repository: 's3://fleet/edge'}\n")
    return open_workspace(workspace.root)
