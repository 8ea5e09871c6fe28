"""Every report counts once, however often and in whatever order it comes, and only when it is the device's own."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.workspace import Workspace
from registry import rollout
from registry.contract.cohort import bucket
from registry.contract.report import FAILURES, OUTCOMES, RUNS
from registry.contract.signed_report import sign
from registry.database import open_database, reading, writing
from registry.health import merging
from registry.health.counts import health_rows, last_seen
from registry.health.enrolment import enroll, revoke
from registry.health.intake import BATCH, Intake, Taken, take
from registry.health.judging import Refusal
from registry.health.tables import enrolments, health, presence, rejections, report_keys
from tests.registry.reporting import (
    NOW,
    artefact_of,
    cohort,
    counted,
    enroll_all,
    installed,
    key_of,
    public,
    refusals,
    report,
    signed,
    wide_canary,
)
from tests.registry.workspaces import release

Say = Callable[..., Taken]
KEPT = (health, report_keys, presence, rejections)


@pytest.fixture
def say(fleet: Workspace) -> Say:
    intake = Intake(open_database(fleet.database_url))

    def said(*deliveries: bytes, now: int = NOW) -> Taken:
        return intake.take(deliveries, now)

    return said


def test_a_report_is_counted_with_what_decides_on_a_release(fleet: Workspace, say: Say) -> None:
    device = cohort(fleet)[0]
    assert say(installed(fleet, device, latency_us=1200, errors=2)).answers == ("accepted",)
    (row,) = counted(fleet)
    assert (row["outcome"], row["bucket"], row["reports"]) == ("installed", bucket("north-r1", device), 1)
    assert (row["first_at"], row["settled_at"], row["installed_at"], row["failed_at"]) == (NOW, NOW, NOW, None)
    with reading(open_database(fleet.database_url)) as connection:
        rows = health_rows(connection, "north-r1")
        assert last_seen(connection, "north") == last_seen(connection, [device, "gw-999"]) == {device: NOW}
        assert last_seen(connection, "south") == last_seen(connection, []) == {}
        assert len(health_rows(connection, "north-r9")) == 0
    assert (list(rows.device_id), list(rows.variant), list(rows.outcome)) == ([device], ["gateway-v2"], ["installed"])
    assert (rows.latency_us.tolist(), rows.errors.tolist(), rows.drift_milli.tolist()) == ([1200], [2], [-1])
    assert rows.bucket.dtype == rows.first_at.dtype == np.int64


def test_a_delivery_that_comes_again_changes_nothing(fleet: Workspace, say: Say) -> None:
    device = cohort(fleet)[0]
    once = signed(device)
    assert say(once, once).answers == ("accepted", "duplicate")
    before = counted(fleet)
    assert say(once, now=NOW + 60).answers == ("duplicate",)
    assert counted(fleet) == before
    with reading(open_database(fleet.database_url)) as connection:
        assert last_seen(connection, [device]) == {device: NOW}, "whoever replays a report keeps no dead device alive"


def test_an_older_report_that_comes_late_is_counted_and_says_nothing_new(fleet: Workspace, say: Say) -> None:
    device = cohort(fleet)[0]
    say(installed(fleet, device, 5), now=NOW)
    say(signed(device, 4, outcome="started", reason=None), now=NOW + 10)
    (row,) = counted(fleet)
    assert (row["outcome"], row["counter"], row["reports"]) == ("installed", 5, 2)
    assert (row["first_at"], row["settled_at"], row["started_at"]) == (NOW, NOW, NOW + 10)


def test_settled_is_when_the_outcome_that_counts_was_first_heard(fleet: Workspace, say: Say) -> None:
    device = cohort(fleet)[0]
    say(signed(device, 1, outcome="started", reason=None), now=NOW)
    say(installed(fleet, device, 2), now=NOW + 60)
    for hours in (1, 2, 3):
        say(installed(fleet, device, 2 + hours, outcome="running"), now=NOW + hours * 3600)
    (row,) = counted(fleet)
    assert (row["outcome"], row["first_at"], row["settled_at"], row["reports"]) == ("running", NOW, NOW + 3600, 5)
    say(signed(device, 9, attempt=2), now=NOW + 20_000)
    say(signed(device, 10), now=NOW + 30_000)
    (row,) = counted(fleet)
    assert (row["outcome"], row["attempt"], row["counter"], row["settled_at"]) == ("failed", 2, 9, NOW + 20_000)


def test_another_content_under_the_same_key_is_a_conflict_and_is_not_counted(fleet: Workspace, say: Say) -> None:
    device = cohort(fleet)[0]
    assert say(installed(fleet, device)).accepted == 1
    before = counted(fleet)
    assert say(signed(device), signed(device, errors=1)).rejected == {"conflict": 2}
    assert counted(fleet) == before
    assert refusals(fleet) == {("north", "north-r1", "conflict"): 2}


def test_who_runs_something_else_did_not_install_it(fleet: Workspace, say: Say) -> None:
    """A device that fell back to its old slot says "installed" in good faith, and names the old digest."""
    device, other = cohort(fleet)[:2]
    say(installed(fleet, device, running_sha256="ab" * 32), installed(fleet, other, outcome="running", running_sha256="ab" * 32))
    assert {(r["device_id"], r["outcome"], r["reason"], r["running_sha256"]) for r in counted(fleet)} == {
        (device, "reverted", "wrong_digest", "ab" * 32),
        (other, "running", None, "ab" * 32),
    }


def test_no_statement_of_health_stands_over_how_an_attempt_ended(fleet: Workspace, say: Say) -> None:
    """A client that goes on to say how its old model does has still failed, until a new attempt goes well."""
    device = cohort(fleet)[0]
    say(signed(device, 1), installed(fleet, device, 2, outcome="running", running_sha256="ab" * 32))
    assert [(r["outcome"], r["reason"]) for r in counted(fleet)] == [("failed", "self_test_failed")]
    say(installed(fleet, device, 3, attempt=2))
    assert [r["outcome"] for r in counted(fleet)] == ["installed"]


def test_devices_that_wait_may_state_their_health_and_nothing_else(fleet: Workspace, say: Say) -> None:
    waiting = cohort(fleet, inside=False)[0]
    assert say(installed(fleet, waiting, outcome="running", running_sha256="ab" * 32)).accepted == 1
    assert say(installed(fleet, waiting)).rejected == {"not_in_cohort": 1}


def test_what_does_not_count_is_refused_with_the_reason(fleet: Workspace, say: Say) -> None:
    inside, outside = cohort(fleet), cohort(fleet, inside=False)
    newer = cohort(fleet, "gateway-v3")[0]
    revoke(fleet, inside[1], "stolen", "ana")
    enroll(fleet, inside[2], public(inside[2], 2), "ana", replace=True)
    broken = json.loads(signed(inside[0]))
    broken["signatures"] = json.loads(signed(inside[0], 2))["signatures"]
    cases = {
        b"{}": Refusal.MALFORMED,
        b"\xff" * 9000: Refusal.MALFORMED,
        signed("gw-999"): Refusal.UNKNOWN_DEVICE,
        signed(inside[1]): Refusal.REVOKED,
        signed(inside[2]): Refusal.REPLACED_KEY,
        signed(inside[0], by=inside[3]): Refusal.BAD_SIGNATURE,
        json.dumps(broken).encode(): Refusal.BAD_SIGNATURE,
        signed(inside[0], rollout_id="north-r9"): Refusal.UNKNOWN_ROLLOUT,
        signed(newer): Refusal.WRONG_VARIANT,
        signed(inside[0], firmware_variant="node-v2"): Refusal.WRONG_VARIANT,
        signed(inside[0], firmware_variant="no-such"): Refusal.WRONG_VARIANT,
        signed(outside[0]): Refusal.NOT_IN_COHORT,
    }
    assert say(*cases).answers == tuple(cases.values())
    assert counted(fleet) == []
    assert refusals(fleet) == {
        ("", "", "malformed"): 2,
        ("", "", "unknown_device"): 1,
        ("north", "north-r1", "revoked"): 1,
        ("north", "north-r1", "replaced_key"): 1,
        ("north", "north-r1", "bad_signature"): 2,
        ("north", "", "unknown_rollout"): 1,
        ("north", "north-r1", "wrong_variant"): 3,
        ("north", "north-r1", "not_in_cohort"): 1,
    }


def test_a_draft_takes_no_reports(stocked: Workspace, drafted: Workspace) -> None:
    enroll_all(stocked, "gw-010")
    assert take(open_database(stocked.database_url), [signed("gw-010")], NOW).rejected == {"unknown_rollout": 1}


def test_a_device_that_never_enrolled_is_not_heard(released: Workspace) -> None:
    assert take(open_database(released.database_url), [signed("gw-010")], NOW).rejected == {"not_enrolled": 1}


def test_a_gateway_speaks_for_those_that_hang_on_it_and_for_nobody_else(fleet: Workspace, say: Say) -> None:
    node = cohort(fleet, "node-v2")[0]
    other = cohort(fleet)[-1]
    assert say(signed(node, by="gw-000", firmware_variant="node-v2")).answers == ("accepted",)
    assert say(signed(node, 2, by="gw-001", firmware_variant="node-v2")).answers == ("bad_signature",)
    assert say(signed(other, by="gw-000")).answers == ("bad_signature",)
    with reading(open_database(fleet.database_url)) as connection:
        assert connection.scalar(sa.select(presence.c.via).where(presence.c.device_id == node)) == "gw-000"
    revoke(fleet, "gw-000", "stolen", "ana")
    assert say(signed(node, 3, by="gw-000", firmware_variant="node-v2")).answers == ("revoked",)


def test_who_is_revoked_is_not_heard_through_its_gateway_either(fleet: Workspace, say: Say) -> None:
    node = cohort(fleet, "node-v2")[0]
    enroll_all(fleet, node)
    assert say(signed(node, firmware_variant="node-v2")).answers == ("accepted",)
    revoke(fleet, node, "stolen", "ana")
    assert say(signed(node, 2, by="gw-000", firmware_variant="node-v2")).answers == ("revoked",)


def test_with_a_new_key_the_count_starts_anew(fleet: Workspace, say: Say) -> None:
    """The device was reset: its counter is low again, and what it says now still counts."""
    device = cohort(fleet)[0]
    say(signed(device, 900, attempt=3))
    enroll(fleet, device, public(device, 2), "ana", replace=True)
    assert say(installed(fleet, device, 1, generation=2)).accepted == 1
    assert say(signed(device, 901, attempt=3)).rejected == {"replaced_key": 1}
    (row,) = counted(fleet)
    assert (row["outcome"], row["generation"], row["counter"], row["reports"]) == ("installed", 2, 1, 2)
    with reading(open_database(fleet.database_url)) as connection:
        assert connection.scalar(sa.select(presence.c.counter)) == 1


def test_without_signatures_anyone_is_who_they_say_but_not_who_is_revoked(fleet: Workspace) -> None:
    first, second = cohort(fleet)[:2]
    revoke(fleet, second, "stolen", "ana")
    deliveries = [signed(first, by="gw-999"), signed(second)]
    taken = take(open_database(fleet.database_url), deliveries, NOW, require_signatures=False)
    assert taken.answers == ("accepted", "revoked")


def test_a_stage_that_opens_lets_its_devices_be_heard(fleet: Workspace, say: Say) -> None:
    """The cut is that of the log now, not of the first time it was read."""
    late = max(cohort(fleet, inside=False), key=lambda d: -bucket("north-r1", d))
    assert say(signed(late)).rejected == {"not_in_cohort": 1}
    for _ in range(2):
        rollout.promote(fleet, "north-r1", rollout.Order("ana", "looks right"))
    assert say(signed(late)).answers == ("accepted",)


def test_a_rollback_is_over_when_nobody_says_any_more_that_the_release_runs(fleet: Workspace, say: Say) -> None:
    """Who has not heard of it yet says in good faith that the new version was installed: that is no fall-back."""
    second = release(fleet, 2, "b")
    device = min((d for d in cohort(fleet) + cohort(fleet, inside=False)), key=lambda d: bucket(second.id, d))
    new, old = artefact_of(fleet, release=second.id), artefact_of(fleet)
    rollout.rollback(fleet, second.id, rollout.Order("ana", "too many alarms"))
    told = {"rollout_id": second.id, "outcome": "installed", "reason": None, "self_test_passed": True}
    assert say(signed(device, 1, running_sha256=new, **told)).answers == ("accepted",)
    assert {v for step in rollout.tick(fleet) for v in step.variants} == {"gateway-v3", "node-v2"}
    assert say(signed(device, 2, running_sha256=old, **told)).answers == ("accepted",)
    assert [(s.event, s.variants) for s in rollout.tick(fleet)] == [("rolled_back", ("gateway-v2",))]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, int, int, str]]:
    """(device, attempt, counter, outcome) of reports whose keys differ."""
    one = st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 6), st.sampled_from(OUTCOMES))
    return draw(st.lists(one, max_size=12, unique_by=lambda r: r[:3]))


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_any_number_of_deliveries_count_the_same(
    fleet: Workspace, said: list[tuple[int, int, int, str]], chance: random.Random, cuts: int
) -> None:
    """Against a model that reads all reports at once."""
    engine, devices, digest = open_database(fleet.database_url), cohort(fleet), artefact_of(fleet)
    with writing(engine) as connection:
        for table in KEPT:
            connection.execute(sa.delete(table))
    reports = [_report(devices[d], attempt, counter, outcome, digest) for d, attempt, counter, outcome in said]
    deliveries = [one for one in reports for _ in range(chance.randint(1, 5))]
    chance.shuffle(deliveries)
    intake, arrived = Intake(engine), {}
    answers: Counter[str] = Counter()
    for part in range(cuts):
        chunk = deliveries[part::cuts]
        answers += Counter(intake.take(chunk, NOW + part).answers)
        for one in chunk:
            arrived.setdefault(one, NOW + part)
    assert answers == Counter(accepted=len(reports), duplicate=len(deliveries) - len(reports))
    times = dict(zip(said, (arrived.get(one, 0) for one in reports), strict=True))
    found = {r["device_id"]: r for r in counted(fleet)}
    assert len(found) == len({d for d, *_ in said})
    for index in {d for d, *_ in said}:
        mine = [r for r in said if r[0] == index]
        last = max(mine, key=lambda r: (r[1], r[3] in ("failed", "reverted"), r[2]))
        row = found[devices[index]]
        assert (row["attempt"], row["counter"], row["outcome"], row["reports"]) == (*last[1:], len(mine))
        assert row["first_at"] == min(times[r] for r in mine)
        assert row["settled_at"] == min(times[r] for r in mine if r[3] == last[3])


def _report(device: str, attempt: int, counter: int, outcome: str, digest: str) -> bytes:
    reason = "too_slow" if outcome in FAILURES else None
    runs = digest if outcome in RUNS else None
    return signed(device, counter, attempt=attempt, outcome=outcome, reason=reason, running_sha256=runs)


def _soak(workspace: Workspace, reports: int) -> None:
    """Many reports, each delivered one to five times, shuffled, some of them conflicts."""
    chance, devices = random.Random(7), cohort(workspace)
    said = [sign(report(devices[i % len(devices)], i), key_of(devices[i % len(devices)])) for i in range(reports)]
    deliveries = [one for one in said for _ in range(chance.randint(1, 5))]
    chance.shuffle(deliveries)
    taken = take(open_database(workspace.database_url), deliveries, NOW, require_signatures=False)
    assert (taken.accepted, taken.duplicates) == (reports, len(deliveries) - reports)
    assert taken.rejected == {}
    rows = counted(workspace)
    assert sum(r["reports"] for r in rows) == reports
    assert {r["device_id"]: r["counter"] for r in rows} == {
        devices[i % len(devices)]: i for i in range(reports - len(devices), reports)
    }
    assert take(open_database(workspace.database_url), deliveries[:BATCH], NOW).duplicates == BATCH


@pytest.mark.slow
def test_twenty_thousand_reports_are_counted_exactly(fleet: Workspace) -> None:
    _soak(fleet, 20_000)


@pytest.fixture
def on_postgresql(postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("MUSTER_DATABASE_URL", postgresql)
    yield wide_canary(tmp_path / "w")


@pytest.mark.slow
def test_postgresql_counts_the_same(on_postgresql: Workspace) -> None:
    fleet = on_postgresql
    device = cohort(fleet)[0]
    engine = open_database(fleet.database_url)
    assert take(engine, [signed(device, 3), b"{}", signed("gw-999")], NOW).accepted == 1
    assert take(engine, [installed(fleet, device, 2), signed(device, 3), b"{}"], NOW + 9).answers == (
        "accepted",
        "duplicate",
        "malformed",
    )
    (row,) = counted(fleet)
    assert (row["outcome"], row["counter"], row["reports"], row["first_at"], row["installed_at"]) == (
        "failed",
        3,
        2,
        NOW,
        NOW + 9,
    )
    assert refusals(fleet)["", "", "malformed"] == 2
    with writing(engine) as connection:
        for table in KEPT:
            connection.execute(sa.delete(table))
    _soak(fleet, 20_000)


def test_the_keys_of_a_report_are_those_of_the_table() -> None:
    assert tuple(c.name for c in report_keys.primary_key) == merging.KEY
    assert [c.name for c in enrolments.primary_key] == ["device_id", "revision"]
