"""A device takes firmware and its model in one update, and says that firmware runs only when it does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from components.workspace import Workspace
from components.workspace.errors import InputError
from components.workspace.files import sha256_bytes
from registry import rollout
from registry.contract.cohort import bucket
from registry.contract.reasons import Reason
from registry.contract.report import Report
from registry.contract.signed_report import open_signed
from registry.contract.times import utc_now
from registry.database import open_database
from registry.device import Facts, Refused, Reporter, Updated, firmware, read_facts, update
from registry.device.floors import Floors, read_floors
from registry.device.health import Metrics, state_health
from registry.device.outbox import Outbox
from registry.device.slots import Slots
from registry.device.tries import read_try
from registry.health.enrolment import enroll
from registry.health.intake import take
from registry.inventory import show_device
from registry.rollout.manifests import manifest_of
from tests.registry.cli import Run
from tests.registry.faults import killed_at
from tests.registry.reporting import key_of, public
from tests.registry.test_firmware import IMAGE, aged, envelope_of, offered
from tests.registry.test_update import on_disk
from tests.registry.workspaces import facts, gateway_artefact, image_root, release, repository_of

INSTALLER = """
import json, pathlib, sys, time
verb, image, version, sha256 = sys.argv[2:6]
place = pathlib.Path(sys.argv[1])
with (place / "calls").open("a") as calls:
    calls.write(f"{verb} {version} {sha256} {pathlib.Path(image).name}\\n")
plan = json.loads((place / "plan.json").read_text())
time.sleep(plan.get("seconds", 0))
if plan.get("works", True) and verb == "install":
    known = json.loads((place / "device.json").read_text())
    known |= {"firmware_version": version, "firmware_variant": f"gateway-v{version[0]}"} | plan.get("facts", {})
    (place / "device.json").write_text(json.dumps(known))
sys.exit(plan.get(verb, 0))
"""
"""In place of a flashing tool: what it does stands in plan.json, and it leaves the device.json of the new firmware."""


class Gateway:
    """A canary of the first firmware and the first model, with firmware 1.4, and a program that installs."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace, self.folder, self.state, self.place = workspace, folder, folder / "state", str(repository_of(workspace))
        self.installer = folder / "installer.py"
        self.installer.write_text(INSTALLER)
        self.plan()
        ids = [f"gw-{i:03}" for i in range(20)]
        offer = rollout.show_release(workspace, "north-r1").manifests[0]
        late = offer.deferred
        first = min((i for i in ids if i not in late), key=lambda i: max(bucket(f"north-r{n}", i) for n in (1, 2, 3)))
        known = facts(workspace, first, "gateway-v1", offer)
        call = (sys.executable, str(self.installer), str(folder))
        self.write(known.model_copy(update={"install_firmware": call, "install_seconds": 20}))
        self.key = key_of(first)
        self.later = timedelta()

    def plan(self, **what: Any) -> None:
        (self.folder / "plan.json").write_text(json.dumps(what))

    def write(self, known: Facts) -> None:
        (self.folder / "device.json").write_text(known.model_dump_json())

    @property
    def facts(self) -> Facts:
        return read_facts(self.folder / "device.json")

    def change(self, **changes: Any) -> None:
        self.write(Facts.model_validate(self.facts.model_dump() | changes))

    def update(self) -> Updated:
        now = utc_now() + self.later
        again = lambda: self.facts  # noqa: E731 - as the command line does
        return update(self.place, image_root(self.workspace), self.facts, self.state, self.key, again=again, now=now)

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return [line.split()[0] for line in file.read_text().splitlines()] if file.is_file() else []

    def reports(self) -> list[Report]:
        return [open_signed(w.envelope).report for w in Outbox(self.state, self.key).waiting()]

    def said(self, rollout_id: str = "north-r1") -> list[tuple[str, str | None]]:
        return [(r.outcome, r.reason.value if r.reason else None) for r in self.reports() if r.rollout_id == rollout_id]

    def refused(self) -> Reason | None:
        error = self.update().firmware_error
        return error.reason if error else None


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("firmware")
    workspace = aged(folder / "w", old=10)
    image = folder / "gateway.img"
    image.write_bytes(IMAGE)
    started = offered(workspace, image)
    everyone(workspace, started)
    return workspace.root


