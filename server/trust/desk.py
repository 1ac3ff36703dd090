"""The door for boxes that are to become gateways, and for gateways whose certificate is old: its own listener, TLS only.

`GET /authority` gives the certificate of the authority, which a box checks against the pin of its invitation before it says
anything; `POST /enrol` takes a claim; `POST /renew` asks for the next certificate by the one of the connection. No session, no
cookie, nothing about patients; a body is at most 16 KiB, and an error says one word and one sentence.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.store.postgres import Pool, in_transaction
from server.trust import claims
from server.trust.authority import RENEW_AFTER_DAYS, Authority, serial_of
from server.trust.claim_key import Keyed
from server.trust.claims import Admitted
from vitals.enrolment import MAX_BYTES, Admission, Claim, Refusal, Renewal
from vitals.errors import UnavailableError

SHOWN: Final = "homevigil.shown_certificate"
"""Where in a connection's scope the certificate lies (DER) that TLS has checked; None if none was shown."""
STATUS_OF: Final = {"claim": 403, "certificate": 403, "shut_out": 403, "too_early": 409}

log = structlog.get_logger()


class ShowingProtocol(H11Protocol):
    """HTTP/1.1 that says which certificate the other end has shown. Never from a header: that anybody could write."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        shown = None if tls is None else tls.getpeercert(binary_form=True)
        inner: Callable[..., Awaitable[None]] = self.app

        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await inner({**scope, SHOWN: shown}, receive, send)

        self.app = app


def create_desk(
    pool: Pool,
    authority: Authority,
    *,
    mqtt_host: str | None,
    mqtt_port: int,
    on_revoked: Callable[[], None],
    now: Callable[[], datetime],
    claim_key: Callable[[], Keyed] | None = None,
) -> FastAPI:
    """The application. `mqtt_host` None: gateways speak to the host where they have asked. `on_revoked` is called when
    certificates have been revoked. `claim_key`: by which codes are kept, asked for anew each time; left out, the authority's."""
    desk = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    def admission(answer: Admitted | Refusal) -> Response:
        told = _admission(answer, authority, mqtt_host, mqtt_port) if isinstance(answer, Admitted) else answer
        return _answer(told)

    @desk.get("/authority")
    def show_authority() -> Response:
        return Response(authority.certificate, media_type="application/x-pem-file")

    @desk.post("/enrol")
    async def enrol(request: Request) -> Response:
        claim = await _body(request, Claim)
        if isinstance(claim, Response):
            return claim
        answer = await asyncio.to_thread(
            in_transaction,
            pool,
            lambda conn: claims.admit(
                conn,
                authority,
                gateway_id=claim.gateway_id,
                code=claim.code,
                request=claim.request,
                now=now(),
                asked_from=_address_of(request),
                key=claim_key() if claim_key else None,
            ),
        )
        if isinstance(answer, Admitted):  # of a repeat too: what was revoked may not have been written down before
            await asyncio.to_thread(on_revoked)
        return admission(answer)

    @desk.post("/renew")
    async def renew(request: Request) -> Response:
        shown: bytes | None = request.scope.get(SHOWN)
        if shown is None:
            return _answer(Refusal(reason="certificate", detail="show the gateway's certificate to renew it"))
        renewal = await _body(request, Renewal)
        if isinstance(renewal, Response):
            return renewal
        answer = await asyncio.to_thread(
            in_transaction,
            pool,
            lambda conn: claims.renew(
                conn,
                authority,
                serial=serial_of(shown),
                request=renewal.request,
                now=now(),
                asked_from=_address_of(request),
            ),
        )
        return admission(answer)

    async def unavailable(_: Request, e: Exception) -> Response:
        log.warning("desk_unavailable", reason=str(e))
        return _respond(503, Refusal(reason="unavailable", detail="the clinic cannot answer now; try again later"))

    desk.add_exception_handler(UnavailableError, unavailable)
    desk.add_exception_handler(OSError, unavailable)  # the list of the revoked could not be written

    return desk


def _admission(admitted: Admitted, authority: Authority, mqtt_host: str | None, mqtt_port: int) -> Admission:
    certificate = admitted.certificate
    span = certificate.not_after - certificate.not_before
    return Admission(
        gateway_id=certificate.gateway_id,
        zone=admitted.zone,
        mqtt_host=mqtt_host,
        mqtt_port=mqtt_port,
        certificate=certificate.certificate,
        authority=authority.certificate.decode(),
        renew_from=certificate.not_before + span * RENEW_AFTER_DAYS / span.days,
        ends_at=certificate.not_after,
    )


def _address_of(request: Request) -> str | None:
    """Of the connection itself; the door stands behind no proxy."""
    return None if request.client is None else request.client.host


async def _body(request: Request, form: type[Any]) -> Any:
    """What was sent, decoded; or the answer to something else."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return _respond(413, Refusal(reason="size", detail=f"at most {MAX_BYTES} bytes"))
    try:
        return msgspec.json.decode(bytes(body), type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _respond(400, Refusal(reason="decode", detail="not a message of this door"))


def _answer(said: Admission | Refusal) -> Response:
    return _respond(STATUS_OF.get(said.reason, 400) if isinstance(said, Refusal) else 200, said)


def _respond(status: int, said: Admission | Refusal) -> Response:
    return Response(msgspec.json.encode(said), status, media_type="application/json")
