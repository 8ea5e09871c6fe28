"""What reaches devices when a release is bad: Muster's gates beside models of hawkBit's, AWS IoT Jobs' and the clock's rules.

    python -m benchmarks.rollout_policies [--runs 100] [--canaries 10000] [--write docs/benchmarks.md]

First the canary alone: 200 devices of 400 that open in eight waves, at the accepted failure rate (2 %) and at five times that,
every report late by up to an hour. Then whole rollouts of 10,000 devices (canary 200, then 1,000, 5,000, all), a tenth of them
offline, half of the failures silent. Ours are Muster's own plan, evidence, gates and reducer without the database; the others
are models of documented rules, not runs of those servers.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.rollouts import others
from benchmarks.rollouts.fleet import Fleet, invent
from benchmarks.rollouts.ours import Ended, policy, rollout
from components.workspace.files import write_text

MARK = "<!-- measured: rollout policies -->"
DEVICES, QUOTAS, SHARES = 10_000, (200, 1000, 5000, 10_000), (0.02, 0.1, 0.5, 1.0)
RATES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
SEED = 20_261


def canaries(runs: int) -> list[str]:
    """Lines: share of halted canaries, and devices let in at the halt."""
    rules = policy((0.5, 1.0), p0_bp=200, pmax_bp=1000)
    columns = ("failure rate", "offline", "canaries", "halted", "devices let in at the halt, median", "hours to the halt, median")
    lines = [f"| {' | '.join(columns)} |", "|---|---:|---:|---:|---:|---:|"]
    for rate, offline, count in ((0.02, 0.0, runs), (0.1, 0.0, runs // 10), (0.1, 0.1, runs // 10)):
        rng = np.random.default_rng([SEED, round(rate * 1000)])
        fleets = (invent(400, rate, 0.0, rng, offline=offline) for _ in range(count))
        ended = [rollout(fleet, rules, f"c{i}", stop_after_stage=1) for i, fleet in enumerate(fleets)]
        halted = [e for e in ended if e.state == "halted" and e.stage == 0]
        let_in, hours = (np.median([getattr(e, n) for e in halted]) if halted else np.nan for n in ("let_in", "hours"))
        lines.append(f"| {rate:.0%} | {offline:.0%} | {count:,} | {len(halted) / count:.2%} | {let_in:.0f} | {hours:.1f} |")
    return lines


def rollouts(runs: int) -> list[str]:
    """Lines: done/held/halted of each policy, and the median of devices with a broken model."""
    rules = policy(SHARES, pmax_bp=500)
    policies: dict[str, Callable[[Fleet, int], Ended]] = {
        "Muster": lambda fleet, i: rollout(fleet, rules, f"r{i}"),
        "hawkBit's rules": lambda fleet, _: others.hawkbit(fleet, QUOTAS),
        "AWS IoT Jobs' rules": lambda fleet, _: others.aws(fleet),
        "phases by the clock": lambda fleet, _: others.phases(fleet, QUOTAS),
    }
    lines = [f"| true failure rate | {' | '.join(policies)} |", f"|---|{'---:|' * len(policies)}"]
    for rate in RATES:
        rng = np.random.default_rng([SEED, round(rate * 1000), 2])
        fleets = [invent(DEVICES, rate, 0.5, rng) for _ in range(runs)]
        cells = [_cell([run(fleet, i) for i, fleet in enumerate(fleets)]) for run in policies.values()]
        lines.append(f"| {rate:.1%} | {' | '.join(cells)} |")
    return lines


def _cell(ended: list[Ended]) -> str:
    states = Counter(e.state for e in ended)
    counts = "/".join(str(states[s]) for s in ("completed", "held", "halted"))
    escaped = sum(e.stage > 0 or e.state == "completed" for e in ended)
    return f"{counts}, {escaped} past the canary, {np.median([e.broken for e in ended]):,.0f} broken"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="rollouts a policy and rate")
    parser.add_argument("--canaries", type=int, default=10_000)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    text = "\n".join(
        [
            *canaries(options.canaries),
            "",
            f"{options.runs} rollouts each: completed/held/halted, past the canary, devices with a broken model (median).",
            "",
            *rollouts(options.runs),
        ]
    )
    print(text)
    if options.write:
        before, _, after = options.write.read_text().partition(MARK)
        write_text(options.write, f"{before}{MARK}\n{text}\n{MARK}{after.partition(MARK)[2]}")


if __name__ == "__main__":
    main()
