"""Is everything still as it was decided? The logs by their hash chains, the repository by what the logs say is live."""

from __future__ import annotations

from dataclasses import dataclass

from tuf.api.metadata import TargetFile

from components.workspace import Workspace
from components.workspace.errors import VerificationFailed
from registry import trust
from registry.database import open_database, reading
from registry.keys import require_keys
from registry.repository import audit
from registry.repository.metadata import artefact_target, manifest_targets
from registry.repository.store import open_store
from registry.rollout.publication import in_force, manifests_of, offered, refuse_to_forget
from registry.rollout.query import list_releases
from registry.rollout.release import Release

_SHOWN = 8


@dataclass(frozen=True)
class Verified:
    """``published``: manifests and artefacts that were found as the log gives them; 0 before the first release."""

    releases: tuple[Release, ...]
    published: int


def verify(workspace: Workspace, place: str | None = None) -> Verified:
    """Check every log's hash chain, and that devices find every manifest and artefact that is live, rightly signed.

    ``place``: a folder or s3://bucket/prefix that mirrors the repository, and is looked at instead.

    Raises:
        NotFound: the workspace has no keys: nothing can be verified.
        Conflict: the repository offers releases that this log knows nothing of.
        VerificationFailed: the log was changed, or the repository lacks something or has it changed; the message names it.
    """
    require_keys(workspace)
    found = tuple(list_releases(workspace))
    with reading(open_database(workspace.database_url)) as connection:
        live = offered(connection, [f.name for f in workspace.settings.fleets])
        releases = in_force(connection)
    wanted: dict[str, TargetFile] = {}
    for offers in live.values():
        wanted |= manifest_targets(manifests_of(offers))
        wanted |= {t.path: t for t in (artefact_target(o.artefact_sha256, o.length, {}) for _, o in offers)}
    store = open_store(workspace, place)
    refuse_to_forget(store, releases.signed.version if releases else None)
    problems: list[str] = []
    if releases and store.read(name := f"metadata/{releases.signed.version}.releases.json") != trust.to_bytes(releases):
        problems.append(f"{name} is missing, or is not what persons signed")
    if releases:
        problems += audit(workspace, wanted, store=store)
    if problems:
        more = f"\nand {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise VerificationFailed(
            f"{place or 'the repository'} is not what the log says:\n" + "\n".join(problems[:_SHOWN]) + more,
            hint="muster release publish puts back what is missing or expired; what was changed, someone changed: find out who,"
            " delete it, and publish again",
        )
    return Verified(found, len(wanted))
