"""How what runs is doing: a statement for the registry, with what the device measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError

from components.values.artefact import Artefact
from components.workspace.errors import InputError, NotFound, VerificationFailed
from registry.contract.manifest import Part
from registry.contract.report import Count, Report, Thousandths
from registry.device.facts import Facts
from registry.device.locking import alone
from registry.device.refusal import Refused
from registry.device.reporting import Reporter
from registry.device.selftest import self_test
from registry.device.slots import Slots


class Metrics(Part):
    """``errors`` since the report before; latency of a window in microseconds; drift and the share of windows that were judged
    anomalous in thousandths.
    """

    errors: Count = 0
    latency_us: Count | None = None
    drift_milli: Thousandths | None = None
    anomaly_milli: int | None = Field(None, ge=0, le=1000)


def state_health(facts: Facts, state: Path, key: Ed25519PrivateKey, metrics: Metrics) -> Report | None:
    """Put a "running" statement into the outbox, and one of the firmware where its image is known; None: no room. What lies in
    the active slot is tested again, and times itself where ``metrics`` has no latency.

    Raises:
        Conflict: there is no rollout to report on, or another process works on the same device.
    """
    with alone(state):
        passed, latency = _tested(facts, state)
        said = metrics.model_dump()
        if said["latency_us"] is None:
            said["latency_us"] = latency
        models = Reporter(facts, state, key)
        report = models.say_running(passed=passed, **said)
        firmware = replace(models, kind="firmware")
        if firmware.running is not None:
            firmware.say_running(passed=passed, **said)
        return report


def read_metrics(file: Path) -> Metrics:
    """Raises NotFound, or InputError that names the key."""
    if not file.is_file():
        raise NotFound(f"no metrics in {file}", hint='it holds JSON such as {"errors": 0, "drift_milli": 120}')
    try:
        return Metrics.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        raise InputError(f"{file}, key {key}: {first['msg']}", hint="see docs/device-contract.md") from None


def _tested(facts: Facts, state: Path) -> tuple[bool, int | None]:
    """(whether what runs passes its self-test, its latency). What an image or a microcontroller has was tested there."""
    file = Slots(state).active
    if file is None or facts.runtime == "c99":
        return True, None
    try:
        tested = self_test(Artefact.from_bytes(file.read_bytes()))
    except (Refused, VerificationFailed):
        return False, None
    return True, tested.latency_us
