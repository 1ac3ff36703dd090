"""Who gets a certificate: a box that shows the code of an open claim, and a gateway whose last one is old enough.

Everything happens in the caller's transaction, which must be committed whatever the answer is: a wrong code has cost a try.
The same question of the same key is answered alike, so an answer that was lost on the way can be asked for again.
"""

import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from server.store import admissions, certificates, enrolment
from server.store.admissions import Act
from server.store.certificates import Certificate
from server.store.postgres import Connection
from server.trust.authority import INTAKE, RENEW_AFTER_DAYS, Authority, hash_of_requested_key
from server.trust.claim_key import Keyed
from server.trust.standing import revoke_certificates
from vitals.enrolment import ALPHABET, CODE_LENGTH, Refusal
from vitals.errors import MalformedError

LASTS: Final = timedelta(minutes=15)
TRIES: Final = 5

NO_SUCH_CLAIM: Final = Refusal(
    reason="claim", detail="the code is wrong, used or expired; `server gateway claim` makes a new one"
)
"""One answer for all of it: whoever guesses learns nothing."""
SHUT_OUT: Final = Refusal(reason="shut_out", detail="this gateway is not listened to; the clinic can restore it")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """`is_repeat`: it had been given before."""

    certificate: Certificate
    zone: str
    is_repeat: bool


def make_claim(
    conn: Connection,
    key: Keyed,
    *,
    gateway_id: str,
    by: str,
    now: datetime,
    reserved: Collection[str] = (INTAKE,),
) -> str:
    """A new code for this gateway, good for fifteen minutes and five tries; those before are not good any more.

    Raises `MalformedError` (`reserved`) for a name by which the broker knows a part of the server.
    """
    if gateway_id in reserved:
        raise MalformedError("reserved", f"{gateway_id} is the name of a part of the server; no box may be called so")
    code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    certificates.add_claim(
        conn,
        gateway_id=gateway_id,
        code_hash=key.keyed_hash(f"{gateway_id} {code}"),
        made_by=by,
        now=now,
        expires_at=now + LASTS,
        tries=TRIES,
    )
    admissions.note(conn, Act.CLAIM_MADE, now=now, gateway_id=gateway_id, by=by)
    log.info("claim_made", gateway_id=gateway_id, by=by)
    return code


def admit(
    conn: Connection,
    authority: Authority,
    *,
    gateway_id: str,
    code: str,
    request: str,
    now: datetime,
    asked_from: str | None = None,
    key: Keyed | None = None,
) -> Admitted | Refusal:
    """The certificate that the box gets, or why not. What the gateway had before is revoked. `key`: by which codes are kept;
    left out, the authority's own."""
    given = _admit(conn, authority, key or authority, gateway_id=gateway_id, code=code, request=request, now=now)
    if isinstance(given, Admitted):
        act, serial = Act.ADMITTED_AGAIN if given.is_repeat else Act.ADMITTED, given.certificate.serial
        admissions.note(conn, act, now=now, gateway_id=gateway_id, asked_from=asked_from, serial=serial)
    else:
        admissions.note_refusal(
            conn, Act.CLAIM_REFUSED, now=now, gateway_id=gateway_id, asked_from=asked_from, detail=given.reason
        )
    return given


def _admit(
    conn: Connection, authority: Authority, key: Keyed, *, gateway_id: str, code: str, request: str, now: datetime
) -> Admitted | Refusal:
    tried = certificates.take_try(conn, gateway_id=gateway_id, now=now)
    if tried is None or not hmac.compare_digest(tried.code_hash, key.keyed_hash(f"{gateway_id} {code}")):
        log.warning("claim_refused", gateway_id=gateway_id, is_open=tried is not None)
        return NO_SUCH_CLAIM
    try:
        key_hash = hash_of_requested_key(request)
    except MalformedError as e:
        return Refusal(reason=e.reason, detail=e.message)
    zone = _zone_of(conn, gateway_id)
    if zone is None:
        return SHUT_OUT
    if tried.serial is not None:
        before = certificates.certificate(conn, tried.serial)
        if before is None or before.key_hash != key_hash or before.revoked_at is not None:
            log.warning("claim_used_twice", gateway_id=gateway_id)
            return NO_SUCH_CLAIM
        certificates.give_back_try(conn, tried.claim_id)
        return Admitted(certificate=before, zone=zone, is_repeat=True)
    made = authority.admit(request, gateway_id=gateway_id, now=now)
    certificates.add_certificate(conn, made, now=now)
    certificates.use_claim(conn, claim_id=tried.claim_id, serial=made.serial, now=now)
    replaced = revoke_certificates(
        conn, gateway_id, now=now, detail="another box was enrolled in its place", except_serial=made.serial
    )
    log.info("gateway_admitted", gateway_id=gateway_id, serial=made.serial, replaced=len(replaced))
    return Admitted(certificate=made, zone=zone, is_repeat=False)


def renew(
    conn: Connection,
    authority: Authority,
    *,
    serial: str,
    request: str,
    now: datetime,
    asked_from: str | None = None,
) -> Admitted | Refusal:
    """The next certificate of the gateway that has shown this one, or why not."""
    shown = certificates.certificate(conn, serial)
    gateway_id = None if shown is None else shown.gateway_id
    given = _renew(conn, authority, shown=shown, request=request, now=now)
    if isinstance(given, Admitted):
        act, serial = Act.RENEWED_AGAIN if given.is_repeat else Act.RENEWED, given.certificate.serial
        admissions.note(conn, act, now=now, gateway_id=gateway_id, asked_from=asked_from, serial=serial)
    else:
        admissions.note_refusal(
            conn,
            Act.RENEWAL_REFUSED,
            now=now,
            gateway_id=gateway_id,
            asked_from=asked_from,
            serial=serial,
            detail=given.reason,
        )
    return given


def _renew(
    conn: Connection, authority: Authority, *, shown: Certificate | None, request: str, now: datetime
) -> Admitted | Refusal:
    if shown is None or shown.revoked_at is not None or shown.not_after <= now:
        return Refusal(reason="certificate", detail="the certificate shown is not good; enrol this gateway anew")
    try:
        key_hash = hash_of_requested_key(request)
    except MalformedError as e:
        return Refusal(reason=e.reason, detail=e.message)
    newest = certificates.newest(conn, shown.gateway_id)
    zone = _zone_of(conn, shown.gateway_id)
    if zone is None or newest is None:
        return SHUT_OUT
    if newest.key_hash == key_hash and newest.revoked_at is None:
        return Admitted(certificate=newest, zone=zone, is_repeat=True)
    due = newest.not_before + timedelta(days=RENEW_AFTER_DAYS)
    if now < due:
        return Refusal(reason="too_early", detail=f"the newest certificate is to be renewed from {due.isoformat()} on")
    made = authority.admit(request, gateway_id=shown.gateway_id, now=now)
    certificates.add_certificate(conn, made, now=now, renewed_from=shown.serial)
    log.info("certificate_renewed", gateway_id=shown.gateway_id, serial=made.serial, of=shown.serial)
    return Admitted(certificate=made, zone=zone, is_repeat=False)


def _zone_of(conn: Connection, gateway_id: str) -> str | None:
    """The zone of a gateway that is listened to; None for any other."""
    found = enrolment.list_gateways(conn, gateway_id)
    return found[0].zone if found and found[0].state == "active" else None
