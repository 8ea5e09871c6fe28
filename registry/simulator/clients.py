"""The real device client, once a variant and publication: what it verified is what the other devices are told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from tuf.api.metadata import Metadata, Timestamp

from registry.contract.cohort import BUCKETS
from registry.contract.manifest import Manifest
from registry.device import Facts, check
from registry.repository.store import location
from registry.rollout import Offer, Release
from registry.simulator.crowd import Crowd
from registry.simulator.scratch import Stage
from registry.trust import files_of


@dataclass(frozen=True)
class Published:
    """A manifest that verified; ``fresh_until``: when the metadata around it expires."""

    manifest: Manifest
    fresh_until: datetime


class Clients:
    """For each variant the device that is first in line, which fetches and tests the artefact as well."""

    def __init__(self, stage: Stage, release: Release, crowd: Crowd, folder: Path) -> None:
        self._workspace = stage.workspace
        self._root = files_of(stage.workspace, "root")[0].read_bytes()
        self._folder = folder
        first = _first(release, crowd)
        self._facts = {o.variant: _facts(release, o, crowd, i) for o, i in zip(release.manifests, first, strict=True)}
        self.verified = 0

    def read(self, now: datetime) -> dict[str, Published]:
        """Variant -> what it is told.

        Raises:
            Refused: a device would refuse what is published.
        """
        return {variant: self._read(variant, now) for variant in self._facts}

    def _read(self, variant: str, now: datetime) -> Published:
        state = self._folder / variant
        facts = self._facts[variant]
        decision = check(location(self._workspace), self._root, facts, state, now=now)
        if decision.manifest is None:
            raise ValueError(f"nothing is published for '{variant}': {decision.detail}")
        self.verified += 1
        if decision.install:
            self._facts[variant] = facts.model_copy(update={"running_sha256": decision.manifest.artifact.sha256})
        timestamp = Metadata[Timestamp].from_file(str(state / "metadata/timestamp.json"))
        return Published(decision.manifest, timestamp.signed.expires)


def _first(release: Release, crowd: Crowd) -> list[int]:
    """The place of the device of each variant that is first in line."""
    last = BUCKETS
    return [int(np.argmin(np.where(crowd.variant == n, crowd.bucket, last))) for n in range(len(release.manifests))]


def _facts(release: Release, offer: Offer, crowd: Crowd, place: int) -> Facts:
    """Where the runtime is not installed, the client stands for a device that runs the artefact already."""
    facts = Facts(
        device_id=crowd.ids[place],
        fleet=release.fleet,
        firmware_variant=offer.variant,
        hardware_profile=offer.profile,
        firmware_version=crowd.listed[place],
        runtime=offer.runtime,
        runtime_version=offer.runtime_minimal if offer.runtime == "c99" else None,
        via=crowd.signer[place],
    )
    if facts.version_of_runtime() is not None:
        return facts
    return facts.model_copy(update={"runtime_version": offer.runtime_minimal, "running_sha256": offer.artefact_sha256})
