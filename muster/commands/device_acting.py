"""`muster device update` and `muster device report`: the device acts, and says how it went."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from components.workspace.errors import BackendUnreachable, InputError
from muster.commands.device_chosen import (
    DeviceOfWorkspace,
    FactsFile,
    Place,
    RootFile,
    State,
    Url,
    choose,
    choose_for_report,
)
from muster.console import Json, emit_json, emit_line, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.contract.reasons import Reason
    from registry.device import Facts, Updated
    from registry.device.health import Metrics
    from registry.device.outbox import Outbox

KeyFile = Annotated[Path, typer.Option("--key", help="the private key that signs reports (muster device enroll --make-key)")]
ReportTo = Annotated[str | None, typer.Option("--report-to", help="where reports go: http(s)://HOST or mqtt(s)://HOST")]
_ANSWERS = ("installed", "failed", "reverted")


def add_to(app: typer.Typer) -> None:
    app.command()(update)
    app.command()(report)


def update(
    place: Place = ".",
    *,
    key: KeyFile,
    device: DeviceOfWorkspace = None,
    facts: FactsFile = None,
    root: RootFile = None,
    url: Url = None,
    state: State = None,
    report_to: ReportTo = None,
    json: Json = False,
) -> None:
    """Install what the device is offered, if it verifies and passes its self-test; else keep what runs. Report either.

    First its firmware, where install_firmware in device.json names a program that installs one, then its model. Exits 8 with a
    reason when something does not verify, 0 when it was installed or there is nothing to do.
    """
    from registry.device import read_facts, read_key
    from registry.device import update as update_device
    from registry.device.outbox import Outbox
    from registry.device.uplink import check_address

    chosen, private = choose(place, device=device, facts=facts, root=root, url=url, state=state), read_key(key)
    if report_to is not None:
        check_address(report_to)
    tell = _teller(Outbox(chosen.state, private), report_to, chosen.facts)

    def again() -> Facts:
        return read_facts(facts) if facts is not None else chosen.facts

    def settled(firmware: Updated) -> None:
        _print_firmware(chosen.facts.device_id, firmware, say if json else emit_line)

    who = (chosen.facts, chosen.state, private)
    try:
        done = update_device(chosen.place, chosen.image, *who, tell=tell, again=again, settled=settled)
    finally:
        tell()
    known = again() if done.firmware and done.firmware.installed else chosen.facts
    if json:
        emit_json("device-update", _as_json(known, done))
    else:
        _print(known, done)
    if done.firmware_error is not None:
        raise done.firmware_error


def report(
    place: Place = ".",
    *,
    key: KeyFile,
    device: DeviceOfWorkspace = None,
    facts: FactsFile = None,
    state: State = None,
    report_to: ReportTo = None,
    metrics: Annotated[Path | None, typer.Option(help="JSON: errors, latency_us, drift_milli, anomaly_milli")] = None,
    errors: Annotated[int | None, typer.Option(min=0, help="errors since the report before")] = None,
    latency_us: Annotated[int | None, typer.Option(min=0, help="of a window; default: measured now")] = None,
    drift_milli: Annotated[int | None, typer.Option(min=0, help="drift in thousandths")] = None,
    anomaly_milli: Annotated[int | None, typer.Option(min=0, max=1000, help="anomalous windows in thousandths")] = None,
    answer: Annotated[str | None, typer.Option(help="a microcontroller's: installed, failed or reverted")] = None,
    reason: Annotated[str | None, typer.Option(help="why it failed, a word of docs/device-contract.md")] = None,
    json: Json = False,
) -> None:
    """Say how what runs is doing, or with --answer how a microcontroller's try went; send that and all that waits."""
    from registry.device import answered, read_key
    from registry.device.health import state_health
    from registry.device.outbox import Outbox
    from registry.device.uplink import Sent, check_address, send

    if (answer is not None and answer not in _ANSWERS) or (reason is not None and answer in (None, "installed")):
        raise InputError("what was the answer?", hint="give --answer installed, or failed or reverted with --reason WORD")
    known, memory = choose_for_report(place, device=device, facts=facts, state=state)
    private, address = read_key(key), check_address(report_to) if report_to is not None else None
    given = {"errors": errors, "latency_us": latency_us, "drift_milli": drift_milli, "anomaly_milli": anomaly_milli}
    measured = _metrics(metrics, {k: v for k, v in given.items() if v is not None})
    if answer is not None:
        word = cast("Literal['installed', 'failed', 'reverted']", answer)
        answered(known, memory, private, word, _reason(reason), **measured.model_dump())
    else:
        state_health(known, memory, private, measured)
    outbox = Outbox(memory, private)
    sent = send(outbox, address, known) if address is not None else Sent(waiting=len(outbox.waiting()))
    if json:
        emit_json("device-report", asdict(sent))
        return
    emit_line(f"{known.device_id}: {sent.acknowledged} acknowledged, {sent.refused} refused for good, {sent.waiting} waiting")
    if sent.refusals:
        say(f"the registry says: {', '.join(sent.refusals)}")


