"""Models of others' documented rules, not runs of their servers.

hawkBit: groups in the order of registration; the next one opens when 80 % of a group are finished, errors above 5 % of the
planned group stop it; a silent device is waited for without end. AWS IoT Jobs: an exponential rate (50 a minute, doubled after
every 100 successes), cancelled when 5 % or more of at least 100 that ended have failed; a job that does not end within a day
has timed out. Phases by the clock (Mender): the next phase begins after a day, whatever happened.
"""

from __future__ import annotations

import numpy as np

from benchmarks.rollouts.fleet import DAY, NEVER, Fleet
from benchmarks.rollouts.ours import TICK_S, Ended

_GROUP_ERRORS, _GROUP_SUCCESS = 0.05, 0.8
_RATE, _FACTOR, _SUCCESSES, _LEAST, _ABORT = 50, 2, 100, 100, 0.05


def hawkbit(fleet: Fleet, quotas: tuple[int, ...], *, days: float = 14.0) -> Ended:
    enrolled_at = np.full(len(fleet.online), NEVER)
    now, stage, state, start = 0, 0, "running", 0
    enrolled_at[: quotas[0]] = 0
    while now < days * DAY and state == "running":
        now += TICK_S
        group = slice(start, quotas[stage])
        heard = (fleet.heard_at(np.minimum(enrolled_at, NEVER // 2)) <= now)[group]
        planned = quotas[stage] - start
        if (heard & fleet.fails[group]).sum() > _GROUP_ERRORS * planned:
            state = "halted"
        elif (heard & ~fleet.fails[group]).sum() >= _GROUP_SUCCESS * planned:
            if stage + 1 == len(quotas):
                state = "completed"
                break
            start, stage = quotas[stage], stage + 1
            enrolled_at[start : quotas[stage]] = now
    return _ended(fleet, enrolled_at, now, stage, "held" if state == "running" else state)


def aws(fleet: Fleet, *, days: float = 14.0) -> Ended:
    enrolled_at = np.full(len(fleet.online), NEVER)
    now, told, state = 0, 0.0, "running"
    while now < days * DAY and state == "running":
        heard_at = fleet.heard_at(np.minimum(enrolled_at, NEVER // 2))
        succeeded = int(((heard_at <= now) & ~fleet.fails).sum())
        rate = min(1000.0, _RATE * _FACTOR ** (succeeded // _SUCCESSES))
        now += TICK_S
        before, told = int(told), min(len(enrolled_at), told + rate * TICK_S / 60)
        enrolled_at[before : int(told)] = now
        begun = fleet.taken_by(np.minimum(enrolled_at, NEVER // 2), now)
        timed_out = begun & (heard_at > now) & (now - enrolled_at >= DAY)
        failed = int(((heard_at <= now) & fleet.fails).sum() + timed_out.sum())
        if succeeded + failed >= _LEAST and failed >= _ABORT * (succeeded + failed):
            state = "halted"
        elif int(told) == len(enrolled_at) and not ((begun & ~timed_out) & (heard_at > now)).any() and now > told / rate * 60:
            state = "completed"
    return _ended(fleet, enrolled_at, now, 0, "held" if state == "running" else state)


def phases(fleet: Fleet, quotas: tuple[int, ...]) -> Ended:
    enrolled_at = np.full(len(fleet.online), NEVER)
    start = 0
    for phase, end in enumerate(quotas):
        enrolled_at[start:end] = phase * DAY
        start = end
    return _ended(fleet, enrolled_at, len(quotas) * DAY, len(quotas) - 1, "completed")


def _ended(fleet: Fleet, enrolled_at: np.ndarray, now: int, stage: int, state: str) -> Ended:
    near = np.minimum(enrolled_at, NEVER // 2)
    taken, heard = fleet.taken_by(near, now), fleet.heard_at(near) <= now
    broken = int((taken & fleet.fails).sum())
    return Ended(state, stage, broken, int((enrolled_at < NEVER).sum()), int(heard.sum()), now / 3600)
