"""Rows about the people at the clinic: accounts, sessions, sign-in attempts, panels, patient links.

It keeps hashes only; whoever calls knows the password or the token. Statements are in `sql/people.sql`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row, scalar_row

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("people")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. `role` is doctor, nurse, patient, admin or auditor; `language` is zh or en."""

    user_id: int
    login: str
    display_name: str
    role: str
    language: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a password is checked against."""

    user_id: int
    password_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in. The token itself is not here: only its hash is known. `proved_at`: when the person last gave a
    password, a passkey or the like; never in a program's session."""

    token_hash: bytes
    csrf_token: str
    last_seen_at: datetime
    expires_at: datetime
    proved_at: datetime | None
    user_id: int
    login: str
    display_name: str
    role: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempts:
    """How often sign-in failed in the time looked at, and when it first did: of the login `here`, of the `account` from anywhere,
    from the `place` whatever the login. `is_known`: the login was signed in from there before."""

    here: int
    here_first: datetime | None
    account: int
    account_first: datetime | None
    place: int
    place_first: datetime | None
    is_known: bool


def add_user(
    conn: Connection,
    *,
    login: str,
    display_name: str,
    role: str,
    language: str,
    password_hash: str,
    now: datetime,
) -> int | None:
    """The new account's `user_id`, or `None` if the login is taken."""
    values = {
        "login": login,
        "display_name": display_name,
        "role": role,
        "language": language,
        "password_hash": password_hash,
        "now": now,
    }
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(_SQL["add_user"], values).fetchone()


def bind_account(conn: Connection, *, user_id: int, patient_id: int) -> None:
    """The account is this patient's own."""
    conn.execute(_SQL["bind_account"], {"user_id": user_id, "patient_id": patient_id})


def set_password(conn: Connection, *, user_id: int, password_hash: str) -> None:
    conn.execute(_SQL["set_password"], {"user_id": user_id, "password_hash": password_hash})


def list_users(conn: Connection) -> Sequence[User]:
    with conn.cursor(row_factory=class_row(User)) as cursor:
        return cursor.execute(_SQL["list_users"]).fetchall()


def find_credentials(conn: Connection, login: str) -> Credentials | None:
    with conn.cursor(row_factory=class_row(Credentials)) as cursor:
        return cursor.execute(_SQL["find_credentials"], {"login": login}).fetchone()


def lock_sign_in(conn: Connection, *, login: str, address: str) -> None:
    """Until this transaction ends, nobody else counts attempts of this login, or from this address."""
    for what in (
        f"sign-in login {login}",
        f"sign-in address {address}",
    ):  # always in this order: nobody waits in a ring
        conn.execute(_SQL["lock_sign_in"], {"what": what})


def count_failed_attempts(
    conn: Connection, *, login: str, address: str, since: datetime, account_since: datetime, known_since: datetime
) -> FailedAttempts:
    with conn.cursor(row_factory=class_row(FailedAttempts)) as cursor:
        values = {
            "login": login,
            "address": address,
            "since": since,
            "account_since": account_since,
            "known_since": known_since,
        }
        attempts = cursor.execute(_SQL["count_failed_attempts"], values).fetchone()
    assert attempts is not None, "an aggregate always has a row"
    return attempts


def note_attempt(conn: Connection, *, login: str, address: str, now: datetime) -> None:
    """Counts as a failure until `note_success`, so that attempts made at once are all counted."""
    conn.execute(_SQL["note_attempt"], {"login": login, "address": address, "now": now})


def note_success(conn: Connection, *, login: str, address: str, now: datetime) -> None:
    conn.execute(_SQL["note_success"], {"login": login, "address": address, "now": now})


def forget_attempts(conn: Connection, *, before: datetime, known_before: datetime) -> None:
    conn.execute(_SQL["forget_attempts"], {"before": before, "known_before": known_before})


def count_asked(conn: Connection, way: str, *, address: str, since: datetime) -> tuple[int, datetime | None]:
    """How often this way in was asked from this address without leading to a session, and when first.

    Nobody else counts them until this transaction ends.
    """
    conn.execute(_SQL["lock_sign_in"], {"what": f"sign-in by {way} from {address}"})
    found = conn.execute(_SQL["count_asked"], {"way": way, "address": address, "since": since}).fetchone()
    assert found is not None, "an aggregate always has a row"
    return int(found[0]), found[1]


