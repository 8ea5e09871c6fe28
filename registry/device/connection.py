"""An HTTP connection that is cut when it takes too long or brings too little.

A socket's own timeout counts from byte to byte, so a server that drips holds a device for hours. Here a timer shuts the
socket down, wherever the server dawdles: in its headers or in the body.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPSConnection
from threading import Timer
from urllib.parse import SplitResult

GAP_S = 10.0
"""A server that sends nothing for so long has gone."""


class Pace:
    """``until``: the end of everything, in seconds of the monotonic clock. In every ``window_s`` before it, at least
    ``rate`` bytes a second have to come.
    """

    def __init__(self, connection: HTTPConnection, until: float, rate: float, window_s: float) -> None:
        self._connection, self._until, self._rate, self._window_s = connection, until, rate, window_s
        self._timer: Timer | None = None
        self._open_window()

    def came(self, count: int) -> None:
        """``count`` more bytes; a full window opens the next one.

        Raises:
            TimeoutError: too few came in this window, or the end has come.
        """
        self._count += count
        if time.monotonic() < self._end:
            return
        if self.is_over:
            raise TimeoutError
        self._open_window()

    @property
    def is_over(self) -> bool:
        """Whether the timer has cut the connection, or is about to."""
        now = time.monotonic()
        return now >= self._until or (now >= self._end and self._count < self._rate * self._window_s)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _open_window(self) -> None:
        self.stop()
        now = time.monotonic()
        self._count, self._end = 0, min(self._until, now + self._window_s)
        self._arm(self._end - now)

    def _arm(self, seconds: float) -> None:
        self._timer = Timer(max(seconds, 0.0), self._cut_if_over)
        self._timer.daemon = True
        self._timer.start()

    def _cut_if_over(self) -> None:
        """The window ended while the reader waits; bytes enough mean that the reader opens the next one itself."""
        if self.is_over:
            with suppress(OSError, AttributeError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        else:
            self._arm(min(self._window_s, self._until - time.monotonic()))


@contextmanager
def connected(parts: SplitResult, until: float, rate: float, window_s: float) -> Iterator[tuple[HTTPConnection, Pace]]:
    """A connection to the server of an http(s) address, and its pace; closed with the block."""
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    left = max(until - time.monotonic(), 0.001)
    connection = kind(parts.netloc, timeout=min(GAP_S, left))
    pace = Pace(connection, until, rate, window_s)
    try:
        yield connection, pace
    finally:
        pace.stop()
        connection.close()
