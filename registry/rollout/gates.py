"""The gates of a variant: what the evidence says against the release, and what it says for it.

A gate reads one e-value (eprocess.py) against its threshold. Halting gates share `alpha_halt_bp` among all variants and
gates of the release, so that a good release is halted somewhere with at most that probability (Bonferroni). Promotion
is each variant's own claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log10

from registry.rollout import eprocess
from registry.rollout.evidence import Evidence
from registry.rollout.release import MetricRule, Rules

FAILURES, RELATIVE, PROMOTION = "failures", "failures_against_control", "promotion"


@dataclass(frozen=True)
class Reading:
    """``evidence`` and ``threshold`` are log10 of E-values; the gate says so when the first reaches the second.

    ``n`` devices or pairs, of them ``bad``; ``halts``: what it means when it does, else that the stage may go on.
    """

    gate: str
    halts: bool
    n: int
    bad: int
    evidence: float
    threshold: float

    @property
    def reached(self) -> bool:
        return self.evidence >= self.threshold


def read_gates(evidence: Evidence, rules: Rules, variants: int) -> tuple[Reading, ...]:
    """Every halting gate, and the promoting one last. Halting counts who is pending as well, promoting as failed."""
    metrics = evidence.metrics or {}
    compared = evidence.more_often is not None
    count = variants * (1 + compared + len(rules.metrics))
    against = log10(count * 10_000 / rules.alpha_halt_bp)
    found = [
        _worse(FAILURES, evidence.judged, evidence.judged_bad, rules.p0_bp, against),
        *(_metric(rule, metrics[rule.name].n, metrics[rule.name].bad, against) for rule in rules.metrics if rule.name in metrics),
    ]
    if evidence.more_often is not None:
        found.append(Reading(RELATIVE, True, evidence.control, evidence.judged_bad, evidence.more_often / log(10), against))
    return (*found, _promotion(evidence, rules))


def _promotion(evidence: Evidence, rules: Rules) -> Reading:
    bad = evidence.bad + evidence.pending
    value = float(eprocess.better_than(evidence.expected, bad, rules.pmax_bp / 10_000)) / log(10)
    return Reading(PROMOTION, False, evidence.expected, bad, value, log10(10_000 / rules.alpha_promote_bp))


def _metric(rule: MetricRule, n: int, bad: int, against: float) -> Reading:
    if rule.limit is not None:
        return _worse(rule.name, n, bad, rule.accepted_bp, against)
    return Reading(f"{rule.name}_against_control", True, n, bad, float(eprocess.above(bad, n)) / log(10), against)


def _worse(gate: str, n: int, bad: int, accepted_bp: int, against: float) -> Reading:
    return Reading(gate, True, n, bad, float(eprocess.worse_than(n, bad, accepted_bp / 10_000)) / log(10), against)
