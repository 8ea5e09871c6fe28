"""Reports on their way: signed by the device or its gateway, late, delivered at least once, in any order."""

from __future__ import annotations

import heapq
from collections import Counter
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.contract.report import Report
from registry.contract.signed_report import sign
from registry.health.intake import ACCEPTED, DUPLICATE, Intake
from registry.simulator.scenario import Scenario

_NOBODY = Ed25519PrivateKey.from_private_bytes(bytes(32))
"""Signs for all where signatures do not count."""


class Post:
    """``private``: who signs -> key; empty where the intake asks for no signatures."""

    def __init__(
        self, engine: sa.Engine, private: dict[str, Ed25519PrivateKey], scenario: Scenario, rng: np.random.Generator
    ) -> None:
        self._intake = Intake(engine, require_signatures=bool(private))
        self._private = private
        self._scenario = scenario
        self._rng = rng
        self._queue: list[tuple[float, int, bytes]] = []
        self._number = 0
        self.reports = 0
        self.answers: Counter[str] = Counter()

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    @property
    def rejected(self) -> dict[str, int]:
        return {reason: n for reason, n in sorted(self.answers.items()) if reason not in (ACCEPTED, DUPLICATE)}

    def send(self, report: Report, signer: str, at: int) -> None:
        """Every copy is on its way for a time of its own."""
        self.reports += 1
        data = sign(report, self._private.get(signer, _NOBODY))
        for _ in range(int(self._rng.integers(1, self._scenario.deliveries + 1))):
            self._number += 1
            late = float(self._rng.random()) * self._scenario.report_s
            heapq.heappush(self._queue, (at + late, self._number, data))

    def deliver(self, now: datetime) -> int:
        """Hand over what has arrived by ``now``; how much that was."""
        arrived = []
        seconds = now.timestamp()
        while self._queue and self._queue[0][0] <= seconds:
            arrived.append(heapq.heappop(self._queue)[2])
        if arrived:
            self.answers.update(self._intake.take(arrived, int(seconds)).answers)
        return len(arrived)
