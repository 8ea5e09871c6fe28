"""POST /v1/enrol: a device enrols itself with a one-time token and the proof that it has the private key."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from registry.api import bodies
from registry.health.enrolment import enroll_itself

MAX_BYTES = 4096


async def post(request: Request) -> JSONResponse:
    """201: enrolled; 200: it was already, with this key."""
    data = await bodies.read(request, MAX_BYTES)
    change = await run_in_threadpool(enroll_itself, request.app.state.engine, data)
    entry = change.enrolment
    said = {"schema_version": 1, "device_id": entry.device_id, "public_key": entry.public_key, "state": entry.state}
    return JSONResponse(said, 201 if change.changed else 200)
