"""Read-only views for people and their tools, who show the operators' token: `.muster/api.token`, readable by its owner."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from components.workspace import Workspace
from components.workspace.files import create_private
from registry import rollout
from registry.health.summary import fleet_health
from registry.inventory import count_devices, count_fleet


def token_file(workspace: Workspace) -> Path:
    return workspace.state / "api.token"


def operators_token(workspace: Workspace) -> str:
    """Made when it is first asked for."""
    file = token_file(workspace)
    if not file.exists():
        create_private(file, secrets.token_urlsafe(32).encode())
    return file.read_text().strip()


def releases(request: Request) -> JSONResponse:
    return _answer([r.to_json() for r in rollout.list_releases(_workspace(request))])


def release(request: Request) -> JSONResponse:
    workspace, name = _workspace(request), request.path_params["release"]
    found = rollout.show_release(workspace, name)
    health = asdict(fleet_health(workspace, release=name)) if found.started else None
    return _answer(found.to_json() | {"health": health})


def fleet(request: Request) -> JSONResponse:
    workspace, name = _workspace(request), request.path_params["fleet"]
    groups = [asdict(g) for g in count_devices(workspace, fleet=name)]
    count = count_fleet(workspace, name)
    return _answer({"fleet": name, "devices": count, "groups": groups, "health": asdict(fleet_health(workspace, name))})


def _workspace(request: Request) -> Workspace:
    """Raises HTTPException 401 without the operators' token."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    good = hmac.compare_digest(given.strip().encode(), request.app.state.token.encode())
    if kind.lower() != "bearer" or not good:
        raise HTTPException(401, "the operators' token is missing or wrong", {"WWW-Authenticate": "Bearer"})
    workspace: Workspace = request.app.state.workspace
    return workspace


def _answer(data: Any) -> JSONResponse:
    return JSONResponse({"schema_version": 1, "data": data})
