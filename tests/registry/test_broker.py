"""Reports by MQTT, on a real Mosquitto: acknowledged when they are counted, and what nobody acknowledged comes again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.workspace import Workspace
from registry.database import open_database
from registry.health.desk import Desk
from registry.health.intake import Intake, Taken
from tests.registry.reporting import cohort, counted, signed
from tests.registry.test_api import served

mqtt = pytest.importorskip("paho.mqtt.client", reason="the MQTT client is not installed (make setup)")

from registry.health import broker as intake_by_broker  # noqa: E402

_MOSQUITTO = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
pytestmark = pytest.mark.skipif(_MOSQUITTO is None, reason="no Mosquitto (Debian: mosquitto)")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    assert _MOSQUITTO is not None
    process = subprocess.Popen([_MOSQUITTO, "-c", str(settings)], stderr=subprocess.DEVNULL)
    until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
    yield f"mqtt://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def publish(url: str, *deliveries: bytes) -> None:
    """As devices do: QoS 1, and done when the broker has them all."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", int(url.rpartition(":")[2]))
    client.loop_start()
    for sent in [client.publish("muster/north/gw/report", data, qos=1) for data in deliveries]:
        sent.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


@pytest.mark.slow
def test_up_takes_reports_from_the_broker_too(fleet: Workspace, broker: str) -> None:
    """Also those that came while nobody served; and the same report by both ways is one."""
    with (fleet.root / "muster.yaml").open("a") as file:
        file.write(f"registry:\n  reports: {{broker: '{broker}'}}\n")
    devices = cohort(fleet)
    with served(fleet):
        publish(broker, *(signed(d) for d in devices), b"junk", signed(devices[0]))
        until(lambda: len(counted(fleet)) == len(devices))
    publish(broker, *(signed(d, 2) for d in devices))
    with served(fleet):
        until(lambda: all(r["reports"] == 2 for r in counted(fleet)))


class _Failing(Intake):
    """The first batches cannot be committed."""

    failures = 3

    def take(self, deliveries: list[bytes], now: int | None = None) -> Taken:  # type: ignore[override]
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        return super().take(deliveries, now)


@pytest.mark.slow
def test_what_could_not_be_counted_stays_with_the_broker_until_it_is(
    fleet: Workspace,
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, device = open_database(fleet.database_url), cohort(fleet)[0]
    down = _Failing(engine)
    down.failures = 1_000_000

    def heard() -> bool:
        publish(broker, signed(device))
        return down.failures < 1_000_000

    with Desk(down) as desk, intake_by_broker.take_from(broker, "w", desk):
        until(heard)
    assert counted(fleet) == []
    monkeypatch.setattr(intake_by_broker, "_AGAIN_S", 0.05)
    flaky = _Failing(engine)
    with Desk(flaky) as desk, intake_by_broker.take_from(broker, "w", desk):
        until(lambda: len(counted(fleet)) == 1)
    assert flaky.failures == 0
