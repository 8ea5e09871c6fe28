"""Whoever changes the history of a release is found out, and the event is named."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.workspace import Workspace
from components.workspace.errors import VerificationFailed
from registry import rollout
from registry.database import events, open_database, releases, writing
from registry.rollout.events import Event, append, following, read
from registry.rollout.states import Kind

TEXT = ("time", "actor", "kind", "payload", "prev_hash", "hash")


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_is_found_and_its_event_named(released: Workspace, data: st.DataObject) -> None:
    engine = open_database(released.database_url)
    revision = data.draw(st.integers(1, 6))
    column = data.draw(st.sampled_from(TEXT))
    one = (events.c.release_id == "north-r1", events.c.revision == revision)
    with engine.connect() as connection:
        before = connection.scalar(sa.select(events.c[column]).where(*one))
        raw = before.encode()
        bit = data.draw(st.integers(0, 8 * len(raw) - 1))
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << (bit % 8)
        transaction = connection.begin_nested()
        try:
            text = flipped.decode(errors="surrogateescape")
            text.encode()
        except UnicodeError:  # no text at all: the database would not take it
            return
        connection.execute(sa.update(events).where(*one).values({column: text}))
        with pytest.raises(VerificationFailed, match=f"'north-r1' was tampered with: event ({revision}|{revision + 1}) "):
            read(connection, "north-r1")
        transaction.rollback()


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_a_log_that_lost_its_end_is_found(released: Workspace, kept: int) -> None:
    with writing(open_database(released.database_url)) as connection:
        connection.execute(sa.delete(events).where(events.c.revision > kept))
    with pytest.raises(VerificationFailed, match=f"it ends after event {kept}, which was not the last one"):
        rollout.list_releases(released)


def test_a_chain_written_anew_does_not_fit_what_devices_were_told(released: Workspace) -> None:
    """Someone with the whole database in hand makes a perfect chain in which another person approved."""
    log = rollout.history(released, "north-r1")
    forged: list[Event] = []
    for event in log:
        actor = "mallory" if event.actor == "ben" else event.actor
        forged.append(following(forged[-1] if forged else None, "north-r1", event.time, actor, event.kind, event.payload))
    with writing(open_database(released.database_url)) as connection:
        connection.execute(sa.delete(events))
        append(connection, forged)
    assert rollout.history(released, "north-r1")[-1].actor == "mallory"
    with pytest.raises(VerificationFailed, match=r"rollout\.json is not there"):
        rollout.verify(released)


def test_a_payload_that_means_the_same_but_reads_otherwise_is_a_change(released: Workspace) -> None:
    one = (events.c.release_id == "north-r1", events.c.revision == 3)
    with writing(open_database(released.database_url)) as connection:
        payload = connection.scalar(sa.select(events.c.payload).where(*one))
        connection.execute(sa.update(events).where(*one).values(payload=json.dumps(json.loads(payload), indent=1)))
    with pytest.raises(VerificationFailed, match="event 3 "):
        rollout.history(released, "north-r1")


def test_the_head_moves_with_every_event(released: Workspace) -> None:
    rollout.hold(released, "north-r1", rollout.Order("ana", "wait"))
    last = rollout.history(released, "north-r1")[-1]
    with open_database(released.database_url).connect() as connection:
        assert connection.scalar(sa.select(releases.c.head)) == last.hash
    assert last.kind == Kind.HELD
