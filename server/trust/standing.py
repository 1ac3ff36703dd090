"""Whom a person shuts out, and whom they let back: each with the person's name, in the caller's transaction.

The broker learns of it by its list of the revoked (`folders.Secrets.write_list`), which only who has the authority's key can
write; the intake by the gateway's state, at once.
"""

from datetime import datetime

from server.store import admissions, certificates, enrolment, quarantine
from server.store.admissions import Act
from server.store.postgres import Connection


def revoke(conn: Connection, gateway_id: str, *, by: str, reason: str, now: datetime) -> int:
    """Listen to a gateway no longer; how many certificates ended by it."""
    enrolment.set_gateway_state(conn, gateway_id, "revoked")
    admissions.note(conn, Act.GATEWAY_REVOKED, now=now, gateway_id=gateway_id, by=by, detail=reason)
    return len(revoke_certificates(conn, gateway_id, by=by, detail=reason, now=now))


def restore(conn: Connection, gateway_id: str, *, by: str, now: datetime) -> None:
    """Listen to it again. A certificate that was revoked stays so: the box is enrolled anew."""
    enrolment.set_gateway_state(conn, gateway_id, "active")
    quarantine.settle_impostures(conn, gateway_id, by=by)
    admissions.note(conn, Act.GATEWAY_RESTORED, now=now, gateway_id=gateway_id, by=by)


def revoke_certificates(
    conn: Connection,
    gateway_id: str,
    *,
    now: datetime,
    detail: str,
    by: str | None = None,
    except_serial: str | None = None,
) -> list[str]:
    """Every certificate of the gateway but this one ends; the serials of those that were good until now."""
    serials = certificates.revoke(conn, gateway_id, now=now, except_serial=except_serial)
    for serial in serials:
        admissions.note(
            conn, Act.CERTIFICATE_REVOKED, now=now, gateway_id=gateway_id, by=by, serial=serial, detail=detail
        )
    return serials
