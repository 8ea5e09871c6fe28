"""Reports that wait to be acknowledged: signed, on the disk before anything is sent, in the order in which they were made.

    uplink/<counter>-<outcome>.json    one envelope each, as it travels
    counter.json                       what the last report had; it rises over boots and never goes back

Bounded: when `CAPACITY` reports wait, the oldest statements of health ("running") make room. What says how a change went is never
dropped; a device makes only a few of those a release.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from components.workspace.errors import InputError
from components.workspace.files import write_bytes, write_json
from registry.contract.manifest import Part
from registry.contract.report import Count, Report
from registry.contract.signed_report import sign

CAPACITY = 256
_COUNTER = "counter.json"


class _Counted(Part):
    counter: Count


@dataclass(frozen=True)
class Waiting:
    """``envelope``: the bytes to send, the same each time."""

    file: Path
    envelope: bytes

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)


class Outbox:
    """``key``: the device's own, or that of the gateway that relays for it."""

    def __init__(self, state: Path, key: Ed25519PrivateKey, capacity: int = CAPACITY) -> None:
        self._state, self._folder, self._key, self._capacity = state, state / "uplink", key, capacity

    def put(self, **said: Any) -> Report | None:
        """Make, sign and keep a report; ``said``: its fields without the counter. None: no room for a statement of health."""
        files = self._files()
        excess = len(files) + 1 - self._capacity
        running = [f for f in files if f.stem.endswith("-running")]
        for file in running[: max(excess, 0)]:
            file.unlink()
        if excess > len(running) and said["outcome"] == "running":
            return None
        report = Report(counter=self._next(), **said)
        write_bytes(self._folder / f"{report.counter:016}-{report.outcome}.json", sign(report, self._key))
        return report

    def waiting(self) -> list[Waiting]:
        return [Waiting(file, file.read_bytes()) for file in self._files()]

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.json")) if self._folder.is_dir() else []

    def _next(self) -> int:
        """Written before it is used: a report that was never made leaves a gap, and no number is used twice.

        Raises:
            InputError: the file is damaged; a counter that starts again would make new reports look old.
        """
        file = self._state / _COUNTER
        last = 0
        if file.is_file():
            try:
                last = _Counted.model_validate_json(file.read_bytes()).counter
            except ValidationError:
                raise InputError(f"{file} is damaged", hint='write {"counter": n} with n above every report so far') from None
        write_json(file, {"counter": last + 1})
        return last + 1
