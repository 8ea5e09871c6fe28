"""A device installs what it is offered or keeps what it ran, and says which; whatever happens in between."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from components.workspace import Workspace
from components.workspace.errors import Conflict
from components.workspace.files import sha256_bytes
from registry import rollout
from registry.contract.cohort import bucket
from registry.contract.manifest import Manifest
from registry.contract.reasons import AGAIN, PASSING, Reason
from registry.contract.report import Report
from registry.contract.signed_report import open_signed
from registry.contract.times import utc_now
from registry.database import open_database
from registry.device import Facts, Refused, Unreachable, Updated, answered, update, updating
from registry.device.floors import read_floors
from registry.device.outbox import Outbox
from registry.device.slots import Installed, Slots
from registry.device.tries import begin, read_try, reason_to_pause
from registry.health.intake import Intake
from tests.registry.cli import Run
from tests.registry.faults import killed_at
from tests.registry.reporting import cohort, counted, key_of
from tests.registry.workspaces import (
    facts,
    gateway_artefact,
    image_root,
    node_artefact,
    proof,
    release,
    repository_of,
    version,
)


class Device:
    """A canary of the first two releases, with its key and its storage."""

    def __init__(self, workspace: Workspace, folder: Path, variant: str = "gateway-v2") -> None:
        self.workspace, self.state, self.place = workspace, folder / "device", str(repository_of(workspace))
        ids = cohort(workspace, variant)
        first = min(ids, key=lambda i: max(bucket("north-r1", i), bucket("north-r2", i)))
        self.facts = facts(workspace, first, variant, rollout.show_release(workspace, "north-r1").offer(variant))
        self.key = key_of(self.facts.via or self.facts.device_id)
        self.later = timedelta()

    def update(self, **changes: Any) -> Updated:
        known = Facts.model_validate(self.facts.model_dump() | changes)
        return update(self.place, image_root(self.workspace), known, self.state, self.key, now=utc_now() + self.later)

    def fails(self, reason: Reason, **changes: Any) -> None:
        with pytest.raises((Refused, Unreachable)) as caught:
            self.update(**changes)
        assert caught.value.reason == reason  # type: ignore[union-attr]

    @property
    def running(self) -> str | None:
        return Slots(self.state).running()

    def reports(self) -> list[Report]:
        """All that waits, in the order in which it was made."""
        return [open_signed(w.envelope).report for w in Outbox(self.state, self.key).waiting()]

    def said(self) -> list[tuple[str, str | None]]:
        return [(r.outcome, r.reason.value if r.reason else None) for r in self.reports()]


@pytest.fixture
def device(fleet: Workspace, tmp_path: Path) -> Device:
    return Device(fleet, tmp_path)


A, B = gateway_artefact("a").sha256, gateway_artefact("b").sha256


def spoil(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def without_artefacts(workspace: Workspace, aside: Path) -> None:
    shutil.move(repository_of(workspace) / "targets/artifacts", aside)


def test_a_canary_installs_and_reports_the_digest_of_what_runs(device: Device) -> None:
    done = device.update()
    assert (done.installed, done.running_sha256, device.running) == (True, A, A)
    started, installed = device.reports()
    assert (started.outcome, started.running_sha256, started.attempt) == ("started", None, 1)
    assert (installed.outcome, installed.running_sha256, installed.self_test_passed) == ("installed", A, True)
    assert (installed.counter, installed.boot_id) == (started.counter + 1, started.boot_id)
    assert installed.latency_us is not None


def test_doing_it_again_changes_and_says_nothing(device: Device) -> None:
    device.update()
    before = device.said(), read_try(device.state)
    assert device.update().reason == Reason.ALREADY_INSTALLED
    assert (device.said(), read_try(device.state)) == before


def test_each_release_goes_to_the_slot_that_does_not_run(device: Device, tmp_path: Path) -> None:
    device.update()
    release(device.workspace, 2, "b")
    assert device.update().installed
    pointer = Slots(device.state).pointer()
    assert pointer is not None
    assert (pointer.slot, pointer.runs.sha256, device.running) == ("b", B, B)
    assert [r.counter for r in device.reports()] == [1, 2, 3, 4]


def test_what_is_taken_back_is_left_and_that_is_no_success(device: Device) -> None:
    """Nobody counts a device that went back as one that runs the release."""
    device.update()
    release(device.workspace, 2, "b")
    device.update()
    rollout.rollback(device.workspace, "north-r2", rollout.Order("ana", "worse"))
    done = device.update()
    assert (done.installed, done.running_sha256) == (True, A)
    last = device.reports()[-1]
    assert (last.outcome, last.reason, last.running_sha256) == ("reverted", Reason.WITHDRAWN, A)
    assert (last.rollout_id, last.attempt) == ("north-r2", 2)
    assert device.update().reason == Reason.ALREADY_INSTALLED


def bad_release(workspace: Workspace) -> None:
    """Approved by everyone, and yet it does not compute on a device what its proof says."""
    good = gateway_artefact("b")
    bad = replace(good, self_test=replace(good.self_test, surprise=good.self_test.surprise + 100)).sealed()
    everything = [bad, node_artefact("b")]
    (drafted,) = rollout.draft(workspace, version(2), everything, [proof(a) for a in everything], "pipeline")
    for person in ("ana", "ben"):
        rollout.approve(workspace, drafted.id, person, "looked fine")


def test_an_artefact_that_fails_its_self_test_never_runs_and_is_not_tried_again(device: Device) -> None:
    device.update()
    bad_release(device.workspace)
    device.fails(Reason.SELF_TEST_FAILED)
    assert device.running == A
    assert device.said()[-2:] == [("started", None), ("failed", "self_test_failed")]
    device.later = timedelta(days=1) / 2
    assert device.update().reason == Reason.GIVEN_UP
    assert len(device.said()) == 4


def test_a_model_that_is_too_slow_for_the_device_is_not_installed(device: Device) -> None:
    device.fails(Reason.LATENCY_EXCEEDED, latency_budget_us=1)
    assert device.said()[-1] == ("failed", "latency_exceeded")
    assert device.running is None


def test_a_failure_that_may_pass_is_tried_again_later_and_not_for_ever(device: Device, tmp_path: Path) -> None:
    without_artefacts(device.workspace, tmp_path / "aside")
    for attempt, pause in ((1, 60), (2, 120), (3, 240)):
        device.fails(Reason.MISSING)
        assert device.reports()[-1].attempt == attempt
        device.later += timedelta(seconds=pause - 5)
        if attempt < 3:
            assert device.update().reason == Reason.BACKING_OFF
            device.later += timedelta(seconds=10)
    shutil.move(tmp_path / "aside", repository_of(device.workspace) / "targets/artifacts")
    device.later += timedelta(hours=3)
    assert device.update().reason == Reason.GIVEN_UP
    assert device.said() == [("failed", "missing")] * 3


def test_after_a_failure_that_passed_the_device_installs(device: Device, tmp_path: Path) -> None:
    without_artefacts(device.workspace, tmp_path / "aside")
    device.fails(Reason.MISSING)
    shutil.move(tmp_path / "aside", repository_of(device.workspace) / "targets/artifacts")
    device.later = timedelta(minutes=2)
    assert device.update().installed
    assert [r.attempt for r in device.reports()] == [1, 2, 2]


@pytest.mark.parametrize("reason", list(Reason))
def test_who_failed_for_a_reason_that_stays_gives_up(device: Device, reason: Reason) -> None:
    """And what passes for the registry passes for the device: neither waits for the other."""
    device.update()
    manifest = Manifest.from_bytes((device.state / "targets/rollout.json").read_bytes())
    failed = begin(manifest, None).failed(reason, utc_now())
    wait = reason_to_pause(manifest, failed, utc_now())
    assert wait is not None
    assert wait[0] == (Reason.BACKING_OFF if reason in AGAIN else Reason.GIVEN_UP)
    assert AGAIN > PASSING


def test_a_slot_that_changes_after_its_test_is_never_switched_to(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time between the check of a file and its use is where an attacker waits."""
    device.update()
    release(device.workspace, 2, "b")
    original = updating.self_test

    def tested_then_changed(*arguments: Any) -> Any:
        tested = original(*arguments)
        spoil(Slots(device.state).inactive)
        return tested

    monkeypatch.setattr(updating, "self_test", tested_then_changed)
    device.fails(Reason.WRONG_DIGEST)
    assert device.running == A
    assert device.said()[-1] == ("failed", "wrong_digest")