def everyone(workspace: Workspace, started: rollout.Release) -> None:
    """Two persons let the first canaries pass: all devices are in the stage."""
    for _ in range(2):
        rollout.promote(workspace, started.id, rollout.Order("ana", "fine"))


@pytest.fixture
def gateway(_template: Path, tmp_path: Path) -> Gateway:
    from components.workspace import open_workspace

    shutil.copytree(_template, tmp_path / "w")
    return Gateway(open_workspace(tmp_path / "w"), tmp_path)


DIGEST = sha256_bytes(IMAGE)


def with_model(gateway: Gateway) -> None:
    everyone(gateway.workspace, release(gateway.workspace))


def test_firmware_and_then_the_model_of_that_firmware(gateway: Gateway) -> None:
    """In one update: the model is that of the variant which the new firmware brought."""
    with_model(gateway)
    done = gateway.update()
    assert done.firmware is not None
    assert (done.firmware.installed, done.firmware.running_sha256) == (True, DIGEST)
    assert (done.installed, done.running_sha256) == (True, gateway_artefact().sha256)
    assert gateway.said() == [("started", None), ("installed", None)]
    assert gateway.said("north-r2") == [("started", None), ("installed", None)]
    assert [r.firmware_version for r in gateway.reports()] == ["1.4.0", "2.2.0", "2.2.0", "2.2.0"]
    assert [r.running_sha256 for r in gateway.reports() if r.rollout_id == "north-r1"] == [None, DIGEST]
    assert (gateway.state / "firmware/a").read_bytes() == IMAGE
    assert gateway.calls() == ["install"]
    before = gateway.reports()
    assert gateway.update().reason == Reason.ALREADY_INSTALLED
    assert (gateway.reports(), gateway.calls()) == (before, ["install"])


def test_counters_of_firmware_and_of_models_are_floors_of_their_own(gateway: Gateway) -> None:
    """Release 2 of the model says nothing against release 1 of the firmware, nor the other way round."""
    gateway.change(firmware_version="2.1.0", firmware_variant="gateway-v2", install_firmware=())
    with_model(gateway)
    assert gateway.refused() == Reason.WRONG_KIND
    assert read_floors(gateway.state).release_counter == {"north": 2}
    gateway.change(install_firmware=(sys.executable, str(gateway.installer), str(gateway.folder)))
    assert gateway.refused() is None
    floors = read_floors(gateway.state)
    assert (floors.release_counter, floors.firmware_counter) == ({"north": 2}, {"north": 1})


def test_floors_of_a_client_that_knew_no_firmware_are_those_of_models(tmp_path: Path) -> None:
    (tmp_path / "floors.json").write_text('{"sequence": {}, "signers": {}, "release_counter": {"north": 7}}')
    floors = read_floors(tmp_path)
    assert (floors.counter("north", "model"), floors.counter("north", "firmware")) == (7, 0)
    floors.save(tmp_path)
    assert "firmware_counter" not in (tmp_path / "floors.json").read_text()
    assert Floors().after_proof("north", "firmware", 5).counter("north", "model") == 0


def test_without_an_installer_firmware_is_refused_and_the_model_goes_on(gateway: Gateway) -> None:
    with_model(gateway)
    gateway.change(firmware_version="2.1.0", firmware_variant="gateway-v2", install_firmware=())
    done = gateway.update()
    assert done.installed
    assert done.firmware_error is not None
    assert done.firmware_error.reason == Reason.WRONG_KIND
    assert "install_firmware" in done.firmware_error.hint
    assert gateway.said() == [("rejected", "wrong_kind")]


