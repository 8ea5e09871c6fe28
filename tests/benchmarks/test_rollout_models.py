"""The invented fleets of the benchmark behave as they are said to, and the real policy decides on them."""

from __future__ import annotations

import numpy as np

from benchmarks.rollouts import others
from benchmarks.rollouts.fleet import NEVER, invent
from benchmarks.rollouts.ours import policy, rollout


def test_silent_failures_are_never_heard_of_and_offline_devices_take_nothing() -> None:
    fleet = invent(5000, 0.3, 0.5, np.random.default_rng(1))
    heard = fleet.heard_at(np.zeros(5000, np.int64))
    assert ((heard == NEVER) == (~fleet.online | (fleet.fails & fleet.silent))).all()
    assert not fleet.taken_by(np.zeros(5000, np.int64), 10_000)[~fleet.online].any()


def test_a_release_that_fails_on_a_third_stops_in_its_canary_and_a_good_one_completes() -> None:
    rules = policy((0.2, 1.0))
    for rate, state in ((0.0, "completed"), (0.3, "halted")):
        ended = rollout(invent(1000, rate, 0.5, np.random.default_rng(2)), rules, "r")
        assert ended.state == state
        assert ended.broken <= 40


def test_the_clock_stops_for_nothing() -> None:
    fleet = invent(1000, 1.0, 0.0, np.random.default_rng(3))
    ended = others.phases(fleet, (100, 1000))
    assert (ended.state, ended.broken) == ("completed", int(fleet.online.sum()))
