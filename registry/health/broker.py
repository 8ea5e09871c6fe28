"""Take reports from an MQTT broker: QoS 1 on ``muster/<fleet>/<device>/report``, acknowledged when they are committed.

The session is persistent: what comes while nobody listens waits at the broker, and what was not acknowledged comes again. The
topic is for the broker's access rules; what counts is the signature in the message (judging.py).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from components.workspace.errors import Conflict, InputError
from registry.health.desk import Desk

TOPIC = "muster/+/+/report"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_AGAIN_S = 5.0
"""Pause before a message that could not be counted is tried again, while it stays unacknowledged."""
_INFLIGHT = 1000
"""Messages the client holds unacknowledged; the broker's own limit (Mosquitto: 20) may be lower."""

_log = logging.getLogger("muster.reports")


@contextmanager
def take_from(url: str, name: str, desk: Desk) -> Iterator[None]:
    """Hand messages to ``desk`` while the block runs; ``name`` is that of the session. A lost connection is made again.

    Raises:
        InputError: the MQTT client is not installed.
    """
    client = _client(url, name)
    closing = threading.Event()

    def hand_over(message: Any) -> None:
        if closing.is_set():
            return
        try:
            desk.submit([bytes(message.payload)]).add_done_callback(lambda done: settle(message, done))
        except Conflict:
            hand_over_later(message)

    def settle(message: Any, done: Future[tuple[str, ...]]) -> None:
        """A refusal is for good, so it is acknowledged, too."""
        if done.exception() is None:
            client.ack(message.mid, message.qos)
        else:
            hand_over_later(message)

    def hand_over_later(message: Any) -> None:
        timer = threading.Timer(_AGAIN_S, hand_over, (message,))
        timer.daemon = True
        timer.start()

    client.on_message = lambda _client, _data, message: hand_over(message)
    client.loop_start()
    try:
        yield
    finally:
        closing.set()
        client.disconnect()
        client.loop_stop()


def _client(url: str, name: str) -> Any:
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise InputError(
            "taking reports from a broker needs the Python package paho-mqtt", hint="make setup installs it"
        ) from None
    parts = urlsplit(url)
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"muster-{name}-reports", clean_session=False, manual_ack=True)
    if user := os.environ.get("MUSTER_BROKER_USER"):
        client.username_pw_set(user, os.environ.get("MUSTER_BROKER_PASSWORD"))
    if parts.scheme == "mqtts":
        client.tls_set()
    client.max_inflight_messages_set(_INFLIGHT)
    client.reconnect_delay_set(1, 60)

    def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _log.error("the broker %s refuses: %s", url, reason)
        else:
            client.subscribe(TOPIC, qos=1)

    def lost(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _log.warning("the broker %s is gone: %s; trying again", url, reason)

    def unreachable(_client: Any, _data: Any) -> None:
        _log.warning("the broker %s does not answer; trying again", url)

    client.on_connect, client.on_disconnect, client.on_connect_fail = connected, lost, unreachable
    client.connect_async(parts.hostname or "localhost", parts.port or _PORTS[parts.scheme])
    return client
