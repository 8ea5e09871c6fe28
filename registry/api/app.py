"""The application: every route, and every error as JSON with what failed and what to do next."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from components.workspace import Workspace
from components.workspace.errors import (
    BackendUnreachable,
    Conflict,
    InputError,
    MusterError,
    NotFound,
    VerificationFailed,
)
from registry.api import devices, operators, reports
from registry.health.desk import Desk

_STATUS: dict[type[Exception], int] = {
    InputError: 400,
    NotFound: 404,
    Conflict: 409,
    VerificationFailed: 403,
    BackendUnreachable: 503,
}

_log = logging.getLogger("muster.api")


def application(workspace: Workspace, engine: sa.Engine, desk: Desk) -> Starlette:
    """Reports go to ``desk``, enrolments into ``engine``, the rest reads ``workspace``."""
    app = Starlette(
        routes=[
            Route("/v1/reports", reports.post, methods=["POST"]),
            Route("/v1/enrol", devices.post, methods=["POST"]),
            Route("/v1/healthz", healthy),
            Route("/v1/releases", operators.releases),
            Route("/v1/releases/{release}", operators.release),
            Route("/v1/fleets/{fleet}", operators.fleet),
        ],
        exception_handlers={HTTPException: _refused, MusterError: _failed, sa.exc.SQLAlchemyError: _down},
    )
    app.state.workspace, app.state.engine, app.state.desk = workspace, engine, desk
    app.state.token = operators.operators_token(workspace)
    return app


def healthy(request: Request) -> JSONResponse:
    """200 while the database answers, too."""
    engine: sa.Engine = request.app.state.engine
    with engine.connect() as connection:
        connection.execute(sa.select(1))
    return JSONResponse({"schema_version": 1, "status": "ok"})


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    status, detail, headers = (
        (error.status_code, error.detail, error.headers) if isinstance(error, HTTPException) else (500, str(error), None)
    )
    return JSONResponse({"schema_version": 1, "error": detail}, status, headers)


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    message, hint = (error.message, error.hint) if isinstance(error, MusterError) else (str(error), "")
    return JSONResponse({"schema_version": 1, "error": message, "hint": hint}, _STATUS.get(type(error), 500))


async def _down(_request: Request, error: Exception) -> JSONResponse:
    _log.error("the database does not answer: %s", str(error).partition("\n")[0])
    said = {"schema_version": 1, "error": "the database does not answer", "hint": "try again later"}
    return JSONResponse(said, 503, {"Retry-After": "5"})
