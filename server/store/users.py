"""Rows about accounts as whoever runs the clinic sees them, and invitations. Statements are in `sql/users.sql`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("users")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account with its ways in. `patient_id`: whose own account it is; `patients`: how many it sees; `invited_until`: until
    then a link waits by which a password is chosen."""

    user_id: int
    login: str
    display_name: str
    role: str
    language: str
    active: bool
    created_at: datetime
    patient_id: int | None
    patients: int
    sessions: int
    passkeys: int
    invited_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A session in force, without anything by which it could be used; `is_own`: of whoever asks."""

    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    is_own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitee:
    """Whose password an invitation sets."""

    user_id: int
    login: str
    display_name: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which accounts: all of what is named must fit. `text`: in login or name; `after`: the login before the first."""

    user_id: int | None = None
    role: str | None = None
    text: str | None = None
    after: str | None = None


def list_accounts(
    conn: Connection, wanted: Wanted, *, now: datetime, idle_since: datetime, limit: int
) -> Sequence[Account]:
    """By login."""
    values = {"user_id": wanted.user_id, "role": wanted.role, "text": wanted.text, "after": wanted.after}
    with conn.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(_SQL["list"], {**values, "now": now, "idle_since": idle_since, "limit": limit}).fetchall()


def lock(conn: Connection, user_id: int) -> tuple[str, str, bool] | None:
    """Login, role, and whether it is open; nobody else changes the account until this transaction ends."""
    row = conn.execute(_SQL["lock"], {"user_id": user_id}).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def lock_admins(conn: Connection) -> set[int]:
    """The admins whose accounts are open."""
    return {int(user_id) for (user_id,) in conn.execute(_SQL["lock_admins"])}


def set_active(conn: Connection, user_id: int, *, active: bool) -> None:
    conn.execute(_SQL["set_active"], {"user_id": user_id, "active": active})


def set_role(conn: Connection, user_id: int, role: str) -> None:
    conn.execute(_SQL["set_role"], {"user_id": user_id, "role": role})


def set_name(conn: Connection, user_id: int, display_name: str) -> None:
    conn.execute(_SQL["set_name"], {"user_id": user_id, "display_name": display_name})


def end_glasses(conn: Connection, user_id: int, *, now: datetime) -> int:
    """How many records somebody had open in an emergency."""
    return conn.execute(_SQL["end_glasses"], {"user_id": user_id, "now": now}).rowcount


def list_sessions(
    conn: Connection, user_id: int, *, now: datetime, idle_since: datetime, own: bytes | None = None
) -> Sequence[OpenSession]:
    """The one used last first; `own`: the hash of the asker's token."""
    values = {"user_id": user_id, "now": now, "idle_since": idle_since, "own": own}
    with conn.cursor(row_factory=class_row(OpenSession)) as cursor:
        return cursor.execute(_SQL["sessions"], values).fetchall()


def close_sessions(conn: Connection, user_id: int) -> int:
    """How many there were."""
    return conn.execute(_SQL["close_sessions"], {"user_id": user_id}).rowcount


def remove_passkeys(conn: Connection, user_id: int, *, now: datetime) -> int:
    """How many there were."""
    return conn.execute(_SQL["remove_passkeys"], {"user_id": user_id, "now": now}).rowcount


def invite(conn: Connection, user_id: int, token_hash: bytes, *, now: datetime, expires_at: datetime) -> None:
    """An older invitation opens nothing any more."""
    values = {"user_id": user_id, "token_hash": token_hash, "now": now, "expires_at": expires_at}
    conn.execute(_SQL["invite"], values)


def uninvite(conn: Connection, user_id: int) -> None:
    conn.execute(_SQL["uninvite"], {"user_id": user_id})


def find_invitation(conn: Connection, token_hash: bytes, *, now: datetime) -> Invitee | None:
    with conn.cursor(row_factory=class_row(Invitee)) as cursor:
        return cursor.execute(_SQL["find_invitation"], {"token_hash": token_hash, "now": now}).fetchone()


def take_invitation(conn: Connection, token_hash: bytes, *, now: datetime) -> int | None:
    """Whose it was; None if it is unknown, used, or past its end."""
    row = conn.execute(_SQL["take_invitation"], {"token_hash": token_hash, "now": now}).fetchone()
    return None if row is None else int(row[0])


def has_account(conn: Connection, patient_id: int) -> bool:
    row = conn.execute(_SQL["has_account"], {"patient_id": patient_id}).fetchone()
    return row is not None and bool(row[0])
