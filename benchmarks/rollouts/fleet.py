"""An invented fleet: when devices poll, what happens to them, and when they say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POLL_S, REPORT_S = 1800, 1800
OFFLINE = 0.1
DAY = 86_400


@dataclass(frozen=True)
class Fleet:
    """(devices,) columns. Those that fail do so silently or not; those that are offline never poll."""

    online: NDArray[np.bool_]
    fails: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    poll: NDArray[np.int32]
    report: NDArray[np.int32]

    def heard_at(self, enrolled_at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Seconds at which the outcome is known; far away where it never is. ``enrolled_at`` is far away where not yet."""
        heard = enrolled_at + self.poll + self.report
        return np.where(self.online & ~(self.fails & self.silent), heard, NEVER)

    def taken_by(self, enrolled_at: NDArray[np.int64], now: int) -> NDArray[np.bool_]:
        return self.online & (enrolled_at + self.poll <= now)


NEVER = np.int64(1) << 60


def invent(devices: int, rate: float, silent: float, rng: np.random.Generator, *, offline: float = OFFLINE) -> Fleet:
    """``rate`` of the devices fail, the share ``silent`` of those without a word; ``offline`` are never there."""
    return Fleet(
        online=rng.random(devices) >= offline,
        fails=rng.random(devices) < rate,
        silent=rng.random(devices) < silent,
        poll=rng.integers(0, POLL_S, devices).astype(np.int32),
        report=rng.integers(0, REPORT_S, devices).astype(np.int32),
    )
