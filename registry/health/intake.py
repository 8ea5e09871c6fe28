"""Take reports in: every report counts once, however often and in whatever order it is delivered.

A batch is judged (judging.py), then joined into the tables in one transaction (merging.py). What `take` returns is committed:
only then may a delivery be acknowledged. When the answer is lost, the device delivers again, and that is a duplicate.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa
from packaging.version import Version

from registry.contract.report import OUTCOMES
from registry.contract.signed_report import SignedReport, open_signed
from registry.database import reading, writing
from registry.health import merging
from registry.health.judging import Heard, Refusal, Refused, judge
from registry.health.rollouts import Rollouts
from registry.health.tables import closed_rollouts

ACCEPTED, DUPLICATE = "accepted", "duplicate"
BATCH = 5_000
"""Deliveries a transaction: what a crash may repeat, and how long other writers wait."""


@dataclass(frozen=True)
class Taken:
    """``answers``: for each delivery in order, "accepted", "duplicate" or the reason of a refusal."""

    answers: tuple[str, ...]

    @property
    def accepted(self) -> int:
        return self.answers.count(ACCEPTED)

    @property
    def duplicates(self) -> int:
        return self.answers.count(DUPLICATE)

    @property
    def rejected(self) -> dict[str, int]:
        return dict(Counter(a for a in self.answers if a not in (ACCEPTED, DUPLICATE)))


class Intake:
    """The intake of one database. ``require_signatures`` is for good; without it, anybody is whoever they say they are."""

    def __init__(self, engine: sa.Engine, *, require_signatures: bool = True) -> None:
        self._engine = engine
        self._require_signatures = require_signatures
        self._rollouts = Rollouts()
        self._open: sa.Connection | None = None

    def take(self, deliveries: Iterable[bytes], now: int | None = None) -> Taken:
        """Count ``deliveries``, envelopes as `signed_report.sign` makes them; ``now``: seconds UTC.

        Raises:
            Conflict: the database is busy; what was not committed may be delivered again.
            VerificationFailed: the log of a release was tampered with.
        """
        answers: list[str] = []
        self._keep_open()
        for batch in _batches(deliveries):
            answers += self._batch(batch, int(time.time()) if now is None else now)
        return Taken(tuple(answers))

    def _keep_open(self) -> None:
        """SQLite folds its log into the file whenever the last connection closes: with one open, not after every batch."""
        if self._open is None and self._engine.dialect.name == "sqlite":
            self._open = self._engine.connect()

    def _batch(self, batch: Sequence[bytes], now: int) -> list[str]:
        with _no_cycles():
            return self._counted(batch, now)

    def _counted(self, batch: Sequence[bytes], now: int) -> list[str]:
        copies = Counter(batch)
        opened = [_opened(data) for data in copies]
        with reading(self._engine) as connection:
            signed = [s for s in opened if s is not None]
            judged = iter(judge(connection, signed, self._rollouts, require_signatures=self._require_signatures))
            found = [Refused(Refusal.MALFORMED) if s is None else next(judged) for s in opened]
        with writing(self._engine) as connection:
            merging.serialize(connection)
            answers = _store(connection, found, list(copies.values()), now)
        return _each(batch, dict(zip(copies, answers, strict=True)))


def take(engine: sa.Engine, deliveries: Iterable[bytes], now: int | None = None, *, require_signatures: bool = True) -> Taken:
    """Count ``deliveries`` once; see `Intake.take`."""
    return Intake(engine, require_signatures=require_signatures).take(deliveries, now)


@contextmanager
def _no_cycles() -> Iterator[None]:
    """A batch makes many objects and no reference cycles: looking for cycles meanwhile costs a quarter of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _batches(deliveries: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(deliveries)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _opened(data: bytes) -> SignedReport | None:
    try:
        return open_signed(data)
    except ValueError:
        return None


def _store(connection: sa.Connection, found: Sequence[Heard | Refused], copies: Sequence[int], now: int) -> list[str]:
    """What is answered to the first copy of each delivery; all of it is in the tables."""
    found = _still_counting(connection, found)
    fresh, answers = _new(connection, found)
    merging.add_keys(connection, [(*one.key, one.digest) for one in fresh])
    merging.join_health(connection, _joined(fresh, now))
    latest = _latest(fresh)
    merging.join_presence(connection, [(device, now, r.report.counter, r.via, r.key[2]) for device, r in latest.items()])
    merging.tell_firmware(connection, [_word(one, now) for one in latest.values() if _says_another(one)])
    refused: Counter[tuple[str, str, str]] = Counter()
    for one, answer, times in zip(found, answers, copies, strict=True):
        if isinstance(one, Refused):
            refused[one.fleet, one.rollout_id, answer] += times
        elif answer == Refusal.CONFLICT:
            refused[one.fleet, one.report.rollout_id, answer] += times
    merging.count_rejections(connection, [(*key, count, now) for key, count in refused.items()])
    return answers


def _still_counting(connection: sa.Connection, found: Sequence[Heard | Refused]) -> Sequence[Heard | Refused]:
    """Nobody knows of a closed release what it has counted already."""
    closed = frozenset(connection.scalars(sa.select(closed_rollouts.c.rollout_id)).all())
    if not any(isinstance(one, Heard) and one.key[0] in closed for one in found):
        return found
    return [
        Refused(Refusal.ROLLOUT_OVER, one.fleet, one.key[0]) if isinstance(one, Heard) and one.key[0] in closed else one
        for one in found
    ]


def _new(connection: sa.Connection, found: Sequence[Heard | Refused]) -> tuple[list[Heard], list[str]]:
    """(reports that were not there before, answers). The first content of a key stays; another is a conflict."""
    first: dict[merging.Row, Heard] = {}
    for heard in sorted((one for one in found if isinstance(one, Heard)), key=_place):
        first.setdefault(heard.key, heard)
    known = merging.known_digests(connection, [(*key, one.digest) for key, one in first.items()])
    stored = {key: known.get(place) for place, key in enumerate(first)}
    answers = []
    for one in found:
        if isinstance(one, Refused):
            answers.append(one.reason.value)
        elif stored[key := one.key] is None and first[key] is one:
            answers.append(ACCEPTED)
        else:
            same = (stored[key] or first[key].digest) == one.digest
            answers.append(DUPLICATE if same else Refusal.CONFLICT.value)
    return [one for key, one in first.items() if stored[key] is None], answers


def _joined(fresh: Iterable[Heard], now: int) -> list[merging.Row]:
    """One row for each device and rollout, in the order of the columns of ``health``."""
    groups: dict[tuple[str, str], list[Heard]] = {}
    for one in fresh:
        groups.setdefault(one.key[:2], []).append(one)
    return [_row(max(group, key=_rank), group, now) for group in groups.values()]


def _row(last: Heard, group: Sequence[Heard], now: int) -> merging.Row:
    r, outcomes = last.report, {one.outcome for one in group}
    said = (r.attempt, r.counter, r.sequence_number, last.outcome, last.reason, r.running_sha256, r.self_test_passed, r.errors)
    measured = (r.latency_us, r.drift_milli, r.anomaly_milli, r.boot_id)
    times = (now if outcome in outcomes else None for outcome in OUTCOMES)
    place = (r.rollout_id, r.device_id, r.firmware_variant, last.bucket, last.key[2])
    return (*place, *said, *measured, now, now, len(group), *times)


def _latest(fresh: Iterable[Heard]) -> dict[str, Heard]:
    """Device -> its newest report; a new key starts a new count."""
    latest: dict[str, Heard] = {}
    for one in fresh:
        known = latest.setdefault(one.report.device_id, one)
        if (known.key[2], known.report.counter) < (one.key[2], one.report.counter):
            latest[one.report.device_id] = one
    return latest


def _says_another(one: Heard) -> bool:
    """Whether the device has another firmware than the inventory says, however either is written."""
    said = one.report.firmware_version
    return said is not None and said != one.recorded and Version(said) != Version(one.recorded)


def _word(one: Heard, now: int) -> merging.Row:
    return one.report.device_id, one.key[2], one.report.counter, one.report.firmware_version, now


def _rank(one: Heard) -> tuple[int, int, bool, int]:
    return merging.rank(one.key[2], one.report.attempt, one.outcome, one.report.counter)


def _place(one: Heard) -> merging.Row:
    return one.key


def _each(batch: Iterable[bytes], answers: dict[bytes, str]) -> list[str]:
    """The answer to every copy: after the first of what was accepted, the others are duplicates."""
    given = []
    for data in batch:
        given.append(answers[data])
        if answers[data] == ACCEPTED:
            answers[data] = DUPLICATE
    return given
