"""What health reports say of one firmware variant: devices under its cut, those kept back, and how each of them fares.

A device under the cut is *expected* to report if it has said anything in this release, or was alive within one report
deadline before the cut reached it: who has been off for a month says nothing about the release, who falls silent does.
All of it is column-wise: (devices,) arrays in, counts out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from registry.contract.cohort import Buckets
from registry.rollout import eprocess
from registry.rollout.release import Cut, Rules

Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]
_MARKS = 7
_AT_A_TIME = 1 << 15
"""Devices whose columns fit into a processor's cache: a fleet may have a million."""
METRICS = ("latency_us", "drift_milli", "anomaly_milli", "errors")
ABSENT = -1


class Fate(IntEnum):
    """How a device stands in a release. RETRYING: an attempt failed for a reason that may pass, and more are allowed."""

    SILENT = 0
    STARTED = 1
    RETRYING = 2
    OK = 3
    FAILED = 4


@dataclass(frozen=True)
class Watched:
    """(devices,) columns of a variant, pinned devices left out. Times in seconds since 1970, 0 where nothing was heard.

    ``first_at``: first word in this release; ``settled_at``: when its fate was first heard; ``seen_at``: last sign of life
    at all; ``metrics``: -1 where a device did not say; ``sound``: what it runs works, whatever that is.
    """

    bucket: Buckets
    fate: NDArray[np.int8]
    first_at: Ints
    settled_at: Ints
    seen_at: Ints
    sound: Marks
    metrics: dict[str, Ints]

    def __len__(self) -> int:
        return len(self.bucket)


@dataclass(frozen=True)
class Above:
    """``n`` devices said a reading, ``bad`` of them one above the limit; or of ``n`` pairs the new artefact lost ``bad``."""

    n: int
    bad: int


@dataclass(frozen=True)
class Evidence:
    """``enrolled`` devices are under the cut; of the ``expected`` ones some are ok, failed or timed out, and the rest pend.

    ``wave_expected`` and ``wave_pending`` are those of the cut's last widening. ``judged`` and ``judged_bad``: devices that
    halting gates count, which are all but those that two persons have forgiven. ``more_often``: log E that these fail more
    often than the control group, None without one. ``metrics``: by name, those that they reported.
    """

    enrolled: int
    expected: int
    ok: int
    failed: int
    timed_out: int
    wave_expected: int
    wave_pending: int
    judged: int
    judged_bad: int
    control: int = 0
    more_often: float | None = None
    metrics: dict[str, Above] | None = None

    @property
    def pending(self) -> int:
        return self.expected - self.ok - self.failed - self.timed_out

    @property
    def bad(self) -> int:
        return self.failed + self.timed_out


def weigh(watched: Watched, cuts: Sequence[Cut], control_from: int, rules: Rules, now: int, *, judged_from: int = 0) -> Evidence:
    """Count a variant's devices at ``now``. ``cuts``: every widening of the variant so far, oldest first.

    What was known before ``judged_from`` tells against the release no more. It still does not speak for it.
    """
    parts = [slice(start, start + _AT_A_TIME) for start in range(0, len(watched), _AT_A_TIME)]
    marks = np.empty((_MARKS, len(watched)), bool)
    for some in parts:
        marks[:, some] = _marks(watched, some, cuts, rules, now, judged_from)
    inside, expected, ok, failed, late, judged, last = marks
    waiting = expected & ~ok & ~failed
    control = (watched.bucket >= control_from) & (watched.first_at > 0)
    return Evidence(
        enrolled=int(inside.sum()),
        expected=int(expected.sum()),
        ok=int(ok.sum()),
        failed=int(failed.sum()),
        timed_out=int(late.sum()),
        wave_expected=int(last.sum()),
        wave_pending=int((last & waiting & ~late).sum()),
        judged=int(judged.sum()),
        judged_bad=int((judged & (failed | late)).sum()),
        control=int(control.sum()),
        more_often=_more_often(watched, judged & (ok | failed), judged & failed, control) if control.any() else None,
        metrics={m.name: _above(watched, m.name, m.limit, m.margin_bp, judged & ok, control) for m in rules.metrics},
    )


def _marks(watched: Watched, some: slice, cuts: Sequence[Cut], rules: Rules, now: int, judged_from: int) -> list[Marks]:
    """Who is inside of the cut, expected, ok, failed, timed out, judged, and of the last widening: (devices,) each."""
    upto = np.array([c.upto for c in cuts], np.int32)
    times = np.array([c.seconds for c in cuts], np.int64)
    fate, first_at = watched.fate[some], watched.first_at[some]
    wave = np.searchsorted(upto, watched.bucket[some], side="right")
    inside = wave < len(cuts)
    enrolled_at = np.where(inside, times[np.minimum(wave, len(cuts) - 1)], 0)
    expected = inside & ((first_at > 0) | (watched.seen_at[some] >= enrolled_at - rules.report_deadline_s))
    ok, failed = expected & (fate == Fate.OK), expected & (fate == Fate.FAILED)
    waiting = expected & ~ok & ~failed
    deadline = np.maximum(enrolled_at, first_at) + rules.report_deadline_s
    late = waiting & (now >= deadline)
    judged = expected & (np.where(late, deadline, np.where(waiting, now, watched.settled_at[some])) >= judged_from)
    return [inside, expected, ok, failed, late, judged, expected & (wave == len(cuts) - 1)]


def _more_often(watched: Watched, settled: Marks, failed: Marks, control: Marks) -> float:
    """Failures in the order in which they were heard, each against the shares that were watched by then."""
    unsound = control & ~watched.sound
    exposed_since, kept_since = np.sort(watched.settled_at[settled]), np.sort(watched.first_at[control])
    times = np.concatenate([watched.settled_at[failed], watched.settled_at[unsound]])
    exposed = np.searchsorted(exposed_since, times, side="right")
    kept = np.searchsorted(kept_since, times, side="right")
    mine = np.arange(len(times)) < int(failed.sum())
    share = np.where(exposed + kept > 0, exposed / np.maximum(exposed + kept, 1), 0.5)
    return eprocess.more_often(share, mine)


def _above(watched: Watched, name: str, limit: int | None, margin_bp: int, ok: Marks, control: Marks) -> Above:
    values = watched.metrics[name]
    mine = ok & (values != ABSENT)
    if limit is not None:
        return Above(int(mine.sum()), int((mine & (values > limit)).sum()))
    theirs = control & (values != ABSENT)
    new = _by_arrival(values, watched.settled_at, mine)
    old = _by_arrival(values, watched.settled_at, theirs)
    pairs = min(len(new), len(old))
    allowed = old[:pairs] * (10_000 + margin_bp)
    lost, won = new[:pairs] * 10_000 > allowed, new[:pairs] * 10_000 < allowed
    return Above(int((lost | won).sum()), int(lost.sum()))


def _by_arrival(values: Ints, times: Ints, chosen: Marks) -> Ints:
    """Pairs are made by arrival, never by value. Equal times keep the order of the inventory."""
    picked = np.flatnonzero(chosen)
    return values[picked[np.argsort(times[picked], kind="stable")]]
