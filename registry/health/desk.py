"""One writer for many senders: what arrives while a batch is being committed makes up the next one."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from sqlalchemy.exc import OperationalError

from components.workspace.errors import Conflict
from registry.health.intake import BATCH, Intake

WAITING = 20 * BATCH
"""Deliveries that may wait; beyond, senders are told to come again."""

_EVERYBODYS = (Conflict, OperationalError)
"""Errors that come of the database, not of what was delivered."""
_Waiting = tuple[Sequence[bytes], Future[tuple[str, ...]]]

_log = logging.getLogger("muster.reports")


class Desk:
    """A thread that takes deliveries in. A future's answers stand in the order of its deliveries, and are committed."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="reports")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """What waits is still taken in."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def submit(self, deliveries: Sequence[bytes]) -> Future[tuple[str, ...]]:
        """The answers to come; or an error, and the deliveries may come again.

        Raises:
            Conflict: too much waits already, or the desk is closed.
        """
        future: Future[tuple[str, ...]] = Future()
        with self._changed:
            if self._closed or self._waiting + len(deliveries) > WAITING:
                raise Conflict("too many reports wait already", hint="deliver it again later")
            self._queue.append((deliveries, future))
            self._waiting += len(deliveries)
            self._changed.notify()
        return future

    def _work(self) -> None:
        while batch := self._next():
            if not self._take(batch) and len(batch) > 1:
                for one in batch:
                    self._take([one])

    def _take(self, batch: Sequence[_Waiting]) -> bool:
        """False where one of many is to blame, and nobody was answered: each is then taken by itself."""
        try:
            answers = self._intake.take([data for deliveries, _ in batch for data in deliveries]).answers
        except Exception as error:  # noqa: BLE001 -- whatever it was, senders must hear that nothing is promised
            if len(batch) > 1 and not isinstance(error, _EVERYBODYS):
                return False
            _log.error("reports could not be counted: %s", str(error).partition("\n")[0])
            for _, future in batch:
                future.set_exception(error)
            return True
        place = 0
        for deliveries, future in batch:
            future.set_result(answers[place : place + len(deliveries)])
            place += len(deliveries)
        return True

    def _next(self) -> list[_Waiting]:
        """What waits, up to a batch; none when the desk is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            batch: list[_Waiting] = []
            size = 0
            while self._queue and (not batch or size + len(self._queue[0][0]) <= BATCH):
                batch.append(self._queue.popleft())
                size += len(batch[-1][0])
            self._waiting -= size
            return batch
