"""What every answer carries and no request may exceed, as plain ASGI around the whole app.

Nothing is loaded from anywhere else, no script or style is inline, no page is framed, and nothing about a patient stays
in a cache.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request

from server.api import problems

BODY_MAX: Final = 64 * 1024
"""64 KiB (reliability 6.5): the longest thing that people send here is a note."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STRICT_TRANSPORT: Final = "max-age=63072000"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Shield:
    """Wraps an ASGI app. `is_tls` promises that browsers only ever come by TLS."""

    def __init__(self, app: App, *, is_tls: bool) -> None:
        self._app = app
        self._is_tls = is_tls

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                protect(MutableHeaders(scope=message), str(scope["path"]), is_tls=self._is_tls)
            await send(message)

        try:
            body = await _read_body(scope, receive)
        except _TooLongError:
            await problems.too_long(Request(scope))(scope, receive, send_shielded)
        except ClientDisconnect:
            return  # half a request is none
        else:
            await self._app(scope, _replay(body, receive), send_shielded)


def protect(headers: MutableHeaders, path: str, *, is_tls: bool) -> None:
    """Adds to an answer's headers what every answer carries."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if not path.startswith("/static/"):
        headers["Cache-Control"] = "no-store"
    if is_tls:
        headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)


class _TooLongError(Exception):
    """The body is longer than `BODY_MAX`."""


async def _read_body(scope: Message, receive: Receive) -> bytes:
    """The whole body, of which no more than `BODY_MAX` is ever held. Raises `_TooLongError`, `ClientDisconnect`."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > BODY_MAX:
        raise _TooLongError
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > BODY_MAX:
            raise _TooLongError
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
