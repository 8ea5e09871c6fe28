"""Fetch by HTTP or from a folder, all of it under one total deadline and never below a rate (connection.py)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import url2pathname

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from components.workspace.errors import InputError
from registry.device.connection import connected

_CHUNK = 1 << 16
SLOWEST = 1000
"""Bytes per second below which a download is not worth waiting for."""
WINDOW_S = 20.0
"""Over how long the rate is taken: a short gap of a radio link is no slow server."""


class TooSlow(DownloadError):
    """The deadline passed before the download was complete, or it came more slowly than `SLOWEST`."""


class NotInFolder(DownloadHTTPError):
    """A folder lacks the file: there is no server that could be asked again later."""


class DeadlineFetcher(FetcherInterface):
    """``seconds``: for everything that is fetched until `allow` gives more."""

    def __init__(self, seconds: float, *, window_s: float = WINDOW_S) -> None:
        self._seconds, self._window_s = seconds, window_s
        self._until = time.monotonic() + seconds

    def allow(self, length: int) -> None:
        """Start a new deadline that fits a download of ``length`` bytes."""
        self._until = time.monotonic() + max(self._seconds, length / SLOWEST)

    def _fetch(self, url: str) -> Iterator[bytes]:
        parts = urlsplit(url)
        if parts.scheme == "file":
            return _read_file(url)
        return self._read_http(url, parts)

    def _read_http(self, url: str, parts: SplitResult) -> Iterator[bytes]:
        with connected(parts, self._until, SLOWEST, self._window_s) as (connection, pace):
            try:
                connection.request("GET", parts.path, headers={"Accept-Encoding": "identity"})
                response = connection.getresponse()
                if response.status != 200:
                    raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
                while chunk := response.read1(_CHUNK):
                    pace.came(len(chunk))
                    yield chunk
                pace.came(0)
            except (OSError, HTTPException, ValueError, AttributeError) as error:
                # A connection that was cut fails in one of many ways; the pace says whether it was cut.
                if pace.is_over:
                    raise TooSlow(f"{url}: not complete in time, or below {SLOWEST} bytes a second") from None
                raise DownloadError(f"{url}: {error or type(error).__name__}") from None


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
