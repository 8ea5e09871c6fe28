"""The claims: each function measures some and yields lines of the table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.weak_labels import scores, sets
from benchmarks.weak_labels.costs import cost
from benchmarks.weak_labels.models import Opinion, majority, opinions
from benchmarks.weak_labels.sets import VoteSet

MILLION = 1_000_000
SAMPLE = 100_000
"""Rows on which Snorkel's row-by-row application is measured; its cost a row does not depend on how many there are."""
SKWEAK = "skweak 0.3.3: 29,000 windows/s with its fit, measured elsewhere"
HMM_AIM = 4e6
TIES = 5
"""Draws of the lots by which majority vote decides ties; figures are means over them."""

Score = Callable[[Opinion, VoteSet], float]


@dataclass(frozen=True)
class Line:
    """``reference`` and ``ours`` as text; ``value`` is held against ``aim`` (at least, or at most it with ``below``)."""

    what: str
    reference: str
    ours: str
    measure: str
    value: float
    aim: float
    below: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.aim if self.below else self.value >= self.aim


@dataclass(frozen=True)
class Bench:
    """What every measurement needs: Snorkel's interpreter, the seeds, and whether the largest sizes are wanted."""

    peer: str
    seeds: tuple[int, ...]
    large: bool


def apply_rows(bench: Bench) -> Iterator[Line]:
    ours = cost("apply-ours", MILLION, 10, 2, sys.executable)
    theirs = cost("apply-snorkel", SAMPLE, 10, 2, bench.peer)
    ratio = theirs.cpu / SAMPLE / (ours.cpu / MILLION)
    same = ours.digest == theirs.digest
    text = f"{SAMPLE / theirs.cpu:,.0f} rows/s (Snorkel's PandasLFApplier, {SAMPLE:,} rows)"
    equal = "equal" if same else "DIFFERENT"
    yield Line("apply 10 threshold functions, 1M rows", text, f"{MILLION / ours.cpu:,.0f} rows/s", "times as fast", ratio, 1000)
    yield Line(f"the first {SAMPLE:,} rows of both matrices", "", equal, "equal", float(same), 1)


def fit_rows(bench: Bench) -> Iterator[Line]:
    yield from _fit(bench, MILLION, 10, time_aim=1 / 3, memory_aim=1.0)
    if bench.large:
        yield from _fit(bench, 10 * MILLION, 30, time_aim=0.1, memory_aim=0.1)
        five = cost("fit-ours", 10 * MILLION, 30, 5, sys.executable)
        text = f"{five.cpu:.2f} s, {five.extra_mib:,.0f} MiB"
        yield Line("fit + predict 10M x 30, 5 classes", "", text, "extra MiB", five.extra_mib, 1024, below=True)


def rare_rows(bench: Bench) -> Iterator[Line]:
    """Under copies nobody's optimum is known: there ours is held against Snorkel, which is told the true shares."""
    for share, copied in ((0.01, False), (0.05, False), (0.01, True), (0.05, True)):
        some = [sets.rare_faults(share, copied, seed) for seed in bench.seeds]
        what = f"faults {share:.0%}, {'4 copied alarms' if copied else 'independent'}, prior unknown"
        for score, name, fixed in ((scores.f1, "F1", 0.90), (scores.average_precision, "AP", 0.955)):
            default, told, mine = (_mean(score, n, some, bench) for n in ("snorkel", "snorkel-prior", "ours"))
            aim = max(default, told) if copied else fixed
            yield Line(f"{what}: {name}", f"Snorkel {default:.3f}, true prior {told:.3f}", f"{mine:.3f}", name, mine, aim)
        theirs, ours = (np.asarray([scores.share_ratio(*j) for j in _judged(n, some, bench)]) for n in ("snorkel", "ours"))
        worst = float(np.maximum(ours, 1 / np.maximum(ours, 1e-9)).max())
        title = f"{what}: decided over true share"
        yield Line(title, f"Snorkel {_list(theirs, 2)}", _list(ours, 2), "worst factor", worst, 1.2, below=True)


def set_rows(bench: Bench) -> Iterator[Line]:
    some = list(sets.published())
    vote = [_majority(scores.quality, s) for s in some]
    balanced = [100 * scores.quality(o, s) for o, s in _judged("snorkel-prior", some, bench)]
    reference = f"majority {np.mean(vote):.1f} ({_list(vote)}), Snorkel {np.mean(balanced):.1f} ({_list(balanced)})"
    for name, told in (("ours-timed-prior", "balance given"), ("ours-timed", "balance unknown")):
        mine = [100 * scores.quality(o, s) for o, s in _judged(name, some, bench)]
        what = f"TREC (accuracy), SMS, tennis (F1), {told}"
        yield Line(f"{what}: mean", reference, f"{np.mean(mine):.1f} ({_list(mine)})", "mean", float(np.mean(mine)), 65.0)
        worst = float(np.max(np.subtract(vote, mine)))
        yield Line(f"{what}: worst loss against majority", "", f"{worst:.1f}", "points", worst, 3.0, below=True)