def test_an_installer_that_fails_is_called_again_and_then_given_up(gateway: Gateway) -> None:
    gateway.plan(works=False, install=1)
    done = gateway.update()
    assert done.firmware_error is not None
    assert done.firmware_error.reason == Reason.INSTALL_FAILED
    assert "what install_firmware in device.json names" in done.firmware_error.hint
    waits = gateway.update().firmware
    assert waits is not None
    assert waits.reason == Reason.BACKING_OFF
    for _ in range(2):
        gateway.later += timedelta(hours=1)
        assert gateway.refused() == Reason.INSTALL_FAILED
    gateway.later += timedelta(hours=1)
    waits = gateway.update().firmware
    assert waits is not None
    assert waits.reason == Reason.GIVEN_UP
    assert gateway.said() == [("started", None), ("failed", "install_failed")] * 3
    assert read_floors(gateway.state).firmware_counter is None


def test_an_installer_that_says_it_is_done_is_not_believed(gateway: Gateway) -> None:
    gateway.plan(works=False)
    assert gateway.refused() == Reason.INSTALL_FAILED
    assert gateway.said()[-1] == ("failed", "install_failed")
    assert gateway.update().firmware is not None
    assert Slots(gateway.state, "firmware").pointer() is None


def test_an_installer_that_hangs_is_ended(gateway: Gateway) -> None:
    gateway.change(install_seconds=1)
    gateway.plan(seconds=60)
    begin = time.monotonic()
    assert gateway.refused() == Reason.INSTALL_FAILED
    assert time.monotonic() - begin < 20


def test_what_a_failed_installer_leaves_behind_is_waited_for(gateway: Gateway) -> None:
    """Its status ends the try; the next one begins when nothing of it runs any more."""
    pipe, gate = gateway.folder / "left", gateway.folder / "left.sh"
    os.mkfifo(pipe)
    gate.write_text(f"(read line < {pipe}) >/dev/null 2>&1 &\nexit 1\n")
    known = gateway.facts.install_firmware
    gateway.change(install_firmware=("/bin/sh", str(gate)))
    assert gateway.refused() == Reason.INSTALL_FAILED
    failed = [("started", None), ("failed", "install_failed")]
    assert gateway.said() == failed
    gateway.later += timedelta(hours=1)
    gateway.change(install_firmware=known)
    waits = gateway.update().firmware
    assert waits is not None
    assert (waits.installed, waits.reason) == (False, Reason.HANDED_OVER)
    assert "is being installed" in waits.detail
    assert (gateway.said(), gateway.calls()) == (failed, [])
    pipe.write_text("go\n")
    while firmware.installer.at_work(gateway.state / "firmware"):
        time.sleep(0.01)
    done = gateway.update().firmware
    assert done is not None
    assert done.installed
    assert gateway.said() == [*failed, ("started", None), ("installed", None)]


@pytest.mark.parametrize("program", [("/no/such/program",), (__file__,)], ids=["absent", "no program"])
def test_an_installer_that_does_not_start_is_a_failure(gateway: Gateway, program: tuple[str, ...]) -> None:
    gateway.change(install_firmware=program)
    assert gateway.refused() == Reason.INSTALL_FAILED


def test_a_new_firmware_that_calls_itself_another_device_is_an_error(gateway: Gateway) -> None:
    """And the try stays open until device.json says which device this is."""
    gateway.plan(facts={"device_id": "gw-999"})
    mine = gateway.facts.device_id
    with pytest.raises(InputError, match="says device_id gw-999"):
        gateway.update()
    gateway.change(device_id=mine)
    gateway.update()
    assert gateway.said() == [("started", None), ("installed", None)]


