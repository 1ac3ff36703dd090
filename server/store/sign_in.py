"""Passkeys, questions that are under way, and who of the house's own sign-in is which account. Statements: `sql/sign_in.sql`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("sign_in")

Purpose = Literal["add_passkey", "by_passkey", "by_house"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """The public half of a passkey, by the name that its owner has given it."""

    passkey_id: bytes
    user_id: int
    public_key: bytes
    sign_count: int
    name: str
    added_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """Since when somebody of the house's own sign-in is the account, and who is expected there to become it."""

    bound_at: datetime | None
    expected: str | None


def ask(
    conn: Connection,
    question_hash: bytes,
    purpose: Purpose,
    *,
    ends_at: datetime,
    now: datetime,
    user_id: int | None = None,
    kept: Mapping[str, str] | None = None,
) -> None:
    """Keep what somebody is being asked, until it is answered or `ends_at`."""
    conn.execute(_SQL["forget_questions"], {"now": now})
    row = {"question_hash": question_hash, "purpose": purpose, "user_id": user_id, "ends_at": ends_at}
    conn.execute(_SQL["ask"], {**row, "kept": Jsonb(dict(kept or {}))})


def take_question(
    conn: Connection, question_hash: bytes, purpose: Purpose, *, now: datetime, user_id: int | None = None
) -> Mapping[str, Any] | None:
    """What was kept with the question, once; `None` if it was never asked, is answered, or has ended."""
    row = {"question_hash": question_hash, "purpose": purpose, "user_id": user_id, "now": now}
    found = conn.execute(_SQL["take_question"], row).fetchone()
    return None if found is None else found[0]


def add_passkey(
    conn: Connection, *, passkey_id: bytes, user_id: int, public_key: bytes, sign_count: int, name: str, now: datetime
) -> bool:
    """False if there is one of this id."""
    row = {"passkey_id": passkey_id, "user_id": user_id, "public_key": public_key, "sign_count": sign_count}
    return conn.execute(_SQL["add_passkey"], {**row, "name": name, "now": now}).fetchone() is not None


def list_passkeys(conn: Connection, *, user_id: int) -> Sequence[Passkey]:
    with conn.cursor(row_factory=class_row(Passkey)) as cursor:
        return cursor.execute(_SQL["list_passkeys"], {"user_id": user_id}).fetchall()


def lock_passkey(conn: Connection, passkey_id: bytes) -> Passkey | None:
    """A passkey in force of an account in force, locked."""
    with conn.cursor(row_factory=class_row(Passkey)) as cursor:
        return cursor.execute(_SQL["lock_passkey"], {"passkey_id": passkey_id}).fetchone()


def use_passkey(conn: Connection, passkey_id: bytes, *, sign_count: int, now: datetime) -> None:
    conn.execute(_SQL["use_passkey"], {"passkey_id": passkey_id, "sign_count": sign_count, "now": now})


def remove_passkey(conn: Connection, passkey_id: bytes, *, user_id: int, now: datetime) -> bool:
    row = {"passkey_id": passkey_id, "user_id": user_id, "now": now}
    return conn.execute(_SQL["remove_passkey"], row).fetchone() is not None


def find_identity(conn: Connection, *, issuer: str, subject: str) -> int | None:
    """The account in force of somebody of the house's own sign-in."""
    found = conn.execute(_SQL["find_identity"], {"issuer": issuer, "subject": subject}).fetchone()
    return None if found is None else int(found[0])


def bind_identity(conn: Connection, *, issuer: str, subject: str, user_id: int, now: datetime) -> bool:
    """False if the account is closed or somebody else's there, or the person has another account."""
    row = {"issuer": issuer, "subject": subject, "user_id": user_id, "now": now}
    return conn.execute(_SQL["bind_identity"], row).fetchone() is not None


def end_identities(conn: Connection, user_id: int) -> int:
    """Nobody of the house's own sign-in is this account any more; how many were."""
    return conn.execute(_SQL["end_identities"], {"user_id": user_id}).rowcount


def take_expected(conn: Connection, name: str, *, now: datetime) -> int | None:
    """The account for which an admin expects this name, once; `None` if for none in force."""
    found = conn.execute(_SQL["take_expected"], {"name": name, "now": now}).fetchone()
    return None if found is None else int(found[0])


def forget_expected(conn: Connection, user_id: int, *, now: datetime) -> None:
    """Nobody is expected for this account."""
    conn.execute(_SQL["forget_expected"], {"user_id": user_id, "now": now})


def expect(conn: Connection, user_id: int, name: str, *, now: datetime, expires_at: datetime) -> bool:
    """False if the name is expected for another account."""
    row = {"user_id": user_id, "name": name, "now": now, "expires_at": expires_at}
    return conn.execute(_SQL["expect"], row).fetchone() is not None


def house_tie(conn: Connection, user_id: int, *, now: datetime) -> Tie:
    with conn.cursor(row_factory=class_row(Tie)) as cursor:
        found = cursor.execute(_SQL["house_tie"], {"user_id": user_id, "now": now}).fetchone()
    assert found is not None, "a select of two values has a row"
    return found
