"""What two persons vouch for: the ``custom`` part of an artefact's entry in the `releases` role.

A fleet's online key chooses among these and cannot widen them: a device compares its own facts and the manifest
with this entry, and both have to match.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.contract.manifest import Grown, Name, Range, Revision, Runtime


class FleetApproval(Grown):
    """The latest release of the artefact in one fleet, and the firmware ranges it may run under.

    ``back_from``: devices may go back to it from the release with this counter, and from no other; 0 from none.
    """

    later = ("back_from",)

    release_counter: int = Field(ge=1)
    firmware: tuple[Range, ...] = Field(min_length=1, strict=False)
    back_from: int = Field(0, ge=0)


class Approved(Grown):
    """``kind``: what it is; no fleet's key can have a model installed as firmware."""

    later = ("kind", "hardware_revisions")

    hardware_ids: tuple[Name, ...] = Field(min_length=1, strict=False)
    runtime: Runtime
    fleets: dict[Name, FleetApproval]
    kind: Literal["model", "firmware"] = "model"
    hardware_revisions: tuple[Revision, ...] = Field((), strict=False)
