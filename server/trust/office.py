"""Codes for new gateways, made by an admin on a page: who is invited, for whose home, and what is taken back.

An admin sees gateways and numbers of patients, never a name. Each deed is one transaction with its audit, in the history of the
gateway as well.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from server.people.door import Caller
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.store import admissions, audit, certificates, enrolment
from server.store.admissions import Act, Standing
from server.store.certificates import Home, OpenClaim
from server.store.postgres import Connection, in_transaction, transaction
from server.store.quarantine_inbox import find_owner
from server.trust.claim_key import ClaimKey
from server.trust.claims import LASTS, make_claim
from vitals.enrolment import Invitation
from vitals.errors import MalformedError
from vitals.reading import Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimOffice:
    """What it takes to invite a box: the key for codes, and where the door is. `reserved`: names of parts of the server."""

    key: ClaimKey
    host: str
    port: int
    reserved: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A code for this gateway; with a `zone` it is enrolled if there is none of its name, with a patient it is for that home."""

    gateway_id: str
    zone: str | None = None
    patient_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """It is shown now and never again."""

    invitation: Invitation
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What there is: codes that are still good, which gateway is for whose home, and every gateway."""

    claims: Sequence[OpenClaim]
    homes: Sequence[Home]
    gateways: Sequence[Standing]


def look(caller: Caller) -> Open:
    with transaction(caller.house) as conn:
        return Open(
            claims=certificates.list_open_claims(conn, now=caller.now),
            homes=certificates.list_homes(conn),
            gateways=admissions.list_standings(conn, now=caller.now),
        )


def claim(caller: Caller, office: ClaimOffice | None, wish: Wish) -> Made:
    """A code, good for fifteen minutes and five tries; those before are not good any more.

    Raises `DecisionConflictError` (no office, a gateway that is shut out), `NotOnPanelError` (no such patient), `MalformedError`
    (a name, a zone).
    """
    if office is None:
        raise DecisionConflictError("not set up on this server", what="office for new gateways")
    _check_name(wish.gateway_id)

    def work(conn: Connection) -> str:
        _enrol(conn, caller, wish)
        code = make_claim(
            conn,
            office.key,
            gateway_id=wish.gateway_id,
            by=caller.session.login,
            now=caller.now,
            reserved=office.reserved,
        )
        _note(conn, caller, "gateway.claim", wish.gateway_id)
        if wish.patient_id is not None:
            _settle_in(conn, caller, wish.gateway_id, wish.patient_id)
        return code

    code = in_transaction(caller.house, work)
    invitation = Invitation(
        host=office.host, port=office.port, gateway_id=wish.gateway_id, code=code, pin=office.key.pin
    )
    return Made(invitation=invitation, expires_at=caller.now + LASTS)


def take_back(caller: Caller, gateway_id: str) -> None:
    """The open code is not good any more. Raises `DecisionConflictError` if there is none."""

    def work(conn: Connection) -> None:
        if not certificates.take_back_claim(conn, gateway_id, now=caller.now):
            raise DecisionConflictError("used, taken back or past its end", what="code")
        admissions.note(conn, Act.CLAIM_TAKEN_BACK, now=caller.now, gateway_id=gateway_id, by=caller.session.login)
        _note(conn, caller, "gateway.claim_taken_back", gateway_id)

    in_transaction(caller.house, work)


def end_home(caller: Caller, gateway_id: str, patient_id: int) -> None:
    """The gateway is no longer for that home; bindings of meters stay. Raises `DecisionConflictError` if it was not."""

    def work(conn: Connection) -> None:
        if not certificates.end_home(conn, gateway_id=gateway_id, patient_id=patient_id, now=caller.now):
            raise DecisionConflictError("not for that home", what="gateway")
        _note(conn, caller, "gateway.home_over", gateway_id, patient_id=patient_id)

    in_transaction(caller.house, work)


def _enrol(conn: Connection, caller: Caller, wish: Wish) -> None:
    found = enrolment.list_gateways(conn, wish.gateway_id)
    if not found:
        if wish.zone is None:
            raise MalformedError("zone", "a new gateway needs the time zone of its home")
        _check_zone(wish.zone)
        enrolment.add_gateway(conn, wish.gateway_id, wish.zone)
        _note(conn, caller, "gateway.add", wish.gateway_id, zone=wish.zone)
    elif found[0].state != "active":
        raise DecisionConflictError(found[0].state, what="gateway")


def _settle_in(conn: Connection, caller: Caller, gateway_id: str, patient_id: int) -> None:
    owner = find_owner(conn, patient_id)
    if owner is None or owner.standing not in ("active", "paused"):
        raise NotOnPanelError("no such patient")
    said = certificates.add_home(
        conn, gateway_id=gateway_id, patient_id=patient_id, said_by=caller.session.login, now=caller.now
    )
    if said:
        _note(conn, caller, "gateway.home", gateway_id, patient_id=patient_id)


def _check_name(gateway_id: str) -> None:
    try:
        msgspec.convert(gateway_id, Identifier)
    except msgspec.ValidationError as e:
        raise MalformedError("gateway", "1 to 64 letters, digits, and : . _ - after the first") from e


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise MalformedError("zone", "an IANA time zone is needed, such as Asia/Shanghai") from e


def _note(
    conn: Connection, caller: Caller, act: str, gateway_id: str, *, patient_id: int | None = None, **facts: str
) -> None:
    audit.note(
        conn,
        actor=f"user:{caller.user_id}",
        act=act,
        at=caller.now,
        patient_id=patient_id,
        subject=gateway_id,
        detail=facts,
    )
