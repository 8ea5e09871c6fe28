"""Fetch by HTTP or from a folder, all of it under one total deadline.

python-tuf limits sizes but no total time: a server that drips a byte now and then holds a device for hours. Here a
timer cuts the connection when the deadline passes, wherever the server dawdles: in its headers or in the body.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Timer
from urllib.parse import SplitResult, urlsplit
from urllib.request import url2pathname

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from components.workspace.errors import InputError

_CHUNK = 1 << 16
_GAP_S = 10.0
_SLOWEST = 1000
"""Bytes per second below which an artefact is not worth waiting for."""


class TooSlow(DownloadError):
    """The deadline passed before the download was complete."""


class NotInFolder(DownloadHTTPError):
    """A folder lacks the file: there is no server that could be asked again later."""


class DeadlineFetcher(FetcherInterface):
    """``seconds``: for everything that is fetched until `allow` gives more."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def allow(self, length: int) -> None:
        """Start a new deadline that fits a download of ``length`` bytes."""
        self._until = time.monotonic() + max(self._seconds, length / _SLOWEST)

    def _fetch(self, url: str) -> Iterator[bytes]:
        parts = urlsplit(url)
        if parts.scheme == "file":
            return _read_file(url)
        return self._read_http(url, parts)

    def _read_http(self, url: str, parts: SplitResult) -> Iterator[bytes]:
        try:
            with self._connection(parts) as connection:
                connection.request("GET", parts.path, headers={"Accept-Encoding": "identity"})
                response = connection.getresponse()
                if response.status != 200:
                    raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
                while chunk := response.read1(_CHUNK):
                    self._still_in_time(url)
                    yield chunk
                self._still_in_time(url)
        except (OSError, HTTPException, ValueError, AttributeError) as error:
            # A connection that the timer cut fails in one of many ways; the clock says whether it was the timer.
            self._still_in_time(url)
            raise DownloadError(f"{url}: {error or type(error).__name__}") from None

    @contextmanager
    def _connection(self, parts: SplitResult) -> Iterator[HTTPConnection]:
        left = self._until - time.monotonic()
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.netloc, timeout=max(min(_GAP_S, left), 0.001))
        timer = Timer(max(left, 0.0), _cut, [connection])
        timer.daemon = True
        timer.start()
        try:
            yield connection
        finally:
            timer.cancel()
            connection.close()

    def _still_in_time(self, url: str) -> None:
        if time.monotonic() >= self._until:
            raise TooSlow(f"{url}: not complete within the deadline")


def base_url(place: str) -> str:
    """The address of a repository: http(s), file:// or a folder.

    Raises:
        InputError: another kind of address.
    """
    scheme = urlsplit(place).scheme
    if scheme in ("http", "https", "file"):
        return place.rstrip("/")
    if "://" in place:
        raise InputError(f"a device cannot fetch from {place}", hint="give the http(s) address that serves the repository")
    return Path(place).resolve().as_uri()


def _read_file(url: str) -> Iterator[bytes]:
    file = Path(url2pathname(urlsplit(url).path))
    if not file.is_file():
        raise NotInFolder(f"{file} is not there", 404)
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _cut(connection: HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
