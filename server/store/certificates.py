"""Claims of new gateways, and the certificates that they have been given. What is decided by them is `server.trust`'s."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

SQL: Final = load_sql("certificates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A claim from which one try has been taken. `serial`: the certificate that came of it before."""

    claim_id: int
    code_hash: bytes
    serial: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One that was given to a gateway; `certificate` is PEM, `key_hash` the SHA-256 of its public key."""

    serial: str
    gateway_id: str
    key_hash: bytes
    certificate: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClaim:
    """A code that is still good. The code itself is not kept."""

    gateway_id: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    tries_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """That a gateway is for the home of this patient, since `valid_from`."""

    gateway_id: str
    patient_id: int
    said_by: str
    valid_from: datetime


def list_open_claims(conn: Connection, *, now: datetime) -> Sequence[OpenClaim]:
    """The newest first."""
    with conn.cursor(row_factory=class_row(OpenClaim)) as cursor:
        return cursor.execute(SQL["open_claims"], {"now": now}).fetchall()


def take_back_claim(conn: Connection, gateway_id: str, *, now: datetime) -> bool:
    """The code is not good any more; False if there was none that was."""
    return conn.execute(SQL["take_back_claim"], {"gateway_id": gateway_id, "now": now}).fetchone() is not None


def list_homes(conn: Connection) -> Sequence[Home]:
    """Those in force."""
    with conn.cursor(row_factory=class_row(Home)) as cursor:
        return cursor.execute(SQL["homes"]).fetchall()


def add_home(conn: Connection, *, gateway_id: str, patient_id: int, said_by: str, now: datetime) -> bool:
    """The gateway is for this patient's home; False if that was said before."""
    values = {"gateway_id": gateway_id, "patient_id": patient_id, "said_by": said_by, "now": now}
    return conn.execute(SQL["add_home"], values).fetchone() is not None


def end_home(conn: Connection, *, gateway_id: str, patient_id: int, now: datetime) -> bool:
    """It is no longer; False if it was not."""
    values = {"gateway_id": gateway_id, "patient_id": patient_id, "now": now}
    return conn.execute(SQL["end_home"], values).fetchone() is not None


def add_claim(
    conn: Connection,
    *,
    gateway_id: str,
    code_hash: bytes,
    made_by: str,
    now: datetime,
    expires_at: datetime,
    tries: int,
) -> None:
    """The only open claim of this gateway from now on."""
    conn.execute(SQL["end_claims"], {"gateway_id": gateway_id, "now": now})
    fields = {"code_hash": code_hash, "made_by": made_by, "expires_at": expires_at, "tries": tries}
    conn.execute(SQL["add_claim"], fields | {"gateway_id": gateway_id, "now": now})


def take_try(conn: Connection, *, gateway_id: str, now: datetime) -> Tried | None:
    """One try less of the gateway's open claim; None if there is none, or none left."""
    with conn.cursor(row_factory=class_row(Tried)) as cursor:
        return cursor.execute(SQL["take_try"], {"gateway_id": gateway_id, "now": now}).fetchone()


def give_back_try(conn: Connection, claim_id: int) -> None:
    """It was the right code."""
    conn.execute(SQL["give_back_try"], {"claim_id": claim_id})


def use_claim(conn: Connection, *, claim_id: int, serial: str, now: datetime) -> None:
    used = conn.execute(SQL["use_claim"], {"claim_id": claim_id, "serial": serial, "now": now}).fetchone()
    assert used is not None, "the try was taken with the claim locked"


def add_certificate(
    conn: Connection, certificate: Certificate, *, now: datetime, renewed_from: str | None = None
) -> None:
    fields = {
        "serial": certificate.serial,
        "gateway_id": certificate.gateway_id,
        "key_hash": certificate.key_hash,
        "certificate": certificate.certificate,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "issued_at": now,
        "renewed_from": renewed_from,
    }
    conn.execute(SQL["add_certificate"], fields)


def certificate(conn: Connection, serial: str) -> Certificate | None:
    with conn.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(SQL["certificate"], {"serial": serial}).fetchone()


def newest(conn: Connection, gateway_id: str) -> Certificate | None:
    """The one that the gateway was given last, with the gateway locked."""
    with conn.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(SQL["newest"], {"gateway_id": gateway_id}).fetchone()


def revoke(conn: Connection, gateway_id: str, *, now: datetime, except_serial: str | None = None) -> list[str]:
    """Every certificate of the gateway but this one is no longer good; the serials of those that were until now."""
    wanted = {"gateway_id": gateway_id, "now": now, "except_serial": except_serial}
    return sorted(str(serial) for (serial,) in conn.execute(SQL["revoke"], wanted).fetchall())


def revoked(conn: Connection, *, now: datetime) -> Sequence[tuple[str, datetime]]:
    """Serial and instant of each that was revoked and would still be good."""
    return [(str(serial), at) for serial, at in conn.execute(SQL["revoked"], {"now": now}).fetchall()]
