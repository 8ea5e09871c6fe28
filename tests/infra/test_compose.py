"""The compose file, and what it leans on: variables, mounted files, start-up scripts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from registry.database import metadata, open_database
from tests.infra.processes import free_port, listens, started, until


@pytest.mark.slow
def test_the_compose_file_keeps_to_the_compose_specification(infra: Path) -> None:
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*tool, str(infra / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_yaml_file_of_the_infrastructure_is_lint_free(checkout: Path) -> None:
    files = ["infra", "prefect.yaml", "dvc.yaml", ".pre-commit-config.yaml", ".yamllint.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "-s", *files], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_environment_names_every_variable_of_the_compose_file(infra: Path) -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (infra / "compose.yaml").read_text()))
    assert wanted
    assert wanted <= _variables(infra)


def test_the_example_environment_has_no_secret(infra: Path) -> None:
    secrets = {name for name in _variables(infra) if re.search(r"PASSWORD|SECRET|KEY_ID|AUTH", name)}
    assert len(secrets) >= 4
    for line in (infra / "env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        assert name not in secrets or not value, line


@pytest.mark.slow
def test_every_prefect_variable_is_a_setting_of_prefect(infra: Path) -> None:
    """Prefect passes over names it does not know, so a misspelt one would switch nothing."""
    text = (infra / "compose.yaml").read_text() + (infra / "env.example").read_text()
    code = (
        "from prefect.settings import Settings\n"
        "from prefect.settings.legacy import _get_settings_fields\n"
        "print(*_get_settings_fields(Settings))"
    )
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(re.findall(r"\bPREFECT_\w+", text)) <= set(known)


def test_every_port_is_bound_to_loopback(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    for port in ports:
        assert str(port).startswith("127.0.0.1:"), port


def test_every_image_has_an_exact_version(services: dict[str, Any]) -> None:
    for service in services.values():
        assert re.search(r":v?\d+(\.\d+)+", service["image"]), service["image"]


def test_every_mounted_file_is_here_or_its_making_is_documented(infra: Path, services: dict[str, Any], checkout: Path) -> None:
    """Compose makes an empty folder in the place of a file that is not there, and the service fails over it."""
    mounted = [volume.split(":")[0] for s in services.values() for volume in s.get("volumes", []) if volume.startswith("./")]
    assert mounted
    for name in mounted:
        made_by_hand = name.removeprefix("./") in (checkout / "docs/operator.md").read_text()
        assert (infra / name).is_file() or made_by_hand, name


@pytest.mark.slow
def test_the_start_up_script_makes_databases_that_the_registry_can_use(postgresql: str, infra: Path, workspace_url: str) -> None:
    psql = ["psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-d", postgresql]
    subprocess.run([*psql, "-f", str(infra / "postgres-init.sql")], check=True, capture_output=True)
    listed = subprocess.run([*psql, "-At", "-c", "SELECT datname FROM pg_database"], check=True, capture_output=True, text=True)
    assert {"mlflow", "prefect", "registry"} <= set(listed.stdout.split())
    engine = open_database(workspace_url.format(server=postgresql.removeprefix("postgresql://").rpartition("/")[0]))
    with engine.connect() as connection:
        assert set(metadata.tables) <= set(engine.dialect.get_table_names(connection))
    engine.dispose()


@pytest.fixture
def workspace_url(infra: Path) -> str:
    """The address in the example environment, with a place for user and server."""
    line = next(n for n in (infra / "env.example").read_text().splitlines() if n.startswith("MUSTER_DATABASE_URL="))
    return re.sub(r"//[^/]+/", "//{server}/", line.partition("=")[2])


def test_the_object_store_of_the_compose_file_has_the_bucket_that_mlflow_writes_to(
    services: dict[str, Any], tmp_path: Path
) -> None:
    """The commands of the compose file, run here: the one-shot makes the bucket, the server serves it."""
    import boto3

    access, secret, port = "A" * 16, "S" * 32, free_port()
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert rclone is not None
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    (tmp_path / "data").mkdir()

    def here(service: str) -> list[str]:
        command = re.sub(r"\$\{AWS_ACCESS_KEY_ID[^}]*\}", access, services[service]["command"])
        command = re.sub(r"\$\{AWS_SECRET_ACCESS_KEY[^}]*\}", secret, command)
        return [rclone, *command.replace("/data", str(tmp_path / "data")).replace(":9000", f"127.0.0.1:{port}").split()]

    subprocess.run(here("buckets"), check=True, env=environment, capture_output=True)
    log = tmp_path / "s3.log"
    with started(here("s3"), log, cwd=tmp_path, env=environment) as server:
        until(lambda: listens(port), server, log, seconds=60)
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )
        bucket = re.search(r"--artifacts-destination s3://(\w+)", services["mlflow"]["command"])
        assert bucket is not None
        client.put_object(Bucket=bucket[1], Key="a/b", Body=b"weights")
        assert client.get_object(Bucket=bucket[1], Key="a/b")["Body"].read() == b"weights"


def _variables(infra: Path) -> set[str]:
    lines = (infra / "env.example").read_text().splitlines()
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
