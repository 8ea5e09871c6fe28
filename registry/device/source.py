"""The repository as a device sees it: a manifest, and the artefact that the manifest names, both verified.

Metadata and manifest are fetched under one deadline, an artefact under one that fits its length.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuf.api import exceptions as tuf
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import Updater, UpdaterConfig

from components.values.artefact import Artefact
from components.workspace.errors import VerificationFailed
from components.workspace.files import sha256_bytes, sha256_json
from registry.contract import envelope
from registry.contract.manifest import MAX_BYTES, Manifest, manifest_path
from registry.contract.reasons import Reason
from registry.device.facts import Facts
from registry.device.fetcher import DeadlineFetcher, NotInFolder, TooSlow, base_url
from registry.device.floors import Floors, Kind
from registry.device.judge import approved_entry
from registry.device.refusal import Refused, Unreachable

DEADLINE_S = 60.0
LIMITS = UpdaterConfig(max_root_rotations=64, max_delegations=8, root_max_length=65_536, app_user_agent="muster-device")


class Source:
    """``place``: http(s), file:// or a folder; ``root``: root metadata from the device's image; ``state``: where the metadata
    that are trusted are kept.

    Raises, whatever it is asked:
        Refused: something does not verify; ``reason`` says what.
        Unreachable: the repository does not answer in time.
    """

    def __init__(self, place: str, root: bytes, state: Path, deadline_s: float = DEADLINE_S) -> None:
        base, self._state, targets = base_url(place), state, state / "targets"
        self._fetcher = DeadlineFetcher(deadline_s)
        with _explained():
            self._updater = open_updater(
                f"{base}/metadata/", f"{base}/targets/", root, state / "metadata", targets, self._fetcher
            )
            self._updater.refresh()

    def manifest(self, facts: Facts, kind: Kind = "model") -> Manifest | None:
        """What the device's firmware variant is told; None where it is told nothing. Each ``kind`` has a copy of its own."""
        with _explained():
            entry = self._updater.get_targetinfo(manifest_path(facts.fleet, facts.firmware_variant))
            if entry is None:
                return None
            if entry.length > MAX_BYTES:
                raise Refused(Reason.BAD_MANIFEST, f"a manifest of {entry.length} bytes; {MAX_BYTES} are read")
            kept = self._state / ("targets/rollout.json" if kind == "model" else "targets/firmware.json")
            if self._updater.find_cached_target(entry, str(kept)) is None:
                self._updater.download_target(entry, str(kept))
        try:
            return Manifest.from_bytes(kept.read_bytes())
        except ValueError as error:
            raise Refused(Reason.BAD_MANIFEST, f"the manifest does not parse: {str(error).splitlines()[0]}") from None

    def signers(self, fleet: str) -> str:
        """A digest of the keys that may sign the fleet's manifests, as the offline keys name them now."""
        top = self._top()
        role = (top.delegations.roles or {}).get(f"fleet-{fleet}") if top.delegations else None
        return sha256_json(sorted(role.keyids) if role else [])

    def approved(self, manifest: Manifest, facts: Facts, floors: Floors) -> TargetFile:
        """The entry of the `releases` role that vouches for the manifest's artefact on this device."""
        with _explained():
            return approved_entry(self._updater.get_targetinfo(manifest.artifact.path), manifest, facts, floors)

    def fetch(self, entry: TargetFile, facts: Facts, file: Path) -> Artefact:
        """Write the artefact to ``file``, bring it onto the disk, and read it back: what lies there would be installed."""
        data = self._stored(entry, file)
        try:
            artefact = Artefact.from_bytes(data)
        except VerificationFailed as error:
            raise Refused(Reason.BAD_ARTEFACT, error.message) from None
        if (artefact.profile, artefact.runtime) != (facts.hardware_profile, facts.runtime):
            raise Refused(Reason.WRONG_HARDWARE, f"the artefact is built for {artefact.profile} with {artefact.runtime}")
        return artefact

    def fetch_image(self, entry: TargetFile, facts: Facts, file: Path) -> None:
        """Write a firmware image to ``file``, as `fetch` does. One in a signed envelope has to carry the signatures of two who
        may release, for this profile; of any other only the digest is known.
        """
        data = self._stored(entry, file)
        if not data.startswith(envelope.MAGIC):
            return
        trusted = envelope.ImageTrust(self._release_keys(), facts.hardware_profile, envelope.Kind.FIRMWARE, 0, 0)
        if (reason := envelope.refusal(data, trusted)) is not None:
            raise Refused(reason, "the signed image is not one for this device")

    def _stored(self, entry: TargetFile, file: Path) -> bytes:
        self._fetcher.allow(entry.length)
        with _explained():
            try:
                self._updater.download_target(entry, str(file))
                _bring_to_disk(file)
                data = file.read_bytes()
            except OSError as error:
                raise Refused(Reason.STORAGE_FAILED, f"{file}: {error.strerror or error}") from None
        if sha256_bytes(data) != entry.hashes["sha256"]:
            raise Refused(Reason.WRONG_DIGEST, "what was written to the disk is not what was fetched")
        return data

    def _release_keys(self) -> tuple[bytes, ...]:
        """Public keys of the persons who release, as the offline keys name them now; small devices know ed25519 only."""
        delegations = self._top().delegations
        named = (delegations.roles or {}).get("releases") if delegations else None
        keys = [delegations.keys[keyid] for keyid in named.keyids] if delegations and named else []
        return tuple(bytes.fromhex(key.keyval["public"]) for key in keys if key.keytype == "ed25519")

    def _top(self) -> Targets:
        return Metadata[Targets].from_file(str(self._state / "metadata/targets.json")).signed


def open_updater(
    metadata_url: str, target_url: str, root: bytes, metadata: Path, targets: Path, fetcher: DeadlineFetcher
) -> Updater:
    """python-tuf's client with the limits of a device; ``metadata`` and ``targets``: folders for what was verified."""
    metadata.mkdir(parents=True, exist_ok=True)
    targets.mkdir(parents=True, exist_ok=True)
    return Updater(str(metadata), metadata_url, str(targets), target_url, fetcher=fetcher, config=LIMITS, bootstrap=root)


def _bring_to_disk(file: Path) -> None:
    for path, flags in ((file, os.O_RDWR), (file.parent, os.O_RDONLY)):
        handle = os.open(path, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