def test_a_slot_that_decays_is_left_for_the_other_one(device: Device) -> None:
    """And the report says what runs, not what should."""
    device.update()
    release(device.workspace, 2, "b")
    device.update()
    spoil(device.state / "slots/b")
    device.later = timedelta(seconds=30)
    assert device.update().reason == Reason.BACKING_OFF
    last = device.reports()[-1]
    assert (last.outcome, last.reason, last.running_sha256, device.running) == ("reverted", Reason.WRONG_DIGEST, A, A)
    device.later = timedelta(minutes=3)
    assert device.update().running_sha256 == B


def test_with_both_slots_damaged_the_image_is_what_runs(device: Device) -> None:
    device.update()
    release(device.workspace, 2, "b")
    device.update()
    spoil(device.state / "slots/a")
    spoil(device.state / "slots/b")
    device.facts = device.facts.model_copy(update={"running_sha256": "0" * 64})
    device.update()
    assert device.reports()[-1].running_sha256 == "0" * 64


def test_what_is_refused_is_said_once(device: Device) -> None:
    for _ in range(3):
        device.fails(Reason.WRONG_FIRMWARE, firmware_version="5.0")
    assert device.said() == [("rejected", "wrong_firmware")]
    assert device.update().installed, "the firmware was mended: a rejection is no try"


