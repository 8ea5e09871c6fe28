"""What a device has to say arrives: later if need be, more than once if need be, and never less than once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.workspace import Workspace
from components.workspace.errors import InputError
from registry.contract.report import Report
from registry.contract.signed_report import open_signed
from registry.device import Facts, Unreachable
from registry.device.outbox import Outbox
from registry.device.uplink import Sent, check_address, send
from registry.health.broker import TOPIC
from tests.registry.cli import Run
from tests.registry.reporting import cohort, counted, key_of
from tests.registry.servers import raw_server
from tests.registry.test_api import served
from tests.registry.test_broker import broker, until  # noqa: F401 -- a fixture
from tests.registry.test_commands import document
from tests.registry.workspaces import gateway_artefact

FACTS = Facts(
    device_id="gw-1",
    fleet="north",
    firmware_variant="gateway-v2",
    hardware_profile="gateway",
    firmware_version="2.1.0",
    runtime="onnxruntime",
)


def put(outbox: Outbox, outcome: str = "running", device_id: str = "gw-1", **said: Any) -> Report | None:
    return outbox.put(
        **{
            "rollout_id": "north-r1",
            "device_id": device_id,
            "firmware_variant": "gateway-v2",
            "sequence_number": 1,
            "attempt": 1,
            "boot_id": "boot-1",
            "sent_at": "2026-11-21T12:00:00Z",
            "outcome": outcome,
            "reason": "self_test_failed" if outcome == "failed" else None,
            "running_sha256": gateway_artefact().sha256,
            "self_test_passed": outcome != "failed",
        }
        | said
    )


def waits(outbox: Outbox) -> list[tuple[int, str]]:
    return [(r.counter, r.outcome) for r in (open_signed(w.envelope).report for w in outbox.waiting())]


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "device", key_of("gw-1"))


Answer = Callable[[list[bytes]], tuple[int, Any]]


@contextmanager
def registry_that(answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers a batch as told: (its address, every envelope that it got)."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: Any) -> None: ...

        def do_POST(self) -> None:
            lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
            got.extend(lines)
            status, value = answers(lines)
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def each(*words: str) -> Answer:
    def answer(lines: list[bytes]) -> tuple[int, Any]:
        said = [{"line": i, "answer": words[i % len(words)]} for i in range(len(lines))]
        return 207, {"schema_version": 1, "answers": said}

    return answer


def test_a_report_is_on_the_disk_before_it_is_sent_and_is_sent_again_as_it_was(outbox: Outbox, tmp_path: Path) -> None:
    put(outbox, "installed")
    with pytest.raises(Unreachable):
        send(outbox, "http://127.0.0.1:1", FACTS)
    restarted = Outbox(tmp_path / "device", key_of("gw-1"))
    (before,) = restarted.waiting()
    with registry_that(each("accepted")) as (url, got):
        assert send(restarted, url, FACTS) == Sent(acknowledged=1)
    assert got == [before.envelope]
    assert restarted.waiting() == []


def test_only_what_was_answered_is_forgotten(outbox: Outbox) -> None:
    for _ in range(5):
        put(outbox, "failed")
    with registry_that(each("accepted", "not_enrolled", "duplicate", "malformed", "unknown_device")) as (url, _):
        sent = send(outbox, url, FACTS)
    assert sent == Sent(2, 1, 2, ("malformed", "not_enrolled", "unknown_device"))
    assert waits(outbox) == [(2, "failed"), (5, "failed")]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: (503, {"error": "busy"}),
        lambda _: (404, {}),
        lambda _: (202, {"answers": []}),
        lambda _: (202, ["accepted"]),
        lambda lines: (202, {"answers": [{"answer": "accepted"}] * (len(lines) + 1)}),
        lambda _: (200, "welcome to the hotel's network"),
    ],
)
def test_an_answer_that_is_not_the_registrys_loses_nothing(outbox: Outbox, answer: Answer) -> None:
    put(outbox, "installed")
    with registry_that(answer) as (url, _), pytest.raises(Unreachable):
        send(outbox, url, FACTS)
    assert waits(outbox) == [(1, "installed")]


def test_a_registry_that_drips_holds_no_device(outbox: Outbox) -> None:
    put(outbox)
    with raw_server(b"HTTP/1.1 202 OK\r\n", b"X", 0.02) as url, pytest.raises(Unreachable):
        send(outbox, url, FACTS, deadline_s=0.3)
    assert len(outbox.waiting()) == 1


def test_a_long_backlog_has_the_time_that_its_bytes_take(outbox: Outbox) -> None:
    """Else a slow link would never get rid of it."""
    for _ in range(100):
        put(outbox)

    def late(lines: list[bytes]) -> tuple[int, Any]:
        time.sleep(1)
        return each("accepted")(lines)

    with registry_that(late) as (url, _):
        assert send(outbox, url, FACTS, deadline_s=0.1).acknowledged == 100


@pytest.mark.slow
def test_many_reports_go_in_few_requests_oldest_first(outbox: Outbox) -> None:
    for _ in range(250):
        put(outbox)
    requests = []

    def count(lines: list[bytes]) -> tuple[int, Any]:
        requests.append(len(lines))
        return each("accepted")(lines)

    with registry_that(count) as (url, got):
        assert send(outbox, url, FACTS).acknowledged == 250
    assert len(requests) == 3
    assert [open_signed(e).report.counter for e in got] == list(range(1, 251))


@pytest.mark.slow
@given(st.lists(st.sampled_from(["running", "running", "running", "failed", "installed"]), max_size=30), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_a_full_outbox_gives_up_old_statements_of_health_and_no_outcome(
    tmp_path_factory: pytest.TempPathFactory, outcomes: list[str], capacity: int
) -> None:
    outbox = Outbox(tmp_path_factory.mktemp("outbox"), key_of("gw-1"), capacity)
    for outcome in outcomes:
        put(outbox, outcome)
    kept, results = waits(outbox), [o for o in outcomes if o != "running"]
    assert [o for _, o in kept if o != "running"] == results
    assert len(kept) <= max(capacity, len(results))
    counters = [c for c, _ in kept]
    assert counters == sorted(set(counters))
    made = [c for c, o in kept if o == "running"]
    if made and len(made) < outcomes.count("running"):
        assert len(kept) == capacity, "something was dropped although there was room"


def test_a_damaged_counter_is_not_started_again(outbox: Outbox, tmp_path: Path) -> None:
    put(outbox)
    (tmp_path / "device/counter.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        put(outbox)


@pytest.mark.parametrize("url", ["ftp://host", "host:8300", "mqtt://", "folder/x"])
def test_only_http_and_mqtt_are_places_to_report_to(url: str) -> None:
    with pytest.raises(InputError, match="cannot be sent"):
        check_address(url)


def test_a_broker_that_is_gone_loses_nothing(outbox: Outbox) -> None:
    pytest.importorskip("paho.mqtt.client")
    put(outbox, "installed")
    with pytest.raises(Unreachable):
        send(outbox, "mqtt://127.0.0.1:1", FACTS)
    assert waits(outbox) == [(1, "installed")]


def test_by_mqtt_a_report_is_forgotten_when_the_broker_has_it(outbox: Outbox, broker: str) -> None:  # noqa: F811
    mqtt = pytest.importorskip("paho.mqtt.client")
    got: list[tuple[str, bytes]] = []
    listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    ready = threading.Event()
    listener.on_subscribe = lambda *_: ready.set()
    listener.on_message = lambda _c, _d, message: got.append((message.topic, bytes(message.payload)))
    listener.connect("127.0.0.1", int(broker.rpartition(":")[2]))
    listener.loop_start()
    listener.subscribe(TOPIC, qos=1)
    assert ready.wait(30)
    put(outbox, "started")
    put(outbox, "installed")
    expected = [("muster/north/gw-1/report", w.envelope) for w in outbox.waiting()]
    assert send(outbox, broker, FACTS) == Sent(acknowledged=2)
    until(lambda: len(got) == 2)
    assert got == expected
    assert outbox.waiting() == []
    listener.disconnect()
    listener.loop_stop()


@pytest.mark.slow
def test_from_the_command_line_a_device_updates_offline_and_reports_later(fleet: Workspace, muster: Run, tmp_path: Path) -> None:
    """Enrolled, updated while the registry was down, heard when it is up: and then it is counted as what runs."""
    device, key = cohort(fleet)[0], tmp_path / "device.key"
    muster("device", "enroll", device, fleet.root, "--make-key", key, "--replace")
    who = (fleet.root, "--device", device, "--key", key)
    code, output, error = muster("device", "update", *who, "--report-to", "http://127.0.0.1:1", "--json")
    assert (code, "they wait for the next time" in error) == (0, True)
    assert document(output)["running_sha256"] == gateway_artefact().sha256
    assert muster("device", "report", *who, "--report-to", "http://127.0.0.1:1")[0] == 6
    with served(fleet) as (url, _):
        code, output, _ = muster("device", "report", *who, "--report-to", url, "--drift-milli", 120, "--json")
        assert (code, document(output)) == (0, {"acknowledged": 4, "refused": 0, "refusals": [], "waiting": 0})
    (row,) = counted(fleet)
    assert (row["device_id"], row["outcome"], row["running_sha256"]) == (device, "running", gateway_artefact().sha256)
    assert (row["drift_milli"], row["reports"]) == (120, 4)
    assert row["latency_us"] > 0


def test_a_statement_of_health_says_what_was_measured(fleet: Workspace, muster: Run, tmp_path: Path) -> None:
    device, key, metrics = cohort(fleet)[0], tmp_path / "device.key", tmp_path / "metrics.json"
    muster("device", "enroll", device, fleet.root, "--make-key", key, "--replace")
    who = (fleet.root, "--device", device, "--key", key)
    assert muster("device", "report", *who)[0] == 5, "nothing runs yet that is known"
    muster("device", "update", *who)
    metrics.write_text('{"errors": 2, "anomaly_milli": 15}')
    code, output, _ = muster("device", "report", *who, "--metrics", metrics, "--latency-us", 77, "--json")
    assert (code, document(output)["waiting"]) == (0, 3)
    outbox = Outbox(fleet.state / "devices" / device, key_of(device))
    last = open_signed(outbox.waiting()[-1].envelope).report
    assert (last.outcome, last.errors, last.anomaly_milli, last.latency_us) == ("running", 2, 15, 77)
    assert last.self_test_passed
    metrics.write_text('{"errors": 2, "anomaly_milli": 1.5}')
    code, _, error = muster("device", "report", *who, "--metrics", metrics)
    assert (code, "key anomaly_milli" in error) == (2, True)


def test_a_device_whose_only_slot_decayed_is_told_to_install_anew(fleet: Workspace, muster: Run, tmp_path: Path) -> None:
    """Whether the device noticed it, or the slot is gone altogether."""
    device, key = cohort(fleet)[0], tmp_path / "device.key"
    muster("device", "enroll", device, fleet.root, "--make-key", key, "--replace")
    who = (fleet.root, "--device", device, "--key", key)
    assert muster("device", "update", *who)[0] == 0
    slot = fleet.state / "devices" / device / "slots/a"
    whole = slot.read_bytes()
    slot.unlink()
    code, _, error = muster("device", "report", *who)
    assert (code, "damaged or gone" in error, "device.json" in error) == (5, True, False)
    slot.write_bytes(whole[:-1])
    muster("device", "update", *who)
    code, _, error = muster("device", "report", *who)
    assert (code, "damaged or gone" in error, "device.json" in error) == (5, True, False)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--answer", "perhaps"), 2, "what was the answer?"),
        (("--answer", "failed", "--reason", "because"), 2, "'because' is no reason"),
        (("--answer", "installed"), 5, "nothing was handed over"),
        (("--report-to", "ftp://host"), 2, "cannot be sent"),
        (("--metrics", "nowhere.json"), 3, "no metrics"),
        (("--key", "nowhere.key"), 3, "no key in"),
    ],
)
def test_what_cannot_be_reported_is_a_short_error(
    fleet: Workspace,
    muster: Run,
    tmp_path: Path,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    device, key = cohort(fleet)[0], tmp_path / "device.key"
    muster("device", "enroll", device, fleet.root, "--make-key", key, "--replace")
    got, _, error = muster("device", "report", fleet.root, "--device", device, "--key", key, *options)
    assert (got, message in error) == (code, True)
    assert "bug" not in error
