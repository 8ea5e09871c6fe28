"""The door for devices: whatever comes through it, it answers, counts once, and stays open."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from components.workspace import Workspace, open_workspace
from components.workspace.errors import Conflict
from registry.api import application, bodies, running, stop
from registry.api.operators import operators_token, token_file
from registry.api.reports import MAX_BYTES, MAX_LINES, NDJSON
from registry.api.serving import wait_until
from registry.contract.enrolment import sign_request
from registry.database import open_database
from registry.health.desk import WAITING, Desk
from registry.health.enrolment import enroll, revoke
from registry.health.intake import Intake, Taken
from tests.registry.cli import Run
from tests.registry.reporting import cohort, counted, installed, key_of, public, signed
from tests.registry.test_commands import document

MANY = {"content-type": NDJSON}


@pytest.fixture
def door(fleet: Workspace) -> Iterator[TestClient]:
    engine = open_database(fleet.database_url)
    with Desk(Intake(engine)) as desk, TestClient(application(fleet, engine, desk), raise_server_exceptions=False) as client:
        yield client


@contextmanager
def served(workspace: Workspace) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`muster up` as a process of its own: (address, process)."""
    command = [sys.executable, "-m", "muster", "up", str(workspace.root), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    try:
        yield json.loads("".join(lines) or "{}")["data"]["url"], process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        process.stdout.close()
        process.stderr.close()


def test_a_report_is_counted_when_it_is_answered_and_once(door: TestClient, fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    for answer in ("accepted", "duplicate"):
        said = door.post("/v1/reports", content=installed(fleet, device))
        assert (said.status_code, said.json()) == (202, {"schema_version": 1, "answer": answer})
        assert [(r["device_id"], r["reports"]) for r in counted(fleet)] == [(device, 1)]


def test_each_line_of_a_batch_has_its_answer(door: TestClient, fleet: Workspace) -> None:
    first, second = cohort(fleet)[:2]
    lines = [signed(first), signed(first, errors=1), b"nonsense", signed("gw-999"), signed(second), signed(second)]
    said = door.post("/v1/reports", content=b"\n".join(lines) + b"\n\n", headers=MANY)
    assert said.status_code == 207
    answers = ["accepted", "conflict", "malformed", "unknown_device", "accepted", "duplicate"]
    assert said.json()["answers"] == [{"line": i, "answer": a} for i, a in enumerate(answers, start=1)]
    again = door.post("/v1/reports", content=signed(first) + b"\n" + signed(second), headers=MANY)
    assert (again.status_code, {a["answer"] for a in again.json()["answers"]}) == (202, {"duplicate"})


def test_a_refusal_says_why_by_status_and_word(door: TestClient, fleet: Workspace) -> None:
    inside = cohort(fleet)
    revoke(fleet, inside[1], "stolen", "ana")
    enroll(fleet, inside[2], public(inside[2], 2), "ana", replace=True)
    for data, status, answer in (
        (b"", 400, "malformed"),
        (b"{}", 400, "malformed"),
        (signed("gw-999"), 404, "unknown_device"),
        (signed(inside[0], rollout_id="north-r9"), 404, "unknown_rollout"),
        (signed(inside[1]), 403, "revoked"),
        (signed(inside[2]), 403, "replaced_key"),
        (signed(inside[0], by="gw-999"), 403, "bad_signature"),
        (signed(inside[0], firmware_variant="gateway-v3"), 422, "wrong_variant"),
        (signed(cohort(fleet, inside=False)[0]), 422, "not_in_cohort"),
    ):
        said = door.post("/v1/reports", content=data)
        assert (said.status_code, said.json().get("answer")) == (status, answer)
    assert counted(fleet) == []


def test_what_is_too_much_is_refused(door: TestClient) -> None:
    assert door.post("/v1/reports", content=b"x" * (MAX_BYTES + 1)).status_code == 413
    assert door.post("/v1/reports", content=b"x\n" * (MAX_LINES + 1), headers=MANY).status_code == 400
    assert door.post("/v1/reports", content=b"\n\n", headers=MANY).status_code == 400
    assert door.post("/v1/enrol", content=b"x" * 5000).status_code == 413
    assert door.get("/v1/reports").status_code == 405
    assert door.get("/v1/nothing").json() == {"schema_version": 1, "error": "Not Found"}
    assert door.get("/v1/healthz").json()["status"] == "ok"


def test_a_device_enrols_itself_and_reports(door: TestClient, fleet: Workspace, muster: Run) -> None:
    device = cohort(fleet, "node-v2")[0]
    assert door.post("/v1/enrol", content=sign_request(device, "made up", key_of(device))).status_code == 403
    token = muster("device", "token", fleet.root, "--fleet", "north")[1].strip()
    assert [door.post("/v1/enrol", content=sign_request(device, token, key_of(device))).status_code for _ in range(2)] == [
        201,
        200,
    ]
    other = door.post("/v1/enrol", content=sign_request("gw-001", token, key_of("gw-001")))
    assert (other.status_code, other.json()["error"]) == (403, "the token was used already")
    assert door.post("/v1/enrol", content=b"{}").status_code == 400
    assert door.post("/v1/reports", content=signed(device, firmware_variant="node-v2")).status_code == 202


def test_people_see_releases_with_the_operators_token_only(door: TestClient, fleet: Workspace) -> None:
    door.post("/v1/reports", content=signed(cohort(fleet)[0]))
    assert stat.S_IMODE(token_file(fleet).stat().st_mode) == 0o600
    token = operators_token(fleet)
    for wrong in ({}, {"authorization": f"Basic {token}"}, {"authorization": "Bearer "}, {"authorization": f"Bearer {token}x"}):
        for path in ("/v1/releases", "/v1/releases/north-r1", "/v1/fleets/north"):
            assert door.get(path, headers=wrong).status_code == 401
    mine = {"authorization": f"Bearer {token}"}
    assert [r["id"] for r in door.get("/v1/releases", headers=mine).json()["data"]] == ["north-r1"]
    variants = door.get("/v1/releases/north-r1", headers=mine).json()["data"]["health"]["releases"][0]["variants"]
    assert {v["variant"]: v["outcomes"] for v in variants}["gateway-v2"] == {"failed": 1}
    assert door.get("/v1/releases/north-r9", headers=mine).status_code == 404
    assert door.get("/v1/fleets/north", headers=mine).json()["data"]["devices"] == 24
    assert door.get("/v1/fleets/south", headers=mine).status_code == 404


def test_a_database_that_fails_promises_nothing(fleet: Workspace) -> None:
    """The device keeps its report and delivers it again."""
    engine = open_database(fleet.database_url)
    device = cohort(fleet)[0]
    with Desk(Intake(engine)) as desk, TestClient(application(fleet, engine, desk), raise_server_exceptions=False) as door:
        with engine.connect() as connection, connection.begin():
            connection.execute(sa.text("ALTER TABLE report_keys RENAME TO gone"))
        refused = door.post("/v1/reports", content=signed(device))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        with engine.connect() as connection, connection.begin():
            connection.execute(sa.text("ALTER TABLE gone RENAME TO report_keys"))
        assert counted(fleet) == []
        assert door.post("/v1/reports", content=signed(device)).json()["answer"] == "accepted"


class _Stuck:
    """An intake that waits until it may go on."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def take(self, deliveries: list[bytes]) -> Taken:
        self.begun.set()
        assert self.go.wait(30)
        self.batches.append(len(deliveries))
        return Taken(tuple(str(int(d)) for d in deliveries))


def test_what_waits_is_taken_together_each_gets_its_own_answer_and_too_much_is_refused() -> None:
    intake = _Stuck()
    with Desk(intake) as desk:  # type: ignore[arg-type]
        first = desk.submit([b"1"])
        assert intake.begun.wait(30)
        later = [desk.submit([b"2", b"3"]), desk.submit([b"4"])]
        with pytest.raises(Conflict, match="too many"):
            desk.submit([b"0"] * WAITING)
        intake.go.set()
    assert [f.result() for f in (first, *later)] == [("1",), ("2", "3"), ("4",)]
    assert intake.batches == [1, 3]
    with pytest.raises(Conflict):
        desk.submit([b"5"])


class _Choking(_Stuck):
    """Chokes on "13", whoever else is in the batch."""

    def take(self, deliveries: list[bytes]) -> Taken:
        taken = super().take(deliveries)
        if b"13" in deliveries:
            raise ValueError("bad luck")
        return taken


def test_one_that_cannot_be_taken_harms_no_other() -> None:
    intake = _Choking()
    with Desk(intake) as desk:  # type: ignore[arg-type]
        desk.submit([b"0"])
        assert intake.begun.wait(30)
        first, bad, last = desk.submit([b"1"]), desk.submit([b"13"]), desk.submit([b"2"])
        intake.go.set()
    assert (first.result(), last.result()) == (("1",), ("2",))
    with pytest.raises(ValueError, match="bad luck"):
        bad.result()


@pytest.mark.slow
def test_senders_that_lie_drip_or_vanish_do_not_stop_the_server(fleet: Workspace) -> None:
    device = cohort(fleet)[0]
    good = signed(device)
    head = b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: "
    with served(fleet) as (url, process):
        port = int(url.rpartition(":")[2])
        dripping = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for one in dripping:
            one.sendall(head + b"900\r\n\r\n{")
        for sent in (
            b"\x00\xff garbage\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            head + b"-5\r\n\r\n",
            head + b"99999999999999999999\r\n\r\nx",
            b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
            head + str(len(good)).encode() + b"\r\n\r\n" + good[:100],
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                try:
                    while client.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
        assert httpx.post(f"{url}/v1/reports", content=good).json()["answer"] == "accepted"
        for one in dripping:
            one.close()
        assert process.poll() is None


def test_a_body_that_takes_too_long_is_given_up() -> None:
    import asyncio

    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read() -> bytes:
        return await bodies.read(Request({"type": "http", "method": "POST", "headers": []}, drip), 1000, seconds=0.1)

    with pytest.raises(HTTPException) as caught:
        asyncio.run(read())
    assert caught.value.status_code == 408


@pytest.mark.slow
def test_killed_between_commit_and_answer_the_same_report_is_a_duplicate(fleet: Workspace) -> None:
    """The database has it; the device heard nothing, delivers again to the next server, and is counted once."""
    device = cohort(fleet)[0]
    sent = signed(device)
    with served(fleet) as (url, process):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            head = f"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent)}\r\n\r\n".encode()
            client.sendall(head + sent)
            assert wait_until(lambda: bool(counted(fleet)), 30)
            process.kill()
    assert process.wait() == -signal.SIGKILL
    with served(fleet) as (url, _):
        assert httpx.post(f"{url}/v1/reports", content=sent).json()["answer"] == "duplicate"
    assert [(r["device_id"], r["reports"]) for r in counted(fleet)] == [(device, 1)]


@pytest.mark.slow
def test_up_serves_until_it_is_told_to_stop(fleet: Workspace, muster: Run) -> None:
    root = fleet.root
    assert muster("down", root)[1] == "nothing was running\n"
    code, output, _ = muster("up", root, "--port", 0, "--detach", "--json")
    server = document(output)
    try:
        assert (code, httpx.get(f"{server['url']}/v1/healthz").status_code) == (0, 200)
        assert muster("up", root, "--port", 0)[0] == muster("up", root, "--port", 0, "--detach")[0] == 5
        assert httpx.post(f"{server['url']}/v1/reports", content=signed(cohort(fleet)[0])).status_code == 202
    finally:
        code, output, _ = muster("down", root, "--json")
    assert (code, document(output)) == (0, {"stopped": True, "pid": server["pid"]})
    assert running(fleet) is None
    assert stop(fleet) is None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert muster("up", root, "--port", taken.getsockname()[1])[0] == 5
    assert muster("up", root, "--host", "no.such.host.invalid")[0] == 2


@pytest.mark.slow
def test_ctrl_c_is_a_normal_end(fleet: Workspace) -> None:
    with served(fleet) as (_, process):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_unsigned_reports_are_for_loopback_only(fleet: Workspace, muster: Run) -> None:
    with (fleet.root / "muster.yaml").open("a") as file:
        file.write("registry:\n  reports: {require_signatures: false}\n")
    code, _, error = muster("up", fleet.root, "--host", "0.0.0.0", "--port", "0")  # noqa: S104 -- refused
    assert (code, "require_signatures" in error) == (2, True)
    text = (fleet.root / "muster.yaml").read_text().replace("false}", 'false, broker: "mqtt://192.0.2.1"}')
    (fleet.root / "muster.yaml").write_text(text)
    open_workspace(fleet.root)
    assert muster("up", fleet.root, "--port", "0")[0] == 2


def test_health_by_the_command_line(door: TestClient, fleet: Workspace, muster: Run) -> None:
    first, second, *silent = cohort(fleet)
    lines = [installed(fleet, first), signed(second), signed(cohort(fleet, inside=False)[0]), b"junk"]
    door.post("/v1/reports", content=b"\n".join(lines), headers=MANY)
    code, output, _ = muster("fleet", "health", fleet.root, "--json")
    health = document(output)
    variant = {v["variant"]: v for v in health["releases"][0]["variants"]}["gateway-v2"]
    assert (code, variant["outcomes"], variant["silent"]) == (0, {"failed": 1, "installed": 1}, silent)
    assert {r["reason"]: r["deliveries"] for r in health["rejections"]} == {"malformed": 1, "not_in_cohort": 1}
    code, output, _ = muster("fleet", "health", fleet.root, "--fleet", "north", "--limit", "1")
    assert (code, "1 failed, 1 installed" in output, "not_in_cohort" in output, f"{silent[0]}" in output) == (0, True, True, True)
    assert muster("fleet", "health", fleet.root, "--release", "north-r1", "--json")[0] == 0
    assert muster("fleet", "health", fleet.root, "--release", "north-r9")[0] == 3
    assert muster("fleet", "health", fleet.root, "--fleet", "south")[0] == 3