def test_a_device_that_runs_it_already_says_so_once(device: Device) -> None:
    for _ in range(2):
        assert device.update(running_sha256=A).reason == Reason.ALREADY_INSTALLED
    assert device.said() == [("already_installed", None)]


def test_a_device_outside_of_the_stage_says_nothing(device: Device) -> None:
    outside = cohort(device.workspace, inside=False)[0]
    assert device.update(device_id=outside).reason == Reason.NOT_IN_COHORT
    assert device.update(device_id=outside, running_sha256=A).reason == Reason.ALREADY_INSTALLED
    device.fails(Reason.WRONG_FIRMWARE, device_id=outside, firmware_version="5.0")
    assert device.said() == []


def test_the_registry_counts_what_the_device_says(device: Device) -> None:
    device.update()
    intake = Intake(open_database(device.workspace.database_url))
    taken = intake.take([w.envelope for w in Outbox(device.state, device.key).waiting()])
    assert taken.answers == ("accepted", "accepted")
    (row,) = counted(device.workspace)
    assert (row["outcome"], row["running_sha256"], row["attempt"]) == ("installed", A, 1)


# A microcontroller and its gateway.


def test_a_gateway_hands_over_and_relays_the_answer_under_its_own_key(fleet: Workspace, tmp_path: Path) -> None:
    device = Device(fleet, tmp_path, "node-v2")
    done = device.update()
    assert (done.installed, done.reason) == (False, Reason.HANDED_OVER)
    assert done.staged is not None
    assert done.staged.read_bytes() == node_artefact().to_bytes()
    assert device.update().reason == Reason.HANDED_OVER
    assert answered(device.facts, device.state, device.key, "installed", None, latency_us=900).installed
    assert device.said() == [("started", None), ("installed", None)]
    assert device.update().reason == Reason.ALREADY_INSTALLED
    assert read_floors(device.state).release_counter == {"north": 1}
    intake = Intake(open_database(fleet.database_url))
    assert intake.take([w.envelope for w in Outbox(device.state, device.key).waiting()]).answers == ("accepted", "accepted")
    assert counted(fleet)[0]["device_id"] == device.facts.device_id


