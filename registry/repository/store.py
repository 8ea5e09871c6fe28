"""Where a repository's files go. A name is written once; only `metadata/timestamp.json` is ever replaced.

Two publishers that meet lose cleanly: a folder has a lock, an object store compares (`If-None-Match: *` for new
names, `If-Match` for the timestamp). Both raise Conflict.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from components.workspace import Workspace
from components.workspace.errors import BackendUnreachable, Conflict, InputError
from components.workspace.files import write_bytes

_LOCK_TIMEOUT_S = 60
_WRITERS = 8
"""Files written at once: each waits for the disk or the network, not for the processor."""


class Overtaken(Conflict):
    """Another publisher wrote first. What is to be published has to be read again."""


class Store(Protocol):
    def lock(self) -> AbstractContextManager[None]:
        """Keep other publishers out where the store can; who holds it may take it again."""

    def names(self, folder: str) -> list[str]:
        """The files directly in ``folder``, without its name."""

    def below(self, folder: str) -> set[str]:
        """The names of all files in ``folder`` and its folders, from the repository's top."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None where it is not there."""

    def create(self, name: str, data: bytes) -> None:
        """Write a name that is not there yet. Equal bytes are fine, others a Conflict."""

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        """Write over ``before``. Anything else there is a Conflict."""


def location(workspace: Workspace) -> str:
    """The folder or s3:// address that the workspace publishes to."""
    return address(workspace, workspace.settings.registry.repository or str(workspace.state / "repository"))


def address(workspace: Workspace, configured: str) -> str:
    """A place of muster.yaml: folders are those of the workspace."""
    return configured if configured.startswith("s3://") else str(workspace.root / configured)


def open_store(workspace: Workspace, place: str | None = None) -> Store:
    """``place``: a folder or s3://bucket/prefix other than the configured one.

    Raises:
        InputError: it is neither, or lies within the configured one.
    """
    own = location(workspace)
    if place is None:
        place = own
    elif not place or ("://" in place and not place.startswith("s3://")):
        raise InputError(f"'{place}' is no place for a repository", hint="name a folder, or s3://bucket/prefix")
    elif _within(place, own) or _within(place, str(workspace.state)):
        raise InputError(f"{place} lies within the workspace's own files", hint="name a folder of its own")
    return _Bucket(place) if place.startswith("s3://") else Folder(Path(place))


def _within(place: str, folder: str) -> bool:
    if place.startswith("s3://") or folder.startswith("s3://"):
        return f"{place.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
    return Path(place).resolve().is_relative_to(Path(folder).resolve())


def create_all(store: Store, files: Mapping[str, bytes]) -> None:
    """`create` every file, in no order, several at once. Raises what the first that failed raises, when all have ended."""
    work = list(files.items())

    def write(share: Sequence[tuple[str, bytes]]) -> None:
        for name, data in share:
            store.create(name, data)

    if len(work) <= 1:
        write(work)
        return
    with ThreadPoolExecutor(_WRITERS) as pool:
        for done in [pool.submit(write, work[i::_WRITERS]) for i in range(min(_WRITERS, len(work)))]:
            done.result()


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def lock(self) -> Iterator[None]:
        lock = FileLock(self._root / ".publish.lock", timeout=_LOCK_TIMEOUT_S, is_singleton=True)
        try:
            with self._written():
                self._root.mkdir(parents=True, exist_ok=True)
                lock.acquire()
        except Timeout:
            raise Conflict(f"another publisher holds {self._root}", hint="repeat the command when it is done") from None
        try:
            yield
        finally:
            lock.release()

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self._root / folder) as entries:
                return [e.name for e in entries if e.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def below(self, folder: str) -> set[str]:
        top = len(str(self._root)) + 1
        return {f"{base[top:]}/{name}" for base, _, names in os.walk(self._root / folder) for name in names}

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def create(self, name: str, data: bytes) -> None:
        present = self.read(name)
        if present is None:
            with self._written():
                write_bytes(self._root / name, data)
        elif present != data:
            raise _taken(name)

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        if self.read(name) != before:
            raise _taken(name)
        with self._written():
            write_bytes(self._root / name, data)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, Timeout):
                raise
            raise BackendUnreachable(
                f"{self._root} cannot be written: {error.strerror}", hint="make room, or name a folder that can be written"
            ) from None


class Overlay:
    """What publishing would write over a store, which it only reads: a rehearsal. ``files``: name -> bytes, as written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.files: dict[str, bytes] = {}

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def names(self, folder: str) -> list[str]:
        own = {n.rpartition("/")[2] for n in self.files if n.rpartition("/")[0] == folder}
        return [*self._store.names(folder), *own]

    def below(self, folder: str) -> set[str]:
        return self._store.below(folder) | {n for n in self.files if n.startswith(f"{folder}/")}

    def read(self, name: str) -> bytes | None:
        return self.files[name] if name in self.files else self._store.read(name)

    def create(self, name: str, data: bytes) -> None:
        present = self.read(name)
        if present is None:
            self.files[name] = data
        elif present != data:
            raise _taken(name)

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        if self.read(name) != before:
            raise _taken(name)
        self.files[name] = data


class _Bucket:
    """Credentials, region and endpoint come from the usual AWS settings."""

    def __init__(self, address: str) -> None:
        import boto3

        self._bucket, _, prefix = address.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client: Any = boto3.client("s3")

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def names(self, folder: str) -> list[str]:
        start = f"{self._prefix}{folder}/"
        with _explained(self._bucket):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start, Delimiter="/")
            return [item["Key"].removeprefix(start) for page in pages for item in page.get("Contents", ())]

    def below(self, folder: str) -> set[str]:
        start = f"{self._prefix}{folder}/"
        with _explained(self._bucket):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
            return {item["Key"].removeprefix(self._prefix) for page in pages for item in page.get("Contents", ())}

    def read(self, name: str) -> bytes | None:
        return self._get(name)[0]

    def create(self, name: str, data: bytes) -> None:
        present = self.read(name)
        if present is None:
            self._put(name, data, IfNoneMatch="*")
        elif present != data:
            raise _taken(name)

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        present, tag = self._get(name)
        if present != before:
            raise _taken(name)
        self._put(name, data, **({"IfMatch": tag} if tag else {"IfNoneMatch": "*"}))

    def _get(self, name: str) -> tuple[bytes | None, str]:
        from botocore.exceptions import ClientError

        with _explained(self._bucket):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                    return None, ""
                raise
            return answer["Body"].read(), str(answer["ETag"])

    def _put(self, name: str, data: bytes, **condition: str) -> None:
        from botocore.exceptions import ClientError

        with _explained(self._bucket):
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data, **condition)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                    raise _taken(name) from None
                raise


@contextmanager
def _explained(bucket: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise BackendUnreachable(
            f"s3://{bucket} does not answer as it should: {error}",
            hint="check the address (in muster.yaml, or --to) and the AWS settings (credentials, region, AWS_ENDPOINT_URL)",
        ) from None


def _taken(name: str) -> Overtaken:
    return Overtaken(f"another publisher wrote {name} first", hint="run muster release publish again: it goes on from there")
