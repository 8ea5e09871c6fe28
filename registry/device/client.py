"""One check of one device: what would it install now, and why, or why not?

1  lock the state folder, read the floors; a clock behind the time floor stops here
2  TUF: from the root in the image to timestamp, snapshot, targets, the fleet's role
3  fetch the manifest of the device's firmware variant; refuse what is wrong (judge.py), raise the floors
4  wait, with the reason, unless the device is in the active stage
5  the `releases` role has to list the same artefact for this hardware, fleet and firmware
6  fetch it, parse it, run its self-test; raise the release counter

Whatever fails, the device keeps what it runs. All metadata and the manifest are fetched under one deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from tuf.api import exceptions as tuf
from tuf.ngclient import Updater, UpdaterConfig

from components.values.artefact import Artefact
from components.workspace.errors import Conflict, VerificationFailed
from registry.contract.manifest import MAX_BYTES, Manifest, manifest_path
from registry.contract.reasons import Reason
from registry.contract.times import utc_now
from registry.device.facts import Facts
from registry.device.fetcher import DeadlineFetcher, NotInFolder, TooSlow, base_url
from registry.device.floors import read_floors
from registry.device.judge import approved_entry, reason_to_wait, refuse_early_clock, refuse_wrong
from registry.device.refusal import Refused, Unreachable
from registry.device.selftest import self_test

DEADLINE_S = 60.0
_LIMITS = UpdaterConfig(max_root_rotations=64, max_delegations=8, root_max_length=65_536, app_user_agent="muster-device")


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
    state.mkdir(parents=True, exist_ok=True)
    with _alone(state), _explained():
        floors = read_floors(state)
        refuse_early_clock(floors.time, now)
        fetcher = DeadlineFetcher(deadline_s)
        updater = _updater(base_url(place), root, state, fetcher)
        manifest = _manifest(updater, facts, state)
        if manifest is None:
            return Decision(False, Reason.NOTHING_OFFERED, f"nothing is offered to {facts.fleet}/{facts.firmware_variant}")
        refuse_wrong(manifest, facts, floors, now)
        floors = floors.after(manifest)
        floors.save(state)
        if wait := reason_to_wait(manifest, facts, now):
            return Decision(False, *wait, manifest)
        artefact = _artefact(updater, fetcher, manifest, facts, state)
        tested = _tested(artefact, facts)
        floors.after_self_test(manifest).save(state)
        return Decision(True, Reason.OFFERED, "verified", manifest, tested)


def _updater(base: str, root: bytes, state: Path, fetcher: DeadlineFetcher) -> Updater:
    cache, targets = state / "metadata", state / "targets"
    cache.mkdir(exist_ok=True)
    targets.mkdir(exist_ok=True)
    return Updater(
        str(cache), f"{base}/metadata/", str(targets), f"{base}/targets/", fetcher=fetcher, config=_LIMITS, bootstrap=root
    )


def _manifest(updater: Updater, facts: Facts, state: Path) -> Manifest | None:
    updater.refresh()
    entry = updater.get_targetinfo(manifest_path(facts.fleet, facts.firmware_variant))
    if entry is None:
        return None
    if entry.length > MAX_BYTES:
        raise Refused(Reason.BAD_MANIFEST, f"a manifest of {entry.length} bytes; {MAX_BYTES} are read")
    file = updater.download_target(entry, str(state / "targets/rollout.json"))
    try:
        return Manifest.from_bytes(Path(file).read_bytes())
    except ValueError as error:
        raise Refused(Reason.BAD_MANIFEST, f"the manifest does not parse: {str(error).splitlines()[0]}") from None


def _artefact(updater: Updater, fetcher: DeadlineFetcher, manifest: Manifest, facts: Facts, state: Path) -> Artefact:
    """Fetch, and parse what lies on the disk: that is what would be installed."""
    entry = approved_entry(updater.get_targetinfo(manifest.artifact.path), manifest, facts, read_floors(state))
    fetcher.allow(entry.length)
    file = Path(updater.download_target(entry, str(state / "targets/next.artefact")))
    try:
        artefact = Artefact.from_bytes(file.read_bytes())
    except VerificationFailed as error:
        raise Refused(Reason.BAD_ARTEFACT, error.message) from None
    if artefact.sha256 != manifest.artifact.sha256:
        raise Refused(Reason.WRONG_DIGEST, "what was written to the disk is not what was fetched")
    if (artefact.profile, artefact.runtime) != (facts.hardware_profile, facts.runtime):
        raise Refused(Reason.WRONG_HARDWARE, f"the artefact is built for {artefact.profile} with {artefact.runtime}")
    return artefact


def _tested(artefact: Artefact, facts: Facts) -> str:
    if artefact.runtime == "c99":
        return f"gateway {facts.via or '(none)'} verified it; the microcontroller itself runs the self-test before it switches"
    return f"{self_test(artefact)} vectors passed in {artefact.runtime}"


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """python-tuf supports one process a cache folder."""
    try:
        with FileLock(state / ".lock", timeout=0):
            yield
    except Timeout:
        raise Conflict(f"another check uses {state}", hint="wait until it is done") from None


@contextmanager
def _explained() -> Iterator[None]:
    """python-tuf's errors as reasons of the contract."""
    try:
        yield
    except TooSlow as error:
        raise Unreachable(Reason.TOO_SLOW, str(error)) from None
    except NotInFolder as error:
        raise Refused(
            Reason.MISSING,
            str(error),
            hint="nothing is published there yet, or it was lost: muster release publish writes it again",
        ) from None
    except tuf.DownloadLengthMismatchError as error:
        raise Refused(Reason.TOO_LARGE, str(error)) from None
    except tuf.DownloadError as error:
        raise Unreachable(Reason.UNREACHABLE, str(error)) from None
    except tuf.ExpiredMetadataError as error:
        raise Refused(
            Reason.METADATA_EXPIRED, str(error), hint="muster release publish signs it anew; or the device is shown old metadata"
        ) from None
    except tuf.BadVersionNumberError as error:
        raise Refused(Reason.METADATA_ROLLBACK, str(error)) from None
    except tuf.UnsignedMetadataError as error:
        raise Refused(Reason.BAD_SIGNATURE, str(error)) from None
    except tuf.LengthOrHashMismatchError as error:
        raise Refused(Reason.WRONG_DIGEST, str(error)) from None
    except tuf.RepositoryError as error:
        raise Refused(Reason.BAD_METADATA, str(error) or type(error).__name__) from None
