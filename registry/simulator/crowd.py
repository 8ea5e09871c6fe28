"""The devices of a rehearsal, in columns; each step of the clock touches them column-wise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.workspace import Workspace
from registry.contract.cohort import Buckets, buckets
from registry.inventory import Device, variant_of
from registry.rollout import Release
from registry.simulator import readings
from registry.simulator.acting import End
from registry.simulator.scenario import Offline, OldFirmware, Scenario, WrongClock

NEVER = np.int64(1) << 60
_DAY = 86_400
Ints = NDArray[np.int64]


@dataclass
class Crowd:
    """The devices that the release offers something, each column (devices,). Times in seconds since 1970.

    ``listed`` and ``firmware``: the version that the inventory has, and the one that runs;
    ``variant`` and ``group``: places in the release's variants and in the scenario's groups; ``gateway``: place of the device
    that speaks for it, -1 for none here; ``bucket``: its place in line; ``polls_at``: its next poll; ``end`` from ``done_at``
    on; ``sequence``: of the manifest that it answered last; ``told``: it read that it is its turn; ``refused``: it refused it.
    ``measures`` and ``measured``: (devices, readings) of the new model, and of what ran before.
    """

    ids: tuple[str, ...]
    listed: tuple[str, ...]
    firmware: tuple[str, ...]
    signer: tuple[str, ...]
    variant: Ints
    group: Ints
    gateway: Ints
    bucket: Buckets
    polls_at: Ints
    states_at: Ints
    end: NDArray[np.int8]
    done_at: Ints
    attempt: Ints
    counter: Ints
    sequence: Ints
    told: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    measures: Ints
    measured: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def polling(self, until: int, poll_s: int) -> tuple[Ints, Ints]:
        """(who polls up to ``until``, when); the bricked, and who hangs on them, never do."""
        bricked = self.end == End.BRICKED
        cut_off = bricked | (bricked[self.gateway] & (self.gateway >= 0))
        due = np.flatnonzero((self.polls_at <= until) & ~cut_off)
        times = self.polls_at[due].copy()
        self.polls_at[due] += poll_s * ((until - times) // poll_s + 1)
        return due, times

    def count(self, end: End, now: int, among: NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(among & (self.end == end) & (self.done_at <= now)))


def gather(
    workspace: Workspace, release: Release, devices: Sequence[Device], scenario: Scenario, start: int, rng: np.random.Generator
) -> Crowd:
    """The devices of the release's variants, in the order of the inventory."""
    names = [o.variant for o in release.manifests]
    kinds = {(d.hardware_profile, d.firmware_version) for d in devices}
    variant = {kind: variant_of(workspace, release.fleet, *kind)[0] for kind in kinds}
    chosen = [d for d in devices if variant[d.hardware_profile, d.firmware_version] in names]
    ids = tuple(d.device_id for d in chosen)
    place = {device: i for i, device in enumerate(ids)}
    column = np.array([names.index(variant[d.hardware_profile, d.firmware_version] or "") for d in chosen], np.int64)
    group = scenario.draw(column, names, rng)
    gateway = np.array([place.get(d.via, -1) for d in chosen], np.int64)
    up_from = start + _days_off(scenario)[group]
    up_from = np.where(gateway >= 0, np.maximum(up_from, up_from[gateway]), up_from)
    polls_at = up_from + rng.integers(1, scenario.poll_s + 1, len(ids))
    return Crowd(
        ids=ids,
        listed=tuple(d.firmware_version for d in chosen),
        firmware=tuple(_firmware(scenario, g, d) for g, d in zip(group, chosen, strict=True)),
        signer=tuple(d.via or d.device_id for d in chosen),
        variant=column,
        group=group,
        gateway=gateway,
        bucket=_in_line(release, ids, place),
        polls_at=polls_at,
        states_at=polls_at.copy() if scenario.statement_s else np.full(len(ids), NEVER),
        end=np.zeros(len(ids), np.int8),
        done_at=np.zeros(len(ids), np.int64),
        attempt=np.zeros(len(ids), np.int64),
        counter=np.zeros(len(ids), np.int64),
        sequence=np.zeros(len(ids), np.int64),
        told=np.zeros(len(ids), bool),
        refused=np.zeros(len(ids), bool),
        measures=readings.draw(scenario.measured, group, rng),
        measured=readings.draw([scenario.readings], np.zeros(len(ids), np.int64), rng),
    )


def clock_error(scenario: Scenario) -> Ints:
    """(groups + 1,) seconds by which a group's clock is ahead; the last entry is that of the healthy."""
    return np.array([round(g.days * _DAY) if isinstance(g, WrongClock) else 0 for g in scenario.groups] + [0], np.int64)


def _days_off(scenario: Scenario) -> Ints:
    """(groups + 1,) seconds; the last entry is that of the healthy."""
    return np.array([round(g.days * _DAY) if isinstance(g, Offline) else 0 for g in scenario.groups] + [0], np.int64)


def _firmware(scenario: Scenario, group: int, device: Device) -> str:
    one = scenario.groups[group] if group >= 0 else None
    return one.firmware if isinstance(one, OldFirmware) else device.firmware_version


def _in_line(release: Release, ids: Sequence[str], place: dict[str, int]) -> Buckets:
    bucket = buckets(release.id, ids)
    for offer in release.manifests:
        late = [place[d] for d in offer.deferred if d in place]
        bucket[late] = np.maximum(bucket[late], offer.stages[0].upto)
    return bucket