def tree_rows(bench: Bench) -> Iterator[Line]:
    machines = [s for seed in bench.seeds for s in sets.machine_rules(seed)]
    others = [s for seed in bench.seeds for s in sets.other_rules(seed)]
    for what, some in (("hydraulic, gas", machines), ("tumours, wine, digits, utterances", others)):
        theirs = 100 * _mean(scores.average_precision, "snorkel-prior", some, bench)
        vote = float(np.mean([_majority(scores.average_precision, s) for s in some]))
        for name, told in (("ours", "balance unknown"), ("ours-prior", "balance given")):
            mine = 100 * _mean(scores.average_precision, name, some, bench)
            reference = f"Snorkel with balance {theirs:.1f}, majority {vote:.1f}"
            title = f"{len(some)} sets of random rules ({what}), {told}: AP"
            yield Line(title, reference, f"{mine:.1f}", "points over Snorkel", mine - theirs, 3.5)


def log_loss_rows(bench: Bench) -> Iterator[Line]:
    some = [*sets.published(), *(s for seed in bench.seeds for s in (*sets.machine_rules(seed), *sets.other_rules(seed)))]
    vote = float(np.mean([scores.log_loss(majority(s.test, s.classes, 0), s) for s in some]))
    theirs = _mean(scores.log_loss, "snorkel-prior", some, bench)
    reference = f"majority {vote:.2f}, Snorkel with balance {theirs:.2f}"
    for name, told in (("ours-prior", "balance given"), ("ours", "balance unknown")):
        mine = _mean(scores.log_loss, name, some, bench)
        what = f"log-loss, {len(some)} sets, probabilities clipped to {scores.CLIP:g}, {told}"
        yield Line(what, reference, f"{mine:.2f}", "of majority's", mine / vote, 1 / 3, below=True)


def sequence_rows(bench: Bench) -> Iterator[Line]:
    from benchmarks.weak_labels.pumps import timed_sets

    tennis = [s for s in sets.published() if s.train_sequences is not None]
    some = [*tennis, *(s for seed in bench.seeds for s in timed_sets(seed))]
    default, told = (100 * _mean(scores.average_precision, n, some, bench) for n in ("snorkel", "snorkel-prior"))
    still = 100 * _mean(scores.average_precision, "ours", some, bench)
    mine = 100 * _mean(scores.average_precision, "ours-timed", some, bench)
    reference = f"Snorkel {default:.1f}, with balance {told:.1f}, ours without time {still:.1f}"
    gain = mine - max(default, told)
    yield Line(f"{len(some)} sets in time order: AP", reference, f"{mine:.1f}", "points over the better Snorkel", gain, 6.0)


def hmm_rows(_: Bench) -> Iterator[Line]:
    for what, title in (("pass-ours", "one pass"), ("sequences-ours", "from votes to probabilities")):
        speed = MILLION / cost(what, MILLION, 10, 2, sys.executable).cpu
        yield Line(f"1,000 devices x 1,000 windows, {title}", SKWEAK, f"{speed:,.0f} windows/s", "windows/s", speed, HMM_AIM)


def end_rows(bench: Bench) -> Iterator[Line]:
    from benchmarks.weak_labels.pumps import weak_and_true

    found = [weak_and_true(seed) for seed in bench.seeds]
    weak, true = (100 * np.asarray(column) for column in zip(*found, strict=True))
    gap = float(np.mean(true - weak))
    reference, text = (f"{np.mean(column):.1f} ({_list(column)})" for column in (true, weak))
    yield Line(
        "end model on pumps: macro-F1", f"true labels {reference}", f"weak labels {text}", "points lost", gap, 2.0, below=True
    )


ROWS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "apply": apply_rows,
    "fit": fit_rows,
    "rare": rare_rows,
    "sets": set_rows,
    "trees": tree_rows,
    "logloss": log_loss_rows,
    "sequences": sequence_rows,
    "hmm": hmm_rows,
    "end": end_rows,
}


def _fit(bench: Bench, rows: int, functions: int, time_aim: float, memory_aim: float) -> Iterator[Line]:
    ours = cost("fit-ours", rows, functions, 2, sys.executable)
    theirs = cost("fit-snorkel", rows, functions, 2, bench.peer)
    what = f"fit + predict {rows // MILLION}M x {functions}, 2 classes"
    ratio, share = ours.cpu / theirs.cpu, ours.extra_mib / theirs.extra_mib
    yield Line(f"{what}: CPU", f"Snorkel {theirs.cpu:.2f} s", f"{ours.cpu:.2f} s", "of its time", ratio, time_aim, below=True)
    memory, text = f"Snorkel {theirs.extra_mib:,.0f} MiB", f"{ours.extra_mib:,.0f} MiB"
    yield Line(f"{what}: extra memory", memory, text, "of its memory", share, memory_aim, below=True)


def _mean(score: Score, name: str, some: Sequence[VoteSet], bench: Bench) -> float:
    return float(np.mean([score(said, one) for said, one in _judged(name, some, bench)]))


def _judged(name: str, some: Sequence[VoteSet], bench: Bench) -> Iterator[tuple[Opinion, VoteSet]]:
    """What the model ``name`` says about each set; asked once."""
    python = bench.peer if name.startswith("snorkel") else sys.executable
    fresh = [one for one in some if (name, one.name) not in _ASKED]
    if fresh:
        _ASKED.update(zip([(name, one.name) for one in fresh], opinions(name, fresh, python), strict=True))
    return ((_ASKED[name, one.name], one) for one in some)


_ASKED: dict[tuple[str, str], Opinion] = {}


def _majority(score: Score, one: VoteSet) -> float:
    """In points."""
    return float(np.mean([100 * score(majority(one.test, one.classes, lot), one) for lot in range(TIES)]))


def _list(values: Sequence[float] | NDArray[Any], digits: int = 1) -> str:
    return ", ".join(f"{v:.{digits}f}" for v in values)
