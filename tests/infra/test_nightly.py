"""`prefect.yaml` against a real Prefect server: deployed, picked up by a worker, run to drafted releases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from registry import rollout
from registry.contract.times import utc_now
from registry.inventory import import_devices
from tests.docs.workspaces import quick_pumps
from tests.flows.running import muster
from tests.infra.processes import free_port, started, until
from tests.registry.workspaces import make_workspace, release

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect-server")]


@dataclass(frozen=True)
class Server:
    """A Prefect server and the environment in which clients and workers find it."""

    api: str
    folder: Path
    environment: dict[str, str]

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- a loopback address of our own
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.api + path, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def healthy(self) -> bool:
        try:
            return self.get("/health") is True
        except OSError:
            return False

    def prefect(self, *args: str, cwd: Path) -> None:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *args]
        done = subprocess.run(command, cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"prefect {' '.join(args)}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "MUSTER_HOME": str(checkout),
    }
    server = Server(environment["PREFECT_API_URL"], folder, environment)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "server.log"
    with started(command, log, cwd=folder, env=environment) as process:
        until(server.healthy, process, log, seconds=240)
        server.prefect("work-pool", "create", "local-process", "--type", "process", cwd=checkout)
        yield server


def test_the_server_accepts_the_nulls_that_its_own_client_sends(server: Server) -> None:
    """From fastapi 0.151 on it answers 422, and `prefect deploy` dies: hence the bound in constraints.txt."""
    body = {"flows": None, "deployments": None, "flow_runs": None, "task_runs": None, "work_pools": None, "offset": 0}
    assert server.post("/deployments/filter", body) == (200, [])


def test_the_nightly_deployment_drafts_releases(server: Server, checkout: Path, tmp_path: Path) -> None:
    workspace = quick_pumps(checkout, tmp_path / "pumps")
    server.prefect("deploy", "--all", cwd=checkout)
    deployment = server.get("/deployments/name/train-and-release/nightly")
    assert [s["schedule"]["cron"] for s in deployment["schedules"]] == ["0 2 * * *"]
    status, run = server.post(
        f"/deployments/{deployment['id']}/create_flow_run",
        {"state": {"type": "SCHEDULED"}, "parameters": {"workspace": str(workspace)}},
    )
    assert status == 201, run
    log = server.folder / "worker.log"
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "local-process", "--run-once"]
    with started(worker, log, cwd=tmp_path, env=server.environment) as process:
        process.wait(timeout=600)
    assert _settled(server, run["id"])["type"] == "COMPLETED", log.read_text()[-5000:]
    releases = json.loads(muster("release", "list", workspace, "--json").stdout)["data"]
    assert {r["fleet"]: r["state"] for r in releases} == {
        "waterworks": "waiting_for_approval",
        "harbour": "waiting_for_approval",
    }


def test_the_gates_and_the_renewal_run_as_deployments(server: Server, checkout: Path, tmp_path: Path) -> None:
    """On a release that says by itself what is due: its canary may be held for want of a word from any device."""
    workspace = make_workspace(tmp_path / "w")
    import_devices(workspace)
    begun = release(workspace, now=utc_now() - timedelta(days=3))
    server.prefect("deploy", "--all", cwd=checkout)
    runs = []
    for name in ("tick/gates", "refresh/refresh"):
        deployment = server.get(f"/deployments/name/{name}")
        body = {"state": {"type": "SCHEDULED"}, "parameters": {"workspace": str(workspace.root)}}
        status, run = server.post(f"/deployments/{deployment['id']}/create_flow_run", body)
        assert status == 201, run
        runs.append(run["id"])
    log = server.folder / "gates.log"
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "local-process", "--run-once"]
    with started(worker, log, cwd=tmp_path, env=server.environment) as process:
        process.wait(timeout=600)
    assert [_settled(server, run)["type"] for run in runs] == ["COMPLETED"] * 2, log.read_text()[-5000:]
    assert rollout.show_release(workspace, begun.id).state == rollout.State.HELD
    assert rollout.verify(workspace).published


def _settled(server: Server, run: str) -> dict[str, Any]:
    """The state of a run, once it is final."""
    deadline = time.monotonic() + 60
    while True:
        state: dict[str, Any] = server.get(f"/flow_runs/{run}")["state"]
        if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} or time.monotonic() > deadline:
            return state
        time.sleep(0.5)
