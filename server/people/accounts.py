"""Local accounts: a login, a role, an argon2 hash.

It is the only module that imports argon2. It opens no session (`sessions`) and grants no patient (`panels`).
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from threading import BoundedSemaphore
from typing import Final, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from server.people.errors import LoginTakenError, WeakPasswordError, WrongPasswordError
from server.store import people
from server.store.people import User
from server.store.postgres import Connection

Role = Literal["doctor", "nurse", "patient", "admin", "auditor"]
Language = Literal["zh", "en"]

PASSWORD_LENGTHS: Final = (8, 256)
"""At least 8 characters (NIST SP 800-63B 5.1.1.2); at most what is worth hashing."""

_hasher: Final = PasswordHasher()

HASHES_AT_ONCE: Final = 2
"""Each takes 64 MiB: whoever sends many sign-ins at once gets answers later, and does not get the machine's memory."""

_room: Final = BoundedSemaphore(HASHES_AT_ONCE)


def add_user(
    conn: Connection,
    *,
    login: str,
    display_name: str,
    role: Role,
    password: str,
    language: Language,
    now: datetime,
    patient_id: int | None = None,
) -> int:
    """The new account's id; `patient_id`: of a patient's own account, which sees that patient and nobody else.

    Raises `WeakPasswordError`, `LoginTakenError`.
    """
    assert (role == "patient") == (patient_id is not None), role
    user_id = people.add_user(
        conn,
        login=login,
        display_name=display_name,
        role=role,
        language=language,
        password_hash=hash_password(password),
        now=now,
    )
    if user_id is None:
        raise LoginTakenError(f"the login {login!r} is taken; choose another")
    if patient_id is not None:
        people.bind_account(conn, user_id=user_id, patient_id=patient_id)
    return user_id


def list_users(conn: Connection) -> Sequence[User]:
    """Every account, by login."""
    return people.list_users(conn)


def verify(conn: Connection, *, login: str, password: str) -> int | None:
    """The user whose password this is, or `None`. A hash made with older parameters is renewed on the way.

    An unknown login takes as long as a known one, so that time does not tell which logins exist.
    """
    credentials = people.find_credentials(conn, login)
    stored = credentials.password_hash if credentials else _hash_of_nobody()
    if not _fits(stored, password) or credentials is None:
        return None
    if _hasher.check_needs_rehash(stored):
        people.set_password(conn, user_id=credentials.user_id, password_hash=_hash(password))
    return credentials.user_id


def sign(conn: Connection, *, login: str, password: str) -> User:
    """Whose account this is: a name alone decides nothing. Raises `WrongPasswordError`."""
    user_id = verify(conn, login=login, password=password)
    found = next((user for user in people.list_users(conn) if user.user_id == user_id), None)
    if found is None:
        raise WrongPasswordError("login and password do not fit")
    return found


def hash_password(password: str) -> str:
    """What is stored for `password`. Raises `WeakPasswordError`."""
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest:
        raise WeakPasswordError(f"a password has {shortest} to {longest} characters; this one has {len(password)}")
    return _hash(password)


def _hash(password: str) -> str:
    with _room:
        return _hasher.hash(password)


def _fits(stored: str, password: str) -> bool:
    try:
        with _room:
            return _hasher.verify(stored, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


@cache
def _hash_of_nobody() -> str:
    return _hash("nobody signs in with this")