def _teller(outbox: Outbox, report_to: str | None, facts: Facts) -> Callable[[], None]:
    """Sends what waits; what cannot be sent now is said once, and waits."""
    from registry.device.uplink import send

    gone: list[str] = []

    def tell() -> None:
        if report_to is None or gone:
            return
        try:
            sent = send(outbox, report_to, facts)
        except BackendUnreachable as error:
            gone.append(error.message)
            say(f"{error.message}; they wait for the next time")
        else:
            if sent.refusals:
                say(f"the registry says: {', '.join(sent.refusals)}")

    return tell


def _metrics(file: Path | None, given: dict[str, int]) -> Metrics:
    """Of a file, with what is given on the command line over it."""
    from registry.device.health import Metrics, read_metrics

    return Metrics().model_copy(update=(read_metrics(file).model_dump() if file else {}) | given)


def _reason(word: str | None) -> Reason | None:
    from registry.contract.reasons import Reason

    try:
        return Reason(word) if word is not None else None
    except ValueError:
        raise InputError(f"'{word}' is no reason", hint="the words are those of docs/device-contract.md") from None


def _as_json(facts: Facts, done: Updated) -> dict[str, Any]:
    return {
        "device": facts.model_dump(mode="json"),
        "installed": done.installed,
        "reason": done.reason.value,
        "detail": done.detail,
        "running_sha256": done.running_sha256,
        "latency_us": done.tested.latency_us if done.tested else None,
        "staged": str(done.staged) if done.staged else None,
        "manifest": done.manifest.model_dump(mode="json") if done.manifest else None,
        "firmware": _firmware(done.firmware) if done.firmware else None,
    }


def _firmware(done: Updated) -> dict[str, Any]:
    said = {"installed": done.installed, "reason": done.reason.value, "detail": done.detail}
    return said | {"running_sha256": done.running_sha256}


def _print_firmware(device_id: str, firmware: Updated, line: Callable[[str], None]) -> None:
    if firmware.installed:
        line(f"{device_id}: {firmware.detail} now")
    elif firmware.manifest is not None:
        line(f"{device_id}: firmware: nothing to do [{firmware.reason}]: {firmware.detail}")


def _print(facts: Facts, done: Updated) -> None:
    if done.staged is not None:
        emit_line(f"{facts.device_id}: hand over {done.staged}, and answer with muster device report --answer")
    elif not done.installed or done.manifest is None:
        emit_line(f"{facts.device_id}: nothing to do [{done.reason}]: {done.detail}")
    else:
        artefact = done.manifest.artifact
        emit_line(f"{facts.device_id}: runs {artefact.name} version {artefact.version} now")
        emit_line(f"  artefact   {done.running_sha256}")
        emit_line(f"  release    {done.manifest.rollout_id}, {done.manifest.firmware_variant}")
        if done.tested is not None:
            emit_line(f"  self-test  {done.tested.vectors} vectors passed, {done.tested.latency_us:,} us a window")
