"""One check of one device: what would it install now, and why, or why not?

1  lock the state folder, read the floors; a clock behind the time floor stops here
2  TUF: from the root in the image to timestamp, snapshot, targets, the fleet's role
3  fetch the manifest of the device's firmware variant; refuse what is wrong (judge.py), raise the floors
4  wait, with the reason, unless the device is in the active stage
5  the `releases` role has to list the same artefact for this hardware, fleet and firmware
6  fetch it, parse it, run its self-test; raise the release counter

Whatever fails, the device keeps what it runs. `updating.py` goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from components.values.artefact import Artefact
from components.workspace.files import write_bytes
from registry.contract.manifest import Manifest
from registry.contract.reasons import Reason
from registry.contract.times import utc_now
from registry.device.facts import Facts
from registry.device.floors import Kind, read_floors
from registry.device.judge import reason_to_wait, refuse_early_clock, refuse_wrong
from registry.device.locking import alone
from registry.device.reporting import OFFERED
from registry.device.selftest import self_test
from registry.device.slots import Slots, memory_of
from registry.device.source import DEADLINE_S, Source


@dataclass(frozen=True)
class Decision:
    """``install``: the device would install ``manifest``'s artefact; else ``reason`` and ``detail`` say why it waits."""

    install: bool
    reason: Reason
    detail: str
    manifest: Manifest | None = None
    self_test: str = ""


def check(
    place: str, root: bytes, facts: Facts, state: Path, *, now: datetime | None = None, deadline_s: float = DEADLINE_S
) -> Decision:
    """Ask the repository at ``place`` (http(s), file:// or a folder) what the device is to run.

    ``root``: the root metadata from the device's image; ``state``: a folder that outlives updates.

    Raises:
        Refused: something does not verify; ``reason`` says what.
        Unreachable: the repository does not answer in time.
        Conflict: another check of the same device is running.
    """
    now = now or utc_now()
    with alone(state):
        source = open_source(place, root, facts, state, now, deadline_s)
        manifest = source.manifest(facts)
        if manifest is None:
            return nothing_offered(facts)
        facts = as_it_runs(facts, state)
        take_note(manifest, source.signers(facts.fleet), facts, state, now)
        if wait := reason_to_wait(manifest, facts, now):
            return Decision(False, *wait, manifest)
        entry = source.approved(manifest, facts, read_floors(state))
        artefact = source.fetch(entry, facts, state / "targets/next.artefact")
        tested = _tested(artefact, facts)
        read_floors(state).after_proof(facts.fleet, "model", manifest.artifact.release_counter).save(state)
        return Decision(True, Reason.OFFERED, "verified", manifest, tested)


def open_source(place: str, root: bytes, facts: Facts, state: Path, now: datetime, deadline_s: float) -> Source:
    """Steps 1 and 2: the repository, once the clock may be trusted with expiry."""
    refuse_early_clock(read_floors(state).raised_by(facts).time, now)
    return Source(place, root, state, deadline_s)


def take_note(manifest: Manifest, signers: str, facts: Facts, state: Path, now: datetime, kind: Kind = "model") -> None:
    """Step 3: refuse what is wrong; what is right is kept, and is the least that is taken from now on."""
    floors = read_floors(state).told_by(manifest.path, signers).raised_by(facts)
    refuse_wrong(manifest, facts, floors, now, kind)
    offered = memory_of(state, kind) / OFFERED
    if manifest.sequence_number != floors.sequence[manifest.path] or not offered.is_file():
        write_bytes(offered, manifest.to_bytes())
    floors.after(manifest, signers).save(state)


def as_it_runs(facts: Facts, state: Path) -> Facts:
    """The facts with the digest of the active slot, once something was installed."""
    slots = Slots(state)
    return facts if slots.pointer() is None else facts.model_copy(update={"running_sha256": slots.running()})


def nothing_offered(facts: Facts) -> Decision:
    return Decision(False, Reason.NOTHING_OFFERED, f"nothing is offered to {facts.fleet}/{facts.firmware_variant}")


def _tested(artefact: Artefact, facts: Facts) -> str:
    if artefact.runtime == "c99":
        return f"gateway {facts.via or '(none)'} verified it; the microcontroller itself runs the self-test before it switches"
    return f"{self_test(artefact, facts.latency_budget_us).vectors} vectors passed in {artefact.runtime}"