def test_a_microcontroller_that_refuses_keeps_what_it_runs(fleet: Workspace, tmp_path: Path) -> None:
    device = Device(fleet, tmp_path, "node-v2")
    with pytest.raises(Conflict, match="nothing was handed over"):
        answered(device.facts, device.state, device.key, "failed", Reason.SELF_TEST_FAILED)
    device.update()
    answered(device.facts, device.state, device.key, "failed", Reason.SELF_TEST_FAILED)
    assert (device.said()[-1], device.running) == (("failed", "self_test_failed"), None)
    assert device.update().reason == Reason.GIVEN_UP


def test_a_pointer_that_is_damaged_is_written_anew(device: Device) -> None:
    device.update()
    (device.state / "slots/active.json").write_text("{")
    assert device.running is None
    assert device.update().running_sha256 == A


class SlotsUnderFire(RuleBasedStateMachine):
    """Downloads whole and cut off, switches, decay and repairs, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.slots = Slots(Path(self.folder.name))
        self.good: set[str] = set()

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(content=st.sampled_from([b"first", b"second", b"third"]), whole=st.booleans())
    def fetch(self, content: bytes, whole: bool) -> None:
        running = self.slots.running()
        self.slots.inactive.write_bytes(content if whole else content[:-1])
        assert self.slots.running() == running, "a download never touches what runs"

    @rule(content=st.sampled_from([b"first", b"second", b"third"]))
    def switch(self, content: bytes) -> None:
        new = Installed(sha256=sha256_bytes(content), rollout_id="r-1", firmware_variant="v", sequence_number=1, attempt=1)
        lies_there = self.slots.inactive.is_file() and self.slots.inactive.read_bytes() == content
        running = self.slots.running()
        try:
            self.slots.switch(new)
        except Refused:
            assert not lies_there
            assert self.slots.running() == running
        else:
            assert lies_there
            self.good.add(new.sha256)
            assert self.slots.running() == new.sha256

    @rule(content=st.sampled_from([b"first", b"second", b"third"]))
    def install(self, content: bytes) -> None:
        self.fetch(content, whole=True)
        self.switch(content)

    @rule(inactive=st.booleans())
    def decay(self, inactive: bool) -> None:
        file = self.slots.inactive if inactive else self.slots.active
        if file is not None and file.is_file():
            file.write_bytes(file.read_bytes() + b"!")

    @rule()
    def start_again(self) -> None:
        self.slots = Slots(Path(self.folder.name))
        pointer, lost = self.slots.pointer(), self.slots.repair()
        assert lost == (pointer.runs if pointer and lost else None)
        running, now = self.slots.running(), self.slots.pointer()
        assert running == (now.runs.sha256 if now else None)
        assert running is None or running in self.good


TestSlotsUnderFire = pytest.mark.slow(SlotsUnderFire.TestCase)
TestSlotsUnderFire.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


# The command line.


def test_a_device_without_a_workspace_updates_by_its_facts(device: Device, muster: Run, tmp_path: Path) -> None:
    """As on a real device: facts, the root of the image, a key, an address."""
    who = on_disk(device, tmp_path)
    ask = ("device", "update", device.place, *who, "--root", tmp_path / "root.json")
    code, output, _ = muster(*ask)
    assert (code, output.splitlines()[0]) == (0, f"{device.facts.device_id}: runs pumps version 1 now")
    assert A in output
    code, output, _ = muster(*ask)
    assert (code, "nothing to do [already_installed]" in output) == (0, True)
    assert json.loads((tmp_path / "device-state/slots/active.json").read_bytes())["runs"]["sha256"] == A
    (tmp_path / "device.json").write_text(device.facts.model_copy(update={"firmware_version": "9.0"}).model_dump_json())
    code, _, error = muster(*ask)
    assert (code, "[wrong_firmware]" in error) == (8, True)


def test_a_microcontrollers_answer_is_given_on_the_command_line(fleet: Workspace, muster: Run, tmp_path: Path) -> None:
    device = Device(fleet, tmp_path, "node-v2")
    who = on_disk(device, tmp_path)
    code, output, _ = muster("device", "update", device.place, *who, "--root", tmp_path / "root.json")
    assert (code, "hand over" in output) == (0, True)
    code, output, _ = muster("device", "report", *who, "--answer", "failed", "--reason", "self_test_failed")
    assert (code, "2 waiting" in output) == (0, True)
    assert muster("device", "report", *who, "--answer", "installed")[0] == 5


@pytest.mark.parametrize(
    "options", [(), ("--device", "gw-000", "--facts", "device.json"), ("--facts", "device.json")], ids=["none", "two", "no root"]
)
def test_an_update_of_no_device_or_of_two_is_a_short_error(options: tuple[str, ...], muster: Run, tmp_path: Path) -> None:
    code, _, error = muster("device", "update", tmp_path, "--key", "device.pem", *options)
    assert (code, "which device?" in error) == (2, True)


def on_disk(device: Device, folder: Path) -> tuple[object, ...]:
    """The options that name a device by its files."""
    (folder / "device.json").write_text(device.facts.model_dump_json())
    (folder / "root.json").write_bytes(image_root(device.workspace))
    (folder / "device.pem").write_bytes(device.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return "--facts", folder / "device.json", "--key", folder / "device.pem"


# Power cuts.


class PowerCut(BaseException):
    """Nothing after it is done."""


def test_who_was_cut_off_in_a_try_says_so_and_tries_again(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes the whole device down looks like a power cut: that is why even these tries are counted."""
    original = updating.self_test

    def crash(*_arguments: Any) -> Any:
        raise PowerCut

    for attempt in (1, 2, 3):
        monkeypatch.setattr(updating, "self_test", crash)
        with pytest.raises(PowerCut):
            device.update()
        assert device.update().reason == (Reason.BACKING_OFF if attempt < 3 else Reason.GIVEN_UP)
        assert device.said()[-1] == ("failed", "interrupted")
        device.later += timedelta(hours=1)
    monkeypatch.setattr(updating, "self_test", original)
    assert device.update().reason == Reason.GIVEN_UP


