"""The registry learns from reports which firmware devices have, and an inventory that nobody keeps up does not undo it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.workspace import Workspace
from registry import rollout
from registry.database import open_database, reading, writing
from registry.health.enrolment import enroll
from registry.health.intake import Intake, take
from registry.health.tables import health, presence, report_keys, reported_firmware
from registry.inventory import import_devices, show_device, words
from tests.registry.cli import Run
from tests.registry.reporting import NOW, cohort, counted, installed, public, signed, wide_canary
from tests.registry.workspaces import release


def say(workspace: Workspace, *deliveries: bytes, now: int = NOW) -> tuple[str, ...]:
    return take(open_database(workspace.database_url), deliveries, now).answers


def firmware(workspace: Workspace, device: str) -> str:
    return show_device(workspace, device).firmware_version


def import_saying(workspace: Workspace, device: str, version: str) -> None:
    """An inventory whose row of the device has this version."""
    file = workspace.root / "inventory.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()]
    file.write_text("\n".join(",".join([*v[:3], version, *v[4:]] if v[0] == device else v) for v in lines) + "\n")
    import_devices(workspace)


def test_what_a_device_says_is_the_firmware_of_the_inventory(fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    assert say(fleet, installed(fleet, device, 5, firmware_version="2.2.0")) == ("accepted",)
    assert firmware(fleet, device) == "2.2.0"
    word = words(fleet, [device])[device]
    assert (word.firmware_version, word.imported, word.at) == ("2.2.0", "2.1.0", NOW)


def test_what_is_said_of_an_earlier_time_changes_nothing(fleet: Workspace) -> None:
    """Reports are delivered in any order; the newest by its counter is what the device has now."""
    device = cohort(fleet)[0]
    say(fleet, installed(fleet, device, 5, firmware_version="2.2.0"))
    assert say(fleet, installed(fleet, device, 4, firmware_version="2.0.5")) == ("accepted",)
    assert firmware(fleet, device) == "2.2.0"
    say(fleet, installed(fleet, device, 6))
    say(fleet, installed(fleet, device, 5, firmware_version="2.0.5"))
    assert firmware(fleet, device) == "2.2.0", "a report that says nothing of it, and a conflict"


def test_an_old_report_does_not_speak_against_an_inventory_that_newer_ones_bear_out(fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    say(fleet, installed(fleet, device, 9, firmware_version="2.1.0"), installed(fleet, device, 8, firmware_version="2.0.5"))
    assert (firmware(fleet, device), words(fleet, [device])) == ("2.1.0", {})
    say(fleet, installed(fleet, device, 7, firmware_version="2.0.5"))
    assert firmware(fleet, device) == "2.1.0"


def test_a_new_key_counts_from_one_and_is_heard(fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    say(fleet, installed(fleet, device, 900, firmware_version="2.2.0"))
    enroll(fleet, device, public(device, 2), "ana", replace=True)
    assert say(fleet, installed(fleet, device, 1, generation=2, firmware_version="2.3.0")) == ("accepted",)
    assert firmware(fleet, device) == "2.3.0"


def test_the_same_version_in_another_writing_is_no_change(fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    say(fleet, installed(fleet, device, firmware_version="v2.1"))
    assert (firmware(fleet, device), words(fleet, [device])) == ("2.1.0", {})


def test_nobody_speaks_for_another_device(fleet: Workspace) -> None:
    mine, other = cohort(fleet)[:2]
    assert say(fleet, installed(fleet, mine, by=other, firmware_version="2.2.0")) == ("bad_signature",)
    assert firmware(fleet, mine) == "2.1.0"


def test_a_device_changes_its_variant_and_no_count_loses_it(fleet: Workspace) -> None:
    """It leaves the one and joins the other; what it said under the old firmware is still taken, however late it comes."""
    device = next(i for i in cohort(fleet) if i in inside(fleet, "gateway-v3"))
    before = {v.offer.variant: v.evidence.enrolled for v in rollout.views(fleet, rollout.show_release(fleet, "north-r1"))}
    late = signed(device, 1, outcome="started", reason=None, firmware_version="2.1.0")
    new = installed(fleet, device, 3, firmware_variant="gateway-v3", firmware_version="3.0.1", attempt=2)
    assert say(fleet, new) == ("accepted",)
    assert say(fleet, late) == ("accepted",)
    found = {v.offer.variant: v.evidence for v in rollout.views(fleet, rollout.show_release(fleet, "north-r1"))}
    assert found["gateway-v3"].enrolled == before["gateway-v3"] + 1
    assert found["gateway-v2"].enrolled == before["gateway-v2"] - 1
    assert (found["gateway-v3"].ok, found["gateway-v2"].ok) == (1, 0)
    assert [row["variant"] for row in counted(fleet)] == ["gateway-v3"]


def inside(workspace: Workspace, variant: str) -> list[str]:
    """Devices whose bucket is below the cut of another variant than their own."""
    from registry.contract.cohort import bucket

    upto = rollout.show_release(workspace, "north-r1").offer(variant).stages[0].upto
    return [i for i in cohort(workspace) if bucket("north-r1", i) < upto]


def test_without_a_word_on_firmware_the_inventory_decides_as_before(fleet: Workspace) -> None:
    device = inside(fleet, "gateway-v3")[0]
    assert say(fleet, installed(fleet, device, firmware_variant="gateway-v3")) == ("wrong_variant",)
    wrong = installed(fleet, device, firmware_variant="gateway-v3", firmware_version="4.0")
    assert say(fleet, wrong) == ("wrong_variant",)
    assert firmware(fleet, device) == "2.1.0", "what does not count says nothing"


def test_an_import_that_says_nothing_new_leaves_the_devices_word(fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    say(fleet, installed(fleet, device, firmware_version="2.2.0"))
    again = import_devices(fleet)
    assert (again.changed, again.added, again.removed) == (0, 0, 0)
    assert firmware(fleet, device) == "2.2.0"
    import_saying(fleet, device, "2.1.5")
    assert (firmware(fleet, device), words(fleet, [device])) == ("2.1.5", {}), "somebody looked"
    say(fleet, installed(fleet, device, 2, firmware_version="2.2.0"))
    assert words(fleet, [device])[device].imported == "2.1.5"


def test_a_device_that_leaves_the_inventory_takes_its_word_with_it(fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    say(fleet, installed(fleet, device, firmware_version="2.2.0"))
    file = fleet.root / "inventory.csv"
    text = file.read_text()
    file.write_text("\n".join(line for line in text.splitlines() if not line.startswith(f"{device},")) + "\n")
    assert import_devices(fleet).removed == 1
    file.write_text(text)
    import_devices(fleet)
    assert (firmware(fleet, device), words(fleet, [device])) == ("2.1.0", {})


def test_the_draft_after_it_is_for_the_firmware_that_devices_have(fleet: Workspace) -> None:
    """Late joiners of a variant obey the cut that the next release draws with them."""
    movers = cohort(fleet)[:3]
    before = rollout.show_release(fleet, "north-r1")
    say(fleet, *(installed(fleet, i, firmware_version="3.1.0") for i in movers))
    assert {firmware(fleet, i) for i in movers} == {"2.1.0"}, "version 3.1 is none of variant v2"
    say(fleet, *(signed(i, 2, outcome="running", reason=None, running_sha256="0" * 64, self_test_passed=True,
                        firmware_variant="gateway-v3", firmware_version="3.1.0") for i in movers))  # fmt: skip
    assert {firmware(fleet, i) for i in movers} == {"3.1.0"}
    after = release(fleet, 2, "b")
    for variant, change in (("gateway-v2", -3), ("gateway-v3", 3)):
        assert after.offer(variant).devices == before.offer(variant).devices + change


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(st.sampled_from([None, "2.1.0", "2.2.0", "2.3.0"]), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
    cut=st.integers(1, 4),
)
def test_in_any_order_and_any_batches_the_newest_word_counts(
    fleet: Workspace, said: list[str | None], order: random.Random, cut: int
) -> None:
    """Unless the newest report says nothing of it: then what was known before it may stand."""
    device, engine = cohort(fleet)[0], open_database(fleet.database_url)
    with writing(engine) as connection:
        for table in (health, presence, report_keys, reported_firmware):
            connection.execute(sa.delete(table))
        connection.execute(sa.text("UPDATE devices SET firmware_version = '2.1.0' WHERE device_id = :d"), {"d": device})
    said = [*said, said[-1] or "2.2.0"]
    deliveries = [installed(fleet, device, n, firmware_version=v) for n, v in enumerate(said)] * 2
    order.shuffle(deliveries)
    intake = Intake(engine)
    for start in range(0, len(deliveries), cut):
        intake.take(deliveries[start : start + cut], NOW)
    assert firmware(fleet, device) == said[-1]
    with reading(engine) as connection:
        rows = connection.execute(sa.select(reported_firmware)).all()
    assert all((row.firmware_version, row.imported) == (said[-1], "2.1.0") for row in rows)


@pytest.mark.slow
def test_on_postgresql_the_newest_word_counts_and_an_import_heeds_it(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", postgresql)
    fleet = wide_canary(tmp_path / "w")
    device, other = cohort(fleet)[:2]
    say(fleet, installed(fleet, device, 5, firmware_version="2.2.0"), installed(fleet, other, 1, firmware_version="2.3.0"))
    say(fleet, installed(fleet, device, 4, firmware_version="2.0.5"))
    assert (firmware(fleet, device), firmware(fleet, other)) == ("2.2.0", "2.3.0")
    assert import_devices(fleet).changed == 0
    import_saying(fleet, device, "2.1.5")
    assert (firmware(fleet, device), set(words(fleet, [device, other]))) == ("2.1.5", {other})


def test_fleet_show_says_who_said_it(fleet: Workspace, muster: Run) -> None:
    device = cohort(fleet)[0]
    say(fleet, installed(fleet, device, firmware_version="2.2.0"))
    shown = json.loads(muster("fleet", "show", "north", fleet.root, "--json")[1])["data"]["shown"]
    found = {d["device_id"]: (d["firmware_version"], d["reported_firmware"]) for d in shown}
    assert found.pop(device) == ("2.2.0", {"firmware_version": "2.2.0", "imported": "2.1.0", "at": NOW})
    assert {word for _, word in found.values()} == {None}
    assert "2.2.0 (reported 2026-11-18T" in muster("fleet", "show", "north", fleet.root)[1].replace("\n", " ")
