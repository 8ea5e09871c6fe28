"""Rehearse a release: the real repository, the real intake of reports and the real gates, with devices that follow a script.

scenario.py   the script: how many devices fail, fall silent, lie, are off, …
readings.py   what they measure of what they run
scratch.py    a workspace of its own, so that nothing invented reaches a real registry
crowd.py      the devices, in columns
before.py     when they were last heard of
acting.py     what one device does and says once it takes up an offer
living.py     who polls, judges, acts and speaks in a step of the clock
clients.py    the real device client, one a variant: what all others are told is what it has verified
post.py       reports on their way: signed, late, more than once, in any order
rehearsal.py  the clock
outcome.py    what came of it

Time is simulated and starts now, so that the client's own check of expiry dates sees none that has passed.
"""

from registry.simulator.outcome import Outcome, VariantOutcome
from registry.simulator.rehearsal import Moment, Plan, rehearse
from registry.simulator.scenario import BEHAVIOURS, Scenario, parse_group, read_scenario
from registry.simulator.scratch import Stage, prepare

__all__ = [
    "BEHAVIOURS",
    "Moment",
    "Outcome",
    "Plan",
    "Scenario",
    "Stage",
    "VariantOutcome",
    "parse_group",
    "prepare",
    "read_scenario",
    "rehearse",
]