@pytest.mark.slow
def test_killed_before_any_write_the_device_runs_one_whole_artefact_and_goes_on(device: Device, tmp_path: Path) -> None:
    """Old or new, nothing between; and afterwards the registry knows what runs, under rising counters."""
    device.update()
    release(device.workspace, 2, "b")
    shutil.copytree(device.state, tmp_path / "before")
    after: set[str | None] = set()
    for number in range(1, 200):
        shutil.rmtree(device.state)
        shutil.copytree(tmp_path / "before", device.state, symlinks=True)
        device.later = timedelta()
        if not killed_at(number, device.state, device.update):
            break
        after.add(device.running)
        pointer = Slots(device.state).pointer()
        assert pointer is not None
        assert device.running == pointer.runs.sha256
        device.update()
        device.later = timedelta(minutes=2)
        device.update()
        assert device.running == B
        reports = device.reports()
        assert [r.counter for r in reports] == sorted({r.counter for r in reports})
        assert (reports[-1].outcome, reports[-1].running_sha256) == ("installed", B)
        assert all(r.running_sha256 == B for r in reports if r.outcome == "installed" and r.rollout_id == "north-r2")
    assert number > 25
    assert after == {A, B}


def test_the_files_of_a_device_can_be_read_by_other_programs(device: Device) -> None:
    """What runs is found without this client: the pointer names the slot."""
    device.update()
    pointer = json.loads((device.state / "slots/active.json").read_bytes())
    assert (device.state / "slots" / pointer["slot"]).read_bytes() == gateway_artefact().to_bytes()


def test_two_updates_of_one_device_exclude_each_other(device: Device) -> None:
    from filelock import FileLock

    device.state.mkdir()
    with FileLock(device.state / ".lock"), pytest.raises(Conflict):
        device.update()
