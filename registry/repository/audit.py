"""Read the repository as a device does: every signature, version, expiry, length and digest, whatever it would install."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from components.workspace import Workspace
from components.workspace.files import sha256_bytes
from registry import trust
from registry.keys import require_keys
from registry.repository.metadata import stored_name
from registry.repository.store import Store, open_store

_BASE = "store:///"


def audit(workspace: Workspace, wanted: Mapping[str, TargetFile], *, store: Store | None = None) -> list[str]:
    """What a device would stumble over, one sentence each; none when it could take everything in ``wanted``.

    ``wanted``: path -> length and digest of every target that has to be there.

    Raises:
        NotFound: the workspace has no keys, so nobody could say which signatures count.
    """
    require_keys(workspace)
    image = trust.files_of(workspace, "root")[0].read_bytes()
    store = store or open_store(workspace)
    problems = [p for path, target in wanted.items() if (p := _problem_of_file(store, path, target))]
    with tempfile.TemporaryDirectory() as cache:
        urls = (f"{_BASE}metadata/", cache, f"{_BASE}targets/")
        updater = Updater(cache, *urls, fetcher=_StoreFetcher(store), bootstrap=image)
        try:
            updater.refresh()
            listed = {path: updater.get_targetinfo(path) for path in wanted}
        except (RepositoryError, DownloadError) as error:
            return [f"devices would refuse the metadata: {error}", *problems]
    return problems + [
        f"the metadata does not list {path} as the log gives it" for path in wanted if _differs(listed, wanted, path)
    ]


class _StoreFetcher(FetcherInterface):
    """python-tuf asks for addresses; the store has names."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = unquote(url.removeprefix(_BASE))
        data = self._store.read(name)
        if data is None:
            raise DownloadHTTPError(f"{name} is not there", 404)
        return iter((data,))


def _problem_of_file(store: Store, path: str, target: TargetFile) -> str:
    name = stored_name(path, target.hashes["sha256"])
    data = store.read(name)
    if data is None:
        return f"{name} is not there"
    return "" if sha256_bytes(data) == target.hashes["sha256"] else f"{name} was changed"


def _differs(listed: Mapping[str, TargetFile | None], wanted: Mapping[str, TargetFile], path: str) -> bool:
    found, target = listed[path], wanted[path]
    return found is None or (found.length, found.hashes) != (target.length, target.hashes)
