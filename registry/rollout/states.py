"""States of a firmware variant in a release and the edges between them: the whole table, so that a new command is a new event.

::

    DRAFT -> WAITING_FOR_APPROVAL -> READY -> RUNNING(stage i, wave j) -> COMPLETED
                  |-> APPROVAL_DENIED          |^   |^                       |
                                               v|   v|                       v
                                            PAUSED  HELD (undecided)   ROLLING_BACK
    RUNNING | PAUSED | HELD -> HALTED -> ROLLING_BACK -> ROLLED_BACK
                                     |-> RUNNING (two persons) | ABORTED
    every state that is not terminal -> SUPERSEDED | CANCELLED | EXPIRED

Until it starts, all variants of a release move together. PAUSED stops devices that have not begun; HELD lets those under
the current cut go on and opens nothing new.
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
    WIDENED = "widened"
    PROMOTED = "promoted"
    PAUSED = "paused"
    RESUMED = "resumed"
    HELD = "held"
    HALTED = "halted"
    RESUMPTION_APPROVED = "resumption_approved"
    ROLLBACK_STARTED = "rollback_started"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    COMPLETED = "completed"
    RENEWED = "renewed"
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
"""Nothing happens any more by itself; a completed variant can still be rolled back, by a person."""
ENROLLING = frozenset({State.RUNNING, State.HELD, State.COMPLETED})
"""States in which a device under the cut takes the release."""
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
    (State.RUNNING, Kind.WIDENED): State.RUNNING,
    (State.RUNNING, Kind.PROMOTED): State.RUNNING,
    (State.RUNNING, Kind.PAUSED): State.PAUSED,
    (State.RUNNING, Kind.HELD): State.HELD,
    (State.RUNNING, Kind.COMPLETED): State.COMPLETED,
    (State.PAUSED, Kind.RESUMED): State.RUNNING,
    (State.HELD, Kind.PAUSED): State.PAUSED,
    (State.HELD, Kind.RESUMED): State.RUNNING,
    (State.HELD, Kind.PROMOTED): State.RUNNING,
    (State.HELD, Kind.COMPLETED): State.COMPLETED,
    (State.HALTED, Kind.RESUMPTION_APPROVED): State.HALTED,
    (State.HALTED, Kind.RESUMED): State.RUNNING,
    (State.HALTED, Kind.ROLLBACK_STARTED): State.ROLLING_BACK,
    (State.HALTED, Kind.ABORTED): State.ABORTED,
    (State.COMPLETED, Kind.ROLLBACK_STARTED): State.ROLLING_BACK,
    (State.ROLLING_BACK, Kind.ROLLED_BACK): State.ROLLED_BACK,
    (State.COMPLETED, Kind.RENEWED): State.COMPLETED,
    (State.ROLLED_BACK, Kind.RENEWED): State.ROLLED_BACK,
}
_HALTING = {(s, Kind.HALTED): State.HALTED for s in (State.RUNNING, State.PAUSED, State.HELD)}
_DISPLACING = {(s, Kind.DISPLACED): s if s in TERMINAL else State.SUPERSEDED for s in OFFERED}
_ENDING = {
    (s, kind): end
    for s in State
    if s not in TERMINAL
    for kind, end in ((Kind.SUPERSEDED, State.SUPERSEDED), (Kind.CANCELLED, State.CANCELLED), (Kind.EXPIRED, State.EXPIRED))
}
EDGES: dict[tuple[State, Kind], State] = _EDGES | _HALTING | _DISPLACING | _ENDING
"""(state, event) -> next state. What is not here cannot happen."""

_WORST_FIRST = (
    State.HALTED,
    State.ROLLING_BACK,
    State.HELD,
    State.PAUSED,
    State.RUNNING,
    State.READY,
    State.WAITING_FOR_APPROVAL,
    State.DRAFT,
    State.ROLLED_BACK,
    State.ABORTED,
    State.EXPIRED,
    State.COMPLETED,
    State.CANCELLED,
    State.APPROVAL_DENIED,
    State.SUPERSEDED,
)


def overall(states: set[State]) -> State:
    """The state of a release: that of the variant that needs a person most."""
    return next(s for s in _WORST_FIRST if s in states)
