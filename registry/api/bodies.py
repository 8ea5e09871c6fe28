"""Request bodies, bounded in size and time: a sender that drips or never ends holds up nobody else."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

SECONDS: Final = 30.0


async def read(request: Request, limit: int, seconds: float = SECONDS) -> bytes:
    """The body.

    Raises:
        HTTPException: 413 more than ``limit`` bytes, 408 slower than ``seconds``, 400 the sender has gone.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise HTTPException(413, f"the body has more than {limit} bytes", {"Connection": "close"})
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the body took longer than {seconds:g} s", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the sender has gone") from None
    return b"".join(parts)
