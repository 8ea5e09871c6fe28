"""Read a store as a device does: python-tuf's client asks for addresses, the store has names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from components.workspace import Workspace
from registry import trust
from registry.keys import require_keys
from registry.repository.store import Store

_BASE = "store:///"


class StoreFetcher(FetcherInterface):
    """``read``: name -> bytes of every file so far, in the order in which the client asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read: dict[str, bytes] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = unquote(url.removeprefix(_BASE))
        data = self._store.read(name)
        if data is None:
            raise DownloadHTTPError(f"{name} is not there", 404)
        self.read[name] = data
        return iter((data,))


@contextmanager
def device_of(workspace: Workspace, fetcher: StoreFetcher) -> Iterator[Updater]:
    """The client of a device that knows nothing but the root of its image.

    Raises:
        NotFound: the workspace has no keys, so nobody could say which signatures count.
    """
    require_keys(workspace)
    image = trust.files_of(workspace, "root")[0].read_bytes()
    with tempfile.TemporaryDirectory() as cache:
        yield Updater(cache, f"{_BASE}metadata/", f"{cache}/targets", f"{_BASE}targets/", fetcher=fetcher, bootstrap=image)