def note_asked(conn: Connection, way: str, *, address: str, now: datetime, before: datetime) -> None:
    """Counts until `forgive_asked`; what was asked `before` that is forgotten."""
    conn.execute(_SQL["forget_asked"], {"before": before})
    conn.execute(_SQL["note_asked"], {"way": way, "address": address, "now": now})


def forgive_asked(conn: Connection, way: str, *, address: str, times: int) -> None:
    conn.execute(_SQL["forgive_asked"], {"way": way, "address": address, "times": times})


def open_session(
    conn: Connection,
    *,
    token_hash: bytes,
    user_id: int,
    csrf_token: str,
    now: datetime,
    expires_at: datetime,
    proved_at: datetime | None,
) -> None:
    values = {
        "token_hash": token_hash,
        "user_id": user_id,
        "csrf_token": csrf_token,
        "now": now,
        "expires_at": expires_at,
        "proved_at": proved_at,
    }
    conn.execute(_SQL["open_session"], values)


def prove_session(conn: Connection, token_hash: bytes, *, now: datetime) -> None:
    conn.execute(_SQL["prove_session"], {"token_hash": token_hash, "now": now})


def find_session(conn: Connection, token_hash: bytes, *, now: datetime, idle_since: datetime) -> Session | None:
    with conn.cursor(row_factory=class_row(Session)) as cursor:
        values = {"token_hash": token_hash, "now": now, "idle_since": idle_since}
        return cursor.execute(_SQL["find_session"], values).fetchone()


def sessions_in_force(
    conn: Connection, token_hashes: Sequence[bytes], *, now: datetime, idle_since: datetime
) -> frozenset[bytes]:
    values = {"token_hashes": list(token_hashes), "now": now, "idle_since": idle_since}
    with conn.cursor(row_factory=scalar_row) as cursor:
        return frozenset(bytes(each) for each in cursor.execute(_SQL["sessions_in_force"], values))


def touch_session(conn: Connection, token_hash: bytes, *, now: datetime) -> None:
    conn.execute(_SQL["touch_session"], {"token_hash": token_hash, "now": now})


def close_session(conn: Connection, token_hash: bytes) -> None:
    conn.execute(_SQL["close_session"], {"token_hash": token_hash})


def close_other_sessions(conn: Connection, token_hash: bytes, *, user_id: int) -> int:
    """Whoever else is signed in under this account is not any more; how many sessions there were."""
    return conn.execute(_SQL["close_other_sessions"], {"token_hash": token_hash, "user_id": user_id}).rowcount


def forget_sessions(conn: Connection, *, now: datetime, idle_since: datetime) -> None:
    conn.execute(_SQL["forget_sessions"], {"now": now, "idle_since": idle_since})


def add_to_panel(conn: Connection, *, user_id: int, patient_id: int) -> None:
    conn.execute(_SQL["add_to_panel"], {"user_id": user_id, "patient_id": patient_id})


def is_on_panel(conn: Connection, *, user_id: int, patient_id: int) -> bool:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(_SQL["is_on_panel"], {"user_id": user_id, "patient_id": patient_id}).fetchone()
    return bool(found)


def is_on_panel_regularly(conn: Connection, *, user_id: int, patient_id: int) -> bool:
    with conn.cursor(row_factory=scalar_row) as cursor:
        values = {"user_id": user_id, "patient_id": patient_id}
        return bool(cursor.execute(_SQL["is_on_panel_regularly"], values).fetchone())


def issue_patient_link(
    conn: Connection, *, token_hash: bytes, patient_id: int, now: datetime, expires_at: datetime
) -> None:
    values = {"token_hash": token_hash, "patient_id": patient_id, "now": now, "expires_at": expires_at}
    conn.execute(_SQL["issue_patient_link"], values)


def find_patient_link(conn: Connection, token_hash: bytes, *, now: datetime) -> int | None:
    """The patient whose link this is, or `None` when it is unknown, past its end or revoked."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(_SQL["find_patient_link"], {"token_hash": token_hash, "now": now}).fetchone()


def revoke_patient_links(conn: Connection, *, patient_id: int, now: datetime) -> int:
    """How many links of the patient were in force and no longer are."""
    return conn.execute(_SQL["revoke_patient_links"], {"patient_id": patient_id, "now": now}).rowcount
