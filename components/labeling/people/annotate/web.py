"""The pages of one session on this machine's own address, for whoever knows the token in the URL.

Three things keep other pages of the same browser out: the token, which every URL carries and no header gives away; the
host name, which must be this machine's own (a foreign name that resolves here is refused); and a policy that lets the
pages load nothing and be framed by nobody.
"""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from components.labeling.people.annotate.pages import STYLE_DIGEST, error_page, finished_page, question_page
from components.workspace.errors import InputError, MusterError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from components.labeling.people.annotate.session import Session

    _Handler = Callable[[Session, dict[str, str]], Response]

HOST = "127.0.0.1"
_LARGEST_FORM, _MOST_FIELDS = 4096, 16
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def serve(session: Session, port: int, announce: Callable[[str], None]) -> None:
    """Answer on `HOST` until interrupted; ``announce`` gets the URL once it works. Port 0 takes a free one.

    Raises:
        InputError: the port is taken or not allowed.
        KeyboardInterrupt: the person stopped the program.
    """
    import uvicorn

    token = secrets.token_urlsafe(24)
    listening = _listen(port)
    announce(f"http://{HOST}:{listening.getsockname()[1]}/{token}/")
    config = uvicorn.Config(web_app(session, token), log_level="error", access_log=False, lifespan="off", server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


def web_app(session: Session, token: str) -> Starlette:
    """The pages as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    routes = [
        Route("/{token}/", _guarded(session, token, _ask), methods=["GET"]),
        Route("/{token}/answer", _guarded(session, token, _answer), methods=["POST"]),
        Route("/{token}/undo", _guarded(session, token, _undo), methods=["POST"]),
        Route("/{path:path}", _elsewhere, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])])


def _guarded(session: Session, token: str, handle: _Handler) -> Callable[[Request], Awaitable[Response]]:
    """``handle`` in a thread, for those who know the token; what a user can mend becomes a page."""

    async def endpoint(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        if not secrets.compare_digest(request.path_params["token"].encode(), token.encode()):
            return await _elsewhere(request)
        try:
            form = await _form(request)
            return await run_in_threadpool(handle, session, form)
        except MusterError as error:
            return _html(error_page("That did not work", str(error)), 400)

    return endpoint


def _ask(session: Session, form: dict[str, str]) -> Response:
    question = session.question()
    votes = form.get("votes") == "1"
    return _html(question_page(session, question, votes=votes) if question else finished_page(session))


def _answer(session: Session, form: dict[str, str]) -> Response:
    position = form.get("position", "")
    if "value" not in form or not (position.isascii() and position.isdigit()):
        raise InputError("the form names no window or no answer", hint="go back to the page and answer again")
    session.answer(int(position), form["value"])
    return _back(form)


def _undo(session: Session, form: dict[str, str]) -> Response:
    session.undo()
    return _back(form)


def _back(form: dict[str, str]) -> Response:
    """To the next question by GET, so that a reload answers nothing twice."""
    from starlette.responses import RedirectResponse

    return RedirectResponse("./?votes=1" if form.get("votes") == "1" else "./", status_code=303, headers=_HEADERS)


async def _elsewhere(_request: Request) -> Response:
    return _html(error_page("Not here", "Open the address that the program printed when it started."), 403)


async def _form(request: Request) -> dict[str, str]:
    """The fields of the query and of an URL-encoded body."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            raise InputError("the form is too large", hint="go back to the page and answer again")
    try:
        fields = parse_qs(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InputError("the form has too many fields", hint="go back to the page and answer again") from None
    return dict(request.query_params) | {name: values[-1] for name, values in fields.items()}


def _html(text: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        taken = error.errno == errno.EADDRINUSE
        why = "is in use" if taken else f"cannot be listened on: {error.strerror}"
        raise InputError(f"port {port} {why}", hint="leave --port out: a free one is taken then") from None
    return listening