def test_a_new_firmware_whose_facts_cannot_be_read_stays_in_flight(gateway: Gateway) -> None:
    """The error says so, and once device.json is mended the try ends as an install."""
    known = gateway.facts
    broken = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('{')"
    gateway.change(install_firmware=(sys.executable, "-c", broken, str(gateway.folder / "device.json")))
    with pytest.raises(InputError, match=r"new firmware's device\.json cannot be read: .*Invalid JSON") as caught:
        gateway.update()
    assert "in flight" in caught.value.hint
    gateway.write(known.model_copy(update={"firmware_version": "2.2.0", "firmware_variant": "gateway-v2"}))
    gateway.update()
    assert gateway.said() == [("started", None), ("installed", None)]


def test_a_program_with_a_slash_lies_beside_device_json(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the client is called; one without a slash is the system's."""
    program = gateway.folder / "flash"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{gateway.installer}" "{gateway.folder}" "$@"\n')
    program.chmod(0o700)
    (gateway.folder / "elsewhere").mkdir()
    monkeypatch.chdir(gateway.folder / "elsewhere")
    (gateway.folder / "device.json").write_text(
        gateway.facts.model_copy(update={"install_firmware": ("./flash",)}).model_dump_json()
    )
    assert gateway.facts.install_firmware == (str(program),)
    assert gateway.refused() is None
    assert gateway.calls() == ["install"]
    gateway.change(install_firmware=("flash", "./at"))
    assert gateway.facts.install_firmware == ("flash", "./at")


# Reboots


def rebooting(gateway: Gateway) -> None:
    """The installer writes the other partition; the facts change with the boot."""
    gateway.plan(works=False, install=102)


def boot(monkeypatch: pytest.MonkeyPatch, number: int = 2) -> None:
    monkeypatch.setattr(firmware, "boot_id", lambda: f"boot-{number}")


def test_installed_is_said_after_the_reboot_and_no_model_before_it(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the old firmware must not lie under the new one."""
    gateway.change(firmware_version="2.1.0", firmware_variant="gateway-v2")
    with_model(gateway)
    rebooting(gateway)
    for _ in range(2):
        done = gateway.update()
        assert (done.installed, done.reason) == (False, Reason.HANDED_OVER)
        assert "waits for the reboot" in done.detail
    assert gateway.said() == [("started", None)]
    assert gateway.said("north-r2") == []
    boot(monkeypatch)
    gateway.change(firmware_version="2.2.0")
    done = gateway.update()
    assert done.firmware is not None
    assert (done.firmware.installed, done.installed) == (True, True)
    assert gateway.calls() == ["install", "confirm"]
    assert gateway.said() == [("started", None), ("installed", None)]


def test_facts_that_change_before_the_reboot_prove_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.plan(install=102)
    for _ in range(2):
        waits = gateway.update().firmware
        assert waits is not None
        assert waits.reason == Reason.HANDED_OVER
    assert (gateway.calls(), gateway.said()) == (["install"], [("started", None)])
    boot(monkeypatch)
    gateway.update()
    assert (gateway.calls(), gateway.said()) == (["install", "confirm"], [("started", None), ("installed", None)])


def test_what_does_not_boot_is_left_for_good(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bootloader went back: the facts are the old ones."""
    rebooting(gateway)
    gateway.update()
    boot(monkeypatch)
    waits = gateway.update().firmware
    assert waits is not None
    assert waits.reason == Reason.GIVEN_UP
    last = gateway.reports()[-1]
    assert (last.outcome, last.reason, last.firmware_version) == ("reverted", Reason.FELL_BACK, "1.4.0")
    assert read_floors(gateway.state).firmware_counter is None


def test_what_is_not_confirmed_is_not_installed_yet(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again until it says yes, or until the bootloader goes back."""
    rebooting(gateway)
    gateway.update()
    boot(monkeypatch)
    gateway.change(firmware_version="2.2.0", firmware_variant="gateway-v2")
    gateway.plan(confirm=1)
    done = gateway.update()
    assert done.firmware_error is not None
    assert done.firmware_error.message == "[install_failed] the installer does not confirm what runs: status 1"
    assert (done.reason, done.detail) == (Reason.HANDED_OVER, "no model is changed: the firmware before it is not confirmed")
    assert gateway.said() == [("started", None)]
    boot(monkeypatch, 3)
    gateway.change(firmware_version="1.4.0", firmware_variant="gateway-v1")
    gateway.update()
    assert gateway.said() == [("started", None), ("reverted", "fell_back")]


# Which firmware


def test_firmware_is_taken_back_by_who_runs_it(gateway: Gateway) -> None:
    gateway.update()
    image = gateway.folder / "next.img"
    image.write_bytes(IMAGE + b"2")
    everyone(gateway.workspace, offered(gateway.workspace, image, "2.3.0"))
    gateway.update()
    assert gateway.facts.firmware_version == "2.3.0"
    rollout.rollback(gateway.workspace, "north-r2", rollout.Order("ana", "it does not boot"))
    done = gateway.update().firmware
    assert done is not None
    assert (done.installed, done.running_sha256, gateway.facts.firmware_version) == (True, DIGEST, "2.2.0")
    assert gateway.said("north-r2")[-1] == ("reverted", "withdrawn")
    waits = gateway.update().firmware
    assert waits is not None
    assert waits.reason == Reason.ALREADY_INSTALLED


def test_who_has_it_in_another_way_says_so_once_and_goes_back_with_the_others(gateway: Gateway) -> None:
    gateway.change(firmware_version="2.2", firmware_variant="gateway-v2")
    for _ in range(2):
        waits = gateway.update().firmware
        assert waits is not None
        assert waits.reason == Reason.ALREADY_INSTALLED
    assert gateway.said() == [("already_installed", None)]
    assert gateway.reports()[-1].running_sha256 == DIGEST
    assert gateway.calls() == []


def test_who_has_newer_firmware_is_not_meant(gateway: Gateway) -> None:
    """No failure, and no report that a registry would have to refuse."""
    gateway.change(firmware_version="3.0", firmware_variant="gateway-v3")
    done = gateway.update()
    assert done.firmware is not None
    assert (done.firmware.reason, done.firmware_error) == (Reason.WRONG_FIRMWARE, None)
    assert gateway.reports() == []


def test_after_another_firmware_no_model_of_the_old_one_is_gone_back_to(gateway: Gateway) -> None:
    """The slot that decays is not left for one that was made for another variant."""
    everyone(gateway.workspace, release(gateway.workspace))
    gateway.change(firmware_version="2.1.0", firmware_variant="gateway-v2", install_firmware=())
    gateway.update()
    everyone(gateway.workspace, release(gateway.workspace, 2, "b"))
    gateway.update()
    gateway.change(firmware_version="3.0.0", firmware_variant="gateway-v3")
    (gateway.state / "slots/b").write_bytes(b"decayed")
    gateway.update()
    assert Slots(gateway.state).running() is None


def test_a_failure_under_the_old_firmware_does_not_stand_over_what_is_said_under_the_new(gateway: Gateway) -> None:
    """A release has one row a device: what is said of another variant is a further attempt."""
    everyone(gateway.workspace, release(gateway.workspace))
    gateway.change(firmware_version="2.1.0", firmware_variant="gateway-v2", install_firmware=(), latency_budget_us=1)
    with pytest.raises(Refused, match="latency_exceeded"):
        gateway.update()
    offer = rollout.show_release(gateway.workspace, "north-r2").offer("gateway-v2")
    manifest = manifest_of(rollout.show_release(gateway.workspace, "north-r2"), offer)
    Reporter(gateway.facts, gateway.state, gateway.key).say_once("rejected", manifest, Reason.WRONG_HARDWARE)
    other = manifest.model_copy(update={"firmware_variant": "gateway-v3"})
    Reporter(gateway.facts, gateway.state, gateway.key).say_once("rejected", other, Reason.WRONG_FIRMWARE)
    assert [r.attempt for r in gateway.reports() if r.rollout_id == "north-r2"][-3:] == [1, 1, 2]


def test_a_signed_image_is_checked_before_it_is_handed_over(tmp_path: Path) -> None:
    """Against the persons whom the repository's metadata name, though two of them released it."""
    workspace = aged(tmp_path / "w", old=20)
    image = tmp_path / "gateway.img"
    image.write_bytes(envelope_of(workspace))
    everyone(workspace, offered(workspace, image))
    gateway = Gateway(workspace, tmp_path)
    done = gateway.update().firmware
    assert done is not None
    assert done.installed
    bad = envelope_of(workspace, profile="node")
    for signed, reason in ((bad, Reason.WRONG_HARDWARE), (envelope_of(workspace, persons=("ana", "ana")), Reason.BAD_SIGNATURE)):
        other = Gateway(workspace, tmp_path)
        other.change(firmware_version="1.4.0", firmware_variant="gateway-v1")
        shutil.rmtree(other.state, ignore_errors=True)
        (tmp_path / "calls").unlink(missing_ok=True)
        assert _offered_unchecked(other, signed) == reason
        assert other.calls() == []


def _offered_unchecked(gateway: Gateway, image: bytes) -> Reason | None:
    """What the device says of an image that got past the draft."""
    from unittest.mock import patch

    file = gateway.folder / f"{sha256_bytes(image)[:8]}.img"
    file.write_bytes(image)
    with patch.object(rollout.firmware, "_read", lambda *_: (image, "opaque")):  # type: ignore[attr-defined]
        everyone(gateway.workspace, offered(gateway.workspace, file, "2.3.0"))
    return gateway.refused()


def test_how_it_is_doing_is_said_of_firmware_and_model(gateway: Gateway) -> None:
    """A firmware that makes errors is seen in its own release."""
    with_model(gateway)
    gateway.update()
    state_health(gateway.facts, gateway.state, gateway.key, Metrics(errors=3))
    model, image = gateway.reports()[-2:]
    assert (model.rollout_id, model.running_sha256, model.errors) == ("north-r2", gateway_artefact().sha256, 3)
    assert (image.rollout_id, image.running_sha256, image.errors) == ("north-r1", DIGEST, 3)
    assert {r.outcome for r in (model, image)} == {"running"}


def test_the_registry_counts_both_and_knows_the_new_firmware(gateway: Gateway) -> None:
    """The loop is closed: what the device installed and said is what the fleet has."""
    with_model(gateway)
    mine = gateway.facts.device_id
    enroll(gateway.workspace, mine, public(mine), "ana")
    gateway.update()
    envelopes = [w.envelope for w in Outbox(gateway.state, gateway.key).waiting()]
    taken = take(open_database(gateway.workspace.database_url), envelopes)
    assert taken.answers == ("accepted",) * 4
    assert show_device(gateway.workspace, mine).firmware_version == "2.2.0"
    for number, variant in ((1, "gateway-firmware"), (2, "gateway-v2")):
        views = rollout.views(gateway.workspace, rollout.show_release(gateway.workspace, f"north-r{number}"))
        assert next(v for v in views if v.offer.variant == variant).evidence.ok == 1


# The command line, and power cuts


def test_the_command_line_says_both(gateway: Gateway, muster: Run) -> None:
    with_model(gateway)
    who = on_disk(_AsDevice(gateway), gateway.folder)
    ask = ("device", "update", gateway.place, *who, "--root", gateway.folder / "root.json", "--state", gateway.state)
    code, output, _ = muster(*ask)
    mine = gateway.facts.device_id
    assert (code, output.splitlines()[:2]) == (0, [f"{mine}: firmware 2.2.0 runs now", f"{mine}: runs pumps version 1 now"])
    value = json.loads(muster(*ask, "--json")[1])["data"]
    assert (value["firmware"]["reason"], value["firmware"]["running_sha256"]) == ("already_installed", DIGEST)
    image = gateway.folder / "next.img"
    image.write_bytes(IMAGE + b"2")
    everyone(gateway.workspace, offered(gateway.workspace, image, "2.3.0"))
    gateway.plan(works=False, install=9)
    code, output, error = muster(*ask)
    assert (code, "nothing to do [already_installed]" in output) == (8, True)
    assert "[install_failed] the installer ended with status 9" in error
    other = Gateway(gateway.workspace, gateway.folder)
    other.plan(works=False, install=9)
    code, output, error = muster(*ask[:-1], gateway.folder / "other", "--json")
    value = json.loads(output)["data"]["firmware"]
    assert (code, value["installed"], value["reason"]) == (8, False, "install_failed")
    assert value["detail"] == "[install_failed] the installer ended with status 9"


def test_a_model_that_is_refused_does_not_hide_the_firmware_that_runs(gateway: Gateway, muster: Run) -> None:
    with_model(gateway)
    gateway.change(latency_budget_us=1)
    who = on_disk(_AsDevice(gateway), gateway.folder)
    ask = ("device", "update", gateway.place, *who, "--root", gateway.folder / "root.json", "--state", gateway.state)
    code, output, error = muster(*ask)
    assert (code, output.strip()) == (8, f"{gateway.facts.device_id}: firmware 2.2.0 runs now")
    assert "[latency_exceeded]" in error


class _AsDevice:
    def __init__(self, gateway: Gateway) -> None:
        self.facts, self.workspace, self.key = gateway.facts, gateway.workspace, gateway.key


@pytest.mark.slow
@pytest.mark.parametrize("reboots", [False, True])
def test_killed_before_any_write_the_device_ends_with_firmware_and_model(
    gateway: Gateway, reboots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says "installed" of the firmware only under the version that it brought."""
    with_model(gateway)
    if reboots:
        gateway.change(firmware_version="2.1.0", firmware_variant="gateway-v2")
        rebooting(gateway)
    known = gateway.facts
    for number in range(1, 300):
        shutil.rmtree(gateway.state, ignore_errors=True)
        gateway.write(known)
        gateway.later = timedelta()
        boot(monkeypatch, 1)
        if not killed_at(number, gateway.state, gateway.update, also="subprocess.Popen"):
            break
        for _ in range(3):
            gateway.update()
            gateway.later += timedelta(hours=1)
            last = read_try(gateway.state / "firmware")
            if reboots and last is not None and last.reboot and not last.ended:
                boot(monkeypatch, 2)
                gateway.change(firmware_version="2.2.0")
        assert gateway.facts.firmware_version == "2.2.0"
        pointer = Slots(gateway.state, "firmware").pointer()
        assert pointer is not None
        assert pointer.runs.sha256 == DIGEST
        assert Slots(gateway.state).running() == gateway_artefact().sha256
        reports = gateway.reports()
        assert [r.counter for r in reports] == sorted({r.counter for r in reports})
        done = [r for r in reports if r.rollout_id == "north-r1" and r.outcome in ("installed", "already_installed")]
        assert done
        assert all((r.firmware_version, r.running_sha256) == ("2.2.0", DIGEST) for r in done)
    assert number > (15 if reboots else 40)


@pytest.mark.slow
def test_an_installer_that_outlives_its_client_is_waited_for(gateway: Gateway) -> None:
    """Nothing else touches the device meanwhile, and the try is no failure."""
    with_model(gateway)
    gateway.plan(seconds=3)
    child = os.fork()
    if child == 0:
        gateway.update()
        os._exit(0)
    while not gateway.calls():
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = gateway.update()
    assert (done.installed, done.reason) == (False, Reason.HANDED_OVER)
    assert "is being installed" in done.detail
    while gateway.facts.firmware_version != "2.2.0" or firmware.installer.at_work(gateway.state / "firmware"):
        time.sleep(0.05)
    assert gateway.update().installed
    assert gateway.said() == [("started", None), ("installed", None)]
