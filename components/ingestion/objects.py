"""Where raw telemetry lies: a local folder or an S3 bucket, seen as a sorted list of objects with content tags."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.workspace.errors import BackendUnreachable, MusterError, NotFound
from components.workspace.files import sha256_file, write_json

if TYPE_CHECKING:
    from components.workspace import Workspace

THREADS = 8
_ATTEMPTS = 4  # boto3's standard mode: exponential backoff with jitter between them
_TIMEOUT_S = 20


@dataclass(frozen=True, order=True)
class SourceObject:
    """One raw object. ``etag`` changes when its bytes do; ``size`` is in bytes."""

    key: str
    etag: str
    size: int


class Source(Protocol):
    """What ingestion needs of a storage."""

    def objects(self) -> list[SourceObject]: ...

    def read(self, item: SourceObject) -> bytes: ...


def open_source(workspace: Workspace) -> Source:
    """The storage that ``storage.source`` names: s3://bucket/prefix, or a folder."""
    storage = workspace.settings.storage
    suffix = f".{storage.format}"
    if storage.source.startswith("s3://"):
        bucket, _, prefix = storage.source.removeprefix("s3://").partition("/")
        return _Bucket(bucket, prefix, suffix)
    return _Folder(workspace.path(storage.source), suffix, workspace.state / "listing.json")


class _Folder:
    def __init__(self, root: Path, suffix: str, memory: Path) -> None:
        self._root, self._suffix, self._memory = root, suffix, memory

    def _remembered(self) -> dict[str, str]:
        """Digests of the last listing; nothing when the file is not there or damaged, which costs reading the objects again."""
        try:
            return {str(name): str(digest) for name, digest in json.loads(self._memory.read_text()).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def objects(self) -> list[SourceObject]:
        """The etag is the sha256 of the content, remembered by size and time of change so that it is read once."""
        if not self._root.is_dir():
            raise NotFound(f"no folder {self._root}", hint="put raw telemetry there, or mend storage.source in muster.yaml")
        known = self._remembered()
        files = sorted(f for f in self._root.rglob(f"*{self._suffix}") if f.is_file() and not _hidden(f, self._root))
        stamps = [f"{s.st_size}-{s.st_mtime_ns}" for s in (f.stat() for f in files)]
        with ThreadPoolExecutor(THREADS) as pool:
            digests = list(pool.map(lambda f, s: known.get(f"{f}:{s}") or sha256_file(f), files, stamps))
        now = {f"{f}:{s}": d for f, s, d in zip(files, stamps, digests, strict=True)}
        if now != known:
            write_json(self._memory, now)
        found = [
            SourceObject(f.relative_to(self._root).as_posix(), d, int(s.partition("-")[0]))
            for f, s, d in zip(files, stamps, digests, strict=True)
        ]
        return sorted(_some(found, str(self._root), self._suffix))

    def read(self, item: SourceObject) -> bytes:
        try:
            return (self._root / item.key).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"{self._root / item.key} went away while it was ingested", hint="run the step again") from None


class _Bucket:
    """Credentials, region and retries are the usual AWS settings; AWS_ENDPOINT_URL names another server."""

    def __init__(self, bucket: str, prefix: str, suffix: str) -> None:
        import boto3
        from botocore.config import Config

        self._bucket, self._prefix, self._suffix = bucket, prefix, suffix
        config = Config(
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=_TIMEOUT_S,
            read_timeout=_TIMEOUT_S,
            max_pool_connections=THREADS,
        )
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        with s3_errors_explained(bucket):
            self._client = boto3.session.Session().client("s3", region_name=region, config=config)

    def objects(self) -> list[SourceObject]:
        pages = self._client.get_paginator("list_objects_v2")
        with s3_errors_explained(self._bucket):
            found = [
                SourceObject(entry["Key"], entry["ETag"].strip('"'), int(entry["Size"]))
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
                for entry in page.get("Contents", ())
                if entry["Key"].endswith(self._suffix)
            ]
        return sorted(_some(found, f"s3://{self._bucket}/{self._prefix}", self._suffix))

    def read(self, item: SourceObject) -> bytes:
        """Botocore retries requests; a body that breaks off on its way is asked for again here."""
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        with s3_errors_explained(self._bucket, item.key):
            for attempts_left in reversed(range(_ATTEMPTS)):
                answer = self._client.get_object(Bucket=self._bucket, Key=item.key, IfMatch=f'"{item.etag}"')
                try:
                    body = bytes(answer["Body"].read())
                    break
                except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                    if not attempts_left:
                        raise
        return body


@contextmanager
def s3_errors_explained(bucket: str, key: str = "") -> Iterator[None]:
    """Turn what botocore raises into NotFound or BackendUnreachable with the next step."""
    from botocore import exceptions as aws

    where = f"s3://{bucket}/{key}"
    try:
        yield
    except MusterError:
        raise
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.ProfileNotFound) as error:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise BackendUnreachable(f"{where}: no credentials: {error}", hint=hint) from None
    except aws.ClientError as error:
        raise _client_error(where, error) from None
    except (aws.BotoCoreError, ValueError) as error:
        hint = "check the network and AWS_ENDPOINT_URL; what was ingested is kept"
        raise BackendUnreachable(f"{where}: {error}", hint=hint) from None


def _client_error(where: str, error: Any) -> MusterError:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in {"NoSuchBucket", "NoSuchKey", "404"}:
        return NotFound(f"{where}: {code}", hint="check storage.source in muster.yaml and that the bucket exists")
    if code in {"PreconditionFailed", "412"}:
        return NotFound(f"{where} changed while it was ingested", hint="run the step again")
    if status in {401, 403}:
        return BackendUnreachable(
            f"{where}: access denied ({code})", hint="check the credentials and their rights to list and get"
        )
    return BackendUnreachable(f"{where}: the server answers {code} after {_ATTEMPTS} attempts", hint="try again later")


def _some(found: list[SourceObject], where: str, suffix: str) -> list[SourceObject]:
    if not found:
        raise NotFound(f"no {suffix} objects below {where}", hint="check storage.source and storage.format in muster.yaml")
    return found


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith((".", "_")) for part in file.relative_to(root).parts)
