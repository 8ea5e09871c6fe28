"""States of a release and the edges between them: the whole table, so that a new command is a new event, not a new state.

::

    DRAFT -> WAITING_FOR_APPROVAL -> READY -> RUNNING(stage i) -> COMPLETED
                  |-> APPROVAL_DENIED          |^   |^
                                               v|   v|
                                            PAUSED  HELD (inconclusive)
    RUNNING | PAUSED | HELD -> HALTED -> ROLLING_BACK -> ROLLED_BACK
                                     |-> RUNNING (a second approval) | ABORTED
    every state that is not terminal -> SUPERSEDED | CANCELLED | EXPIRED
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    DRAFT = "draft"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    APPROVAL_DENIED = "approval_denied"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    HELD = "held"
    HALTED = "halted"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Kind(StrEnum):
    """What happened. Events that only add to the record lead back to the state they came from."""

    DRAFTED = "drafted"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    DENIED = "denied"
    RELEASED = "released"
    STARTED = "started"
    PROMOTED = "promoted"
    PAUSED = "paused"
    RESUMED = "resumed"
    HELD = "held"
    HALTED = "halted"
    ROLLBACK_STARTED = "rollback_started"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    COMPLETED = "completed"
    DISPLACED = "displaced"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL = frozenset(
    {
        State.APPROVAL_DENIED,
        State.COMPLETED,
        State.ROLLED_BACK,
        State.ABORTED,
        State.SUPERSEDED,
        State.CANCELLED,
        State.EXPIRED,
    }
)
OFFERED = frozenset(
    {State.RUNNING, State.PAUSED, State.HELD, State.HALTED, State.ROLLING_BACK, State.COMPLETED, State.ROLLED_BACK}
)
"""States whose manifest may stand in the repository."""

_EDGES = {
    (State.DRAFT, Kind.SUBMITTED): State.WAITING_FOR_APPROVAL,
    (State.WAITING_FOR_APPROVAL, Kind.APPROVED): State.WAITING_FOR_APPROVAL,
    (State.WAITING_FOR_APPROVAL, Kind.DENIED): State.APPROVAL_DENIED,
    (State.WAITING_FOR_APPROVAL, Kind.RELEASED): State.READY,
    (State.READY, Kind.STARTED): State.RUNNING,
    (State.RUNNING, Kind.PROMOTED): State.RUNNING,
    (State.RUNNING, Kind.PAUSED): State.PAUSED,
    (State.RUNNING, Kind.HELD): State.HELD,
    (State.RUNNING, Kind.COMPLETED): State.COMPLETED,
    (State.PAUSED, Kind.RESUMED): State.RUNNING,
    (State.HELD, Kind.RESUMED): State.RUNNING,
    (State.HALTED, Kind.RESUMED): State.RUNNING,
    (State.HALTED, Kind.ROLLBACK_STARTED): State.ROLLING_BACK,
    (State.HALTED, Kind.ABORTED): State.ABORTED,
    (State.ROLLING_BACK, Kind.ROLLED_BACK): State.ROLLED_BACK,
}
_HALTING = {(s, Kind.HALTED): State.HALTED for s in (State.RUNNING, State.PAUSED, State.HELD)}
_DISPLACING = {(s, Kind.DISPLACED): s for s in OFFERED}
_ENDING = {
    (s, kind): end
    for s in State
    if s not in TERMINAL
    for kind, end in ((Kind.SUPERSEDED, State.SUPERSEDED), (Kind.CANCELLED, State.CANCELLED), (Kind.EXPIRED, State.EXPIRED))
}
EDGES: dict[tuple[State, Kind], State] = _EDGES | _HALTING | _DISPLACING | _ENDING
"""(state, event) -> next state. What is not here cannot happen."""
