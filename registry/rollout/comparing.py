"""What a release changes for each variant: against what was there before, or against another release."""

from __future__ import annotations

from dataclasses import dataclass

from components.workspace import Workspace
from registry.database import open_database, reading
from registry.rollout.query import show_release
from registry.rollout.release import Offer, Release
from registry.rollout.starting import ways_back


@dataclass(frozen=True)
class Side:
    """What a variant runs."""

    release: str
    model: str
    version: int
    sha256: str
    length: int
    runtime: str


@dataclass(frozen=True)
class Change:
    """None where a side has nothing for the variant. ``devices``: those of the newer release, as it was drafted."""

    variant: str
    before: Side | None
    after: Side | None
    devices: int


def changes(workspace: Workspace, release_id: str, other: str | None = None) -> tuple[Change, ...]:
    """Variant by variant, from ``other`` to the release; without ``other``, from what the variants are told before it.

    Raises:
        NotFound: no such release.
    """
    release = show_release(workspace, release_id)
    before = _sides(show_release(workspace, other)) if other else _told_before(workspace, release)
    after = _sides(release)
    sizes = {o.variant: o.devices for o in release.manifests}
    return tuple(Change(v, before.get(v), after.get(v), sizes.get(v, 0)) for v in sorted(before.keys() | after.keys()))


def _told_before(workspace: Workspace, release: Release) -> dict[str, Side]:
    if release.started:
        ways = {o.variant: o.previous for o in release.manifests if o.previous}
    else:
        with reading(open_database(workspace.database_url)) as connection:
            ways = dict(ways_back(connection, release))
    return {
        v: Side(f"{release.fleet}-r{w.release_counter}", w.model_name, w.version, w.sha256, w.length, w.runtime)
        for v, w in ways.items()
    }


def _sides(release: Release) -> dict[str, Side]:
    return {o.variant: _side(release, o) for o in release.manifests}


def _side(release: Release, offer: Offer) -> Side:
    return Side(release.id, release.model_name, release.model_version, offer.artefact_sha256, offer.length, offer.runtime)
