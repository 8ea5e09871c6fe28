"""A device fetches little, and no server can hold it or fill it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from components.workspace import Workspace
from components.workspace.errors import InputError
from registry import rollout
from registry.contract.reasons import Reason
from registry.device import Refused, Unreachable, check
from registry.device.fetcher import base_url
from tests.registry.servers import folder_server, raw_server
from tests.registry.workspaces import canary, image_root, repository_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"


def ask(workspace: Workspace, place: str, state: Path, deadline_s: float = 60.0) -> object:
    known = canary(workspace, rollout.list_releases(workspace)[-1])
    return check(place, image_root(workspace), known, state, deadline_s=deadline_s)


def test_a_check_works_from_any_static_file_server(released: Workspace, tmp_path: Path) -> None:
    with folder_server(repository_of(released)) as served:
        assert ask(released, served.url, tmp_path).install


def test_when_nothing_changed_a_check_costs_two_requests_of_metadata(released: Workspace, tmp_path: Path) -> None:
    """Next root (not there) and timestamp; the manifest and the artefact are target files, fetched as they are used."""
    with folder_server(repository_of(released)) as served:
        ask(released, served.url, tmp_path)
        served.requests.clear()
        ask(released, served.url, tmp_path)
    assert [r for r in served.requests if "/metadata/" in r] == ["/metadata/2.root.json", "/metadata/timestamp.json"]


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", HEAD], ids=["no answer", "headers", "body"])
def test_a_server_that_drips_is_cut_off_at_the_deadline(released: Workspace, tmp_path: Path, first: bytes) -> None:
    """Wherever it dawdles: the deadline covers everything that is fetched for one check."""
    begin = time.monotonic()
    with raw_server(first, b"X", 0.02) as url, pytest.raises(Unreachable) as caught:
        ask(released, url, tmp_path, deadline_s=0.5)
    assert caught.value.reason == Reason.TOO_SLOW
    assert time.monotonic() - begin < 5


def test_a_server_that_never_stops_is_cut_off_at_the_length(released: Workspace, tmp_path: Path) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n\r\n", b"X" * 65536, 0.0) as url, pytest.raises(Refused) as caught:
        ask(released, url, tmp_path, deadline_s=20)
    assert caught.value.reason == Reason.TOO_LARGE


def test_a_server_that_hangs_up_is_unreachable(released: Workspace, tmp_path: Path) -> None:
    with raw_server(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b"", 5.0) as url, pytest.raises(Unreachable) as caught:
        ask(released, url, tmp_path)
    assert caught.value.reason == Reason.UNREACHABLE


def test_only_http_and_folders_are_places_to_fetch_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="s3://bucket"):
        base_url("s3://bucket/prefix")
    assert base_url("https://example.org/fleet/") == "https://example.org/fleet"
    assert base_url(str(tmp_path)) == tmp_path.as_uri()
