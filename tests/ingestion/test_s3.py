"""The same objects from a bucket: over moto in this process, and over rclone's S3 server."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from components.ingestion import objects
from components.ingestion.ingest import ingest, listing
from components.workspace import Workspace
from components.workspace.errors import BackendUnreachable, NotFound
from tests.ingestion.small import telemetry, upload, workspace

KEY = "MUSTERTESTKEY001"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    return workspace(tmp_path / "w", storage={"source": "s3://telemetry/raw/"})


def fill(folder: Path, endpoint: str) -> None:
    client = boto3.session.Session().client("s3", region_name="us-east-1", endpoint_url=endpoint)
    client.create_bucket(Bucket="telemetry")
    frame = telemetry()
    for name, part in (("raw/a.parquet", frame.iloc[:300]), ("raw/sub/b.parquet", frame.iloc[300:]), ("other/c.parquet", frame)):
        upload(folder / "up.parquet", part)
        client.put_object(Bucket="telemetry", Key=name, Body=(folder / "up.parquet").read_bytes())
    client.put_object(Bucket="telemetry", Key="raw/readme.txt", Body=b"not telemetry")


def check_listing_and_rows(made: Workspace) -> None:
    found = listing(made)
    assert [o.key for o in found] == ["raw/a.parquet", "raw/sub/b.parquet"]
    for name, fetched in (("first", 2), ("again", 0)):
        folder = made.root / name
        folder.mkdir()
        report = ingest(made, found, folder)
        assert (report.rows, report.fetched) == (len(telemetry()), fetched)


def test_a_bucket_is_a_source_like_a_folder(made: Workspace, moto: str, tmp_path: Path) -> None:
    fill(tmp_path, moto)
    check_listing_and_rows(made)


def test_every_page_of_a_long_listing_is_read(made: Workspace, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    client = boto3.session.Session().client("s3", region_name="us-east-1", endpoint_url=moto)
    client.create_bucket(Bucket="telemetry")
    for number in range(12):
        client.put_object(Bucket="telemetry", Key=f"raw/{number:04d}.parquet", Body=b"x")
    assert len(listing(made)) == 12


def test_an_object_that_changed_since_it_was_listed_is_not_taken_for_the_old_one(
    made: Workspace, moto: str, tmp_path: Path
) -> None:
    fill(tmp_path, moto)
    found = listing(made)
    client = boto3.session.Session().client("s3", region_name="us-east-1", endpoint_url=moto)
    client.put_object(Bucket="telemetry", Key="raw/a.parquet", Body=b"new")
    (made.root / "out").mkdir()
    with pytest.raises(NotFound, match=r"a\.parquet changed while it was ingested"):
        ingest(made, found, made.root / "out")


def test_a_missing_bucket_and_an_empty_prefix_are_not_found(made: Workspace, moto: str) -> None:
    with pytest.raises(NotFound, match="NoSuchBucket"):
        listing(made)
    boto3.session.Session().client("s3", region_name="us-east-1", endpoint_url=moto).create_bucket(Bucket="telemetry")
    with pytest.raises(NotFound, match=r"no \.parquet objects below s3://telemetry/raw/"):
        listing(made)


def test_missing_credentials_say_which_variables_to_set(made: Workspace, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(BackendUnreachable) as caught:
        listing(made)
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    assert caught.value.exit_code == 6


def test_a_server_that_is_not_there_is_unreachable_after_bounded_attempts(
    made: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_ATTEMPTS", 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(BackendUnreachable, match="Could not connect"):
        listing(made)


def test_an_endpoint_that_is_no_address_is_explained(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(BackendUnreachable) as caught:
        listing(made)
    assert "AWS_ENDPOINT_URL" in caught.value.hint


@pytest.mark.slow
def test_rclone_serves_the_same_rows(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or pytest.skip("no rclone here")
    (tmp_path / "disk").mkdir()
    port = free_port()
    command = [binary, "serve", "s3", str(tmp_path / "disk"), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{KEY}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            fill(tmp_path, f"http://127.0.0.1:{port}")
            check_listing_and_rows(made)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "WRONGTESTKEY0001")
            with pytest.raises(BackendUnreachable, match="access denied"):
                listing(made)
        finally:
            server.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float = 20) -> None:
    """Until something listens on ``port``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail(f"nothing listens on port {port}")
