"""Send what waits in the outbox, at least once: a report is forgotten only when it was acknowledged, or refused for good.

`http(s)://`: POST /v1/reports, many reports a request, an answer for each. `mqtt(s)://`: QoS 1 on
``muster/<fleet>/<device>/report``; the broker's acknowledgement says that it keeps the report until the registry has it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, urlsplit

from components.workspace.errors import InputError
from registry.contract.reasons import Reason
from registry.device.connection import connected
from registry.device.facts import Facts
from registry.device.fetcher import SLOWEST
from registry.device.outbox import Outbox, Waiting
from registry.device.refusal import Unreachable

DEADLINE_S = 30.0
_LINES = 100
_ANSWER = 1 << 16
"""Bytes of an answer that are read; one to `_LINES` lines takes a tenth."""
_GOOD = frozenset({"accepted", "duplicate"})
_MENDED = frozenset({"unknown_device", "unknown_rollout", "not_enrolled", "bad_signature"})
"""Refusals that an operator can end, by importing or enrolling the device: its reports wait for that."""
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Sent:
    """How many reports were acknowledged, refused for good and so forgotten, and still wait; ``refusals``: their words."""

    acknowledged: int = 0
    refused: int = 0
    waiting: int = 0
    refusals: tuple[str, ...] = ()


def check_address(url: str) -> str:
    """``url``, if reports can be sent there.

    Raises:
        InputError: another kind of address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", *_MQTT_PORTS) or not parts.hostname:
        raise InputError(f"reports cannot be sent to {url}", hint="give http(s)://HOST or mqtt(s)://HOST")
    return url


def send(outbox: Outbox, url: str, facts: Facts, *, deadline_s: float = DEADLINE_S) -> Sent:
    """Send all that waits, oldest first. ``deadline_s``: for one request beside what its bytes take at the slowest rate.

    Raises:
        Unreachable: there is no answer in time; what was not acknowledged waits for the next call.
        InputError: ``url`` is no address for reports, or the MQTT client is not installed.
    """
    parts, waiting = urlsplit(check_address(url)), outbox.waiting()
    answers: list[str] = []
    for at in range(0, len(waiting), _LINES):
        some = waiting[at : at + _LINES]
        seconds = deadline_s + sum(len(w.envelope) for w in some) / SLOWEST
        said = _by_mqtt(parts, some, facts, seconds) if parts.scheme in _MQTT_PORTS else _by_http(parts, some, seconds)
        for one, answer in zip(some, said, strict=True):
            if answer not in _MENDED:
                one.forget()
        answers += said
    kept = sum(a in _MENDED for a in answers)
    good = sum(a in _GOOD for a in answers)
    return Sent(good, len(answers) - good - kept, kept, tuple(sorted(set(answers) - _GOOD)))


def _by_http(parts: SplitResult, some: Sequence[Waiting], seconds: float) -> list[str]:
    """The answer for each."""
    path = f"{parts.path.rstrip('/')}/v1/reports"
    body = b"\n".join(w.envelope for w in some) + b"\n"
    with connected(parts, time.monotonic() + seconds, 0, seconds) as (connection, _):
        try:
            connection.request("POST", path, body, {"Content-Type": "application/x-ndjson"})
            response = connection.getresponse()
            status, data = response.status, response.read(_ANSWER)
        except (OSError, HTTPException, ValueError, AttributeError) as error:
            raise _no_answer(parts, str(error) or type(error).__name__) from None
    if status not in (202, 207):
        raise _no_answer(parts, f"HTTP status {status}")
    try:
        answers = [str(line["answer"]) for line in json.loads(data)["answers"]]
    except (ValueError, KeyError, TypeError):
        raise _no_answer(parts, "the answer is not that of a registry") from None
    if len(answers) != len(some):
        raise _no_answer(parts, f"{len(answers)} answers for {len(some)} reports")
    return answers


def _by_mqtt(parts: SplitResult, some: Sequence[Waiting], facts: Facts, seconds: float) -> list[str]:
    """The same answer for each; where the broker does not acknowledge one, those before it are forgotten already."""
    until = time.monotonic() + seconds
    client = _mqtt_client(parts, until)
    try:
        topic = f"muster/{facts.fleet}/{facts.device_id}/report"
        for one in some:
            sent = client.publish(topic, one.envelope, qos=1)
            sent.wait_for_publish(max(until - time.monotonic(), 0.001))
            if not sent.is_published():
                raise _no_answer(parts, "the broker does not acknowledge")
            one.forget()
    except (OSError, ValueError, RuntimeError) as error:
        raise _no_answer(parts, str(error)) from None
    finally:
        client.disconnect()
        client.loop_stop()
    return ["accepted"] * len(some)


def _mqtt_client(parts: SplitResult, until: float) -> Any:
    """Connected; user and password come from MUSTER_BROKER_USER and MUSTER_BROKER_PASSWORD."""
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise InputError(
            "reporting to a broker needs the Python package paho-mqtt", hint="install it, or report to an http(s) address"
        ) from None
    client = Client(CallbackAPIVersion.VERSION2)
    if user := os.environ.get("MUSTER_BROKER_USER"):
        client.username_pw_set(user, os.environ.get("MUSTER_BROKER_PASSWORD"))
    if parts.scheme == "mqtts":
        client.tls_set()
    client.connect_timeout = max(until - time.monotonic(), 0.1)
    try:
        client.connect(parts.hostname or "", parts.port or _MQTT_PORTS[parts.scheme])
    except (OSError, ValueError) as error:
        raise _no_answer(parts, str(error)) from None
    client.loop_start()
    return client


def _no_answer(parts: SplitResult, why: str) -> Unreachable:
    return Unreachable(Reason.UNREACHABLE, f"reports were not acknowledged by {parts.scheme}://{parts.netloc}: {why}")
