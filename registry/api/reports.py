"""POST /v1/reports: one envelope, or many as NDJSON. Delivering again is harmless, and the answer to give after a lost one.

No token: a report is signed. It is answered when it is committed, so a device forgets only what was counted or refused for good.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from registry.api import bodies
from registry.health.desk import Desk
from registry.health.intake import ACCEPTED, BATCH, DUPLICATE
from registry.health.judging import Refusal

MAX_BYTES: Final = 4 << 20
MAX_LINES: Final = BATCH
NDJSON: Final = "application/x-ndjson"
_GOOD = (ACCEPTED, DUPLICATE)
_STATUS = {
    Refusal.MALFORMED: HTTPStatus.BAD_REQUEST,
    Refusal.UNKNOWN_DEVICE: HTTPStatus.NOT_FOUND,
    Refusal.UNKNOWN_ROLLOUT: HTTPStatus.NOT_FOUND,
    Refusal.NOT_ENROLLED: HTTPStatus.FORBIDDEN,
    Refusal.REVOKED: HTTPStatus.FORBIDDEN,
    Refusal.REPLACED_KEY: HTTPStatus.FORBIDDEN,
    Refusal.BAD_SIGNATURE: HTTPStatus.FORBIDDEN,
    Refusal.WRONG_VARIANT: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.NOT_IN_COHORT: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.CONFLICT: HTTPStatus.CONFLICT,
    Refusal.ROLLOUT_OVER: HTTPStatus.GONE,
}

_log = logging.getLogger("muster.reports")


async def post(request: Request) -> JSONResponse:
    """202: counted, now or before. Of many, 207: some were refused; the answers say which."""
    desk: Desk = request.app.state.desk
    body = await bodies.read(request, MAX_BYTES)
    many = request.headers.get("content-type", "").partition(";")[0].strip() == NDJSON
    lines = [line for line in body.split(b"\n") if line.strip()] if many else [body]
    if not 0 < len(lines) <= MAX_LINES:
        raise HTTPException(400, f"a batch has 1 to {MAX_LINES} lines, this one {len(lines)}")
    answers = await _taken(desk, lines)
    if not many:
        status = HTTPStatus.ACCEPTED if answers[0] in _GOOD else _STATUS[Refusal(answers[0])]
        return JSONResponse({"schema_version": 1, "answer": answers[0]}, status)
    status = HTTPStatus.ACCEPTED if all(a in _GOOD for a in answers) else HTTPStatus.MULTI_STATUS
    said = [{"line": line, "answer": answer} for line, answer in enumerate(answers, start=1)]
    return JSONResponse({"schema_version": 1, "answers": said}, status)


async def _taken(desk: Desk, lines: list[bytes]) -> tuple[str, ...]:
    """Whatever keeps reports from being counted, they may come again: that is all that a device needs to know."""
    try:
        return await asyncio.wrap_future(desk.submit(lines))
    except Exception as error:  # noqa: BLE001
        _log.warning("reports wait for another delivery: %s", str(error).partition("\n")[0])
        raise HTTPException(503, "not counted; deliver it again later", {"Retry-After": "5"}) from None
