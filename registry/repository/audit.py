"""Read the repository as a device does: every signature, version, expiry, length and digest, whatever it would install."""

from __future__ import annotations

from collections.abc import Mapping

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import TargetFile

from components.workspace import Workspace
from components.workspace.files import sha256_bytes
from registry.repository.metadata import stored_name
from registry.repository.reading import StoreFetcher, device_of
from registry.repository.store import Store, open_store


def audit(workspace: Workspace, wanted: Mapping[str, TargetFile], *, store: Store | None = None) -> list[str]:
    """What a device would stumble over, one sentence each; none when it could take everything in ``wanted``.

    ``wanted``: path -> length and digest of every target that has to be there.

    Raises:
        NotFound: the workspace has no keys, so nobody could say which signatures count.
    """
    store = store or open_store(workspace)
    with device_of(workspace, StoreFetcher(store)) as updater:
        problems = [p for path, target in wanted.items() if (p := _problem_of_file(store, path, target))]
        try:
            updater.refresh()
            listed = {path: updater.get_targetinfo(path) for path in wanted}
        except (RepositoryError, DownloadError) as error:
            return [f"devices would refuse the metadata: {error}", *problems]
    return problems + [
        f"the metadata does not list {path} as the log gives it" for path in wanted if _differs(listed, wanted, path)
    ]


def _problem_of_file(store: Store, path: str, target: TargetFile) -> str:
    name = stored_name(path, target.hashes["sha256"])
    data = store.read(name)
    if data is None:
        return f"{name} is not there"
    return "" if sha256_bytes(data) == target.hashes["sha256"] else f"{name} was changed"


def _differs(listed: Mapping[str, TargetFile | None], wanted: Mapping[str, TargetFile], path: str) -> bool:
    found, target = listed[path], wanted[path]
    return found is None or (found.length, found.hashes) != (target.length, target.hashes)
