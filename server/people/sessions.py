"""Who is signed in: opaque tokens, 15 minutes idle, 12 hours at most, and limits on guessing.

A session is a row. Signing out deletes it, and closing the account ends it; nothing in the cookie outlives that.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final, Literal

from server.people import accounts
from server.people.errors import (
    ForgedRequestError,
    NotSignedInError,
    PeopleError,
    ProofNeededError,
    TooManyAttemptsError,
    WrongPasswordError,
)
from server.people.tokens import draw_token, hash_token
from server.store import audit, people
from server.store.people import Session
from server.store.postgres import Connection, Pool, transaction

IDLE_FOR: Final = timedelta(minutes=15)
LASTS_FOR: Final = timedelta(hours=12)
"""Idle and absolute ends of a session: a ward's shared screen is left open, a shift ends (reliability: OWASP ASVS 7.3)."""

ATTEMPTS: Final = 5
ATTEMPTS_WITHIN: Final = timedelta(minutes=15)
"""Failures of one login from one address (reliability 6.5)."""

ACCOUNT_ATTEMPTS: Final = 20
ACCOUNT_WITHIN: Final = timedelta(hours=1)
"""Failures of one login from wherever: many machines that guess together are as slow as one. Engineering choice."""

PLACE_ATTEMPTS: Final = 50
"""Failures from one address whatever the login, in a quarter of an hour: who tries one password on every login is stopped, a
house whose people all come from one address is not. Engineering choice."""

KNOWN_FOR: Final = timedelta(days=30)
"""Where a login was signed in lately the two wide limits do not hold, so that nobody is locked out by others' guesses."""

PROVED_FOR: Final = timedelta(minutes=10)
"""How long a password or a passkey counts for what opens a further way in. Engineering choice: whoever has just signed in is not
asked twice, whoever finds a screen left open is."""

Way = Literal["passkey", "house", "program"]
"""Ways in that begin without a login: the passkey, the house's own sign-in, a program's assertion."""

WAY_ATTEMPTS: Final = 50
"""Requests of one way in from one address in a quarter of an hour that led to no session: each costs the house a row, a
signature or a request to another house. Those who do come in are not counted. Engineering choice, as `PLACE_ATTEMPTS`."""

REQUESTS_OF: Final = {"passkey": 2, "house": 2, "program": 1}
"""How many requests one sign-in takes: who comes in has these back."""

ATTEMPTS_KEPT_FOR: Final = timedelta(days=1)
IPV6_HOME: Final = 64
"""Bits of an IPv6 address that are a household's; whoever has one has all addresses in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A new session: the only moment at which its token is known."""

    token: str
    session: Session


def sign_in(pool: Pool, *, login: str, password: str, address: str, now: datetime) -> SignedIn:
    """Raises `TooManyAttemptsError`, `WrongPasswordError`.

    Three short transactions rather than one: no connection is held while argon2 works, and an attempt is on record
    before its password is looked at, so that attempts made at once cannot outrun the limit.
    """
    try:
        with transaction(pool) as conn:
            _admit(conn, login=login, address=_place(address), now=now)
        with transaction(pool) as conn:
            user_id = accounts.verify(conn, login=login, password=password)
        if user_id is None:
            raise WrongPasswordError("login and password do not fit")
        with transaction(pool) as conn:
            people.note_success(conn, login=login, address=_place(address), now=now)
            return open_for(conn, user_id=user_id, address=address, by="password", now=now)
    except (TooManyAttemptsError, WrongPasswordError) as e:
        with transaction(pool) as conn:
            _note_refused(conn, e, login=login, address=address, now=now)
        raise


def admit_way(pool: Pool, way: Way, *, address: str, now: datetime) -> None:
    """Before anything is looked at or fetched for whoever asks. Raises `TooManyAttemptsError`.

    That the limit is reached is in the audit once, not at each request that is sent away: nobody fills the audit by asking.
    """
    place, since = _place(address), now - ATTEMPTS_WITHIN
    with transaction(pool) as conn:
        asked, first_at = people.count_asked(conn, way, address=place, since=since)
        _stop(asked, first_at, WAY_ATTEMPTS, ATTEMPTS_WITHIN, now)
        people.note_asked(conn, way, address=place, now=now, before=since)
        if asked + 1 == WAY_ATTEMPTS:
            audit.note(conn, actor="server:web", act="session.bar", at=now, detail={"address": address, "by": way})


def note_way_in(conn: Connection, way: Way, *, address: str) -> None:
    """It led to a session: what was asked for it does not count."""
    people.forgive_asked(conn, way, address=_place(address), times=REQUESTS_OF[way])


def change_password(pool: Pool, session: Session, *, present: str, new: str, address: str, now: datetime) -> None:
    """Somebody who is signed in takes another password; all other sessions of the account end.

    Raises `WeakPasswordError`, `WrongPasswordError` (the present one), `TooManyAttemptsError`.
    """
    hashed = accounts.hash_password(new)
    with transaction(pool) as conn:
        _admit(conn, login=session.login, address=_place(address), now=now)
    with transaction(pool) as conn:
        if accounts.verify(conn, login=session.login, password=present) != session.user_id:
            raise WrongPasswordError("the present password is not right")
        people.note_success(conn, login=session.login, address=_place(address), now=now)
        people.set_password(conn, user_id=session.user_id, password_hash=hashed)
        people.close_other_sessions(conn, session.token_hash, user_id=session.user_id)
        audit.note(conn, actor=f"user:{session.user_id}", act="password.change", at=now)


def is_proved(session: Session, *, now: datetime) -> bool:
    """Whether the person has proved lately who they are."""
    return session.proved_at is not None and now - session.proved_at < PROVED_FOR


def prove(pool: Pool, session: Session, *, password: str, address: str, now: datetime) -> None:
    """Before what opens a further way in, so that a screen that was left open does not.

    Raises `ProofNeededError` where nothing was given and it was too long ago, `WrongPasswordError`, `TooManyAttemptsError`.
    """
    if not password:
        if not is_proved(session, now=now):
            raise ProofNeededError("give your password again: this opens a further way in")
        return
    with transaction(pool) as conn:
        _admit(conn, login=session.login, address=_place(address), now=now)
    with transaction(pool) as conn:
        if accounts.verify(conn, login=session.login, password=password) != session.user_id:
            raise WrongPasswordError("the password is not right")
        people.note_success(conn, login=session.login, address=_place(address), now=now)
        people.prove_session(conn, session.token_hash, now=now)


def find(pool: Pool, token: str, *, now: datetime, is_touching: bool = True) -> Session:
    """The session in force under `token`; it stays alive for another quarter of an hour. Raises `NotSignedInError`.

    `is_touching=False` is for what a page asks by itself: a screen left open must not keep its session alive.
    """
    with transaction(pool) as conn:
        session = people.find_session(conn, hash_token(token), now=now, idle_since=now - IDLE_FOR)
        if session is None:
            raise NotSignedInError("sign in first")
        if is_touching:
            people.touch_session(conn, session.token_hash, now=now)
    return session


def in_force(pool: Pool, token_hashes: Sequence[bytes], *, now: datetime) -> frozenset[bytes]:
    """Those of these sessions that have not ended; asking keeps none alive. Raises `UnavailableError`."""
    with transaction(pool) as conn:
        return people.sessions_in_force(conn, token_hashes, now=now, idle_since=now - IDLE_FOR)


def sign_out(pool: Pool, session: Session, *, now: datetime) -> None:
    """Ends the session, and with it its token."""
    with transaction(pool) as conn:
        people.close_session(conn, session.token_hash)
        audit.note(conn, actor=f"user:{session.user_id}", act="session.close", at=now)


def sign_out_elsewhere(pool: Pool, session: Session, *, now: datetime) -> int:
    """Ends every other session of the account: a screen that was left, a phone that was lost. How many there were."""
    actor = f"user:{session.user_id}"
    with transaction(pool) as conn:
        ended = people.close_other_sessions(conn, session.token_hash, user_id=session.user_id)
        audit.note(conn, actor=actor, act="account.sign_out", at=now, subject=actor, detail={"sessions": ended})
    return ended


def check_csrf(session: Session, token: str | None) -> None:
    """Raises `ForgedRequestError` unless `token` is the session's own."""
    if token is None or not hmac.compare_digest(token.encode(), session.csrf_token.encode()):
        raise ForgedRequestError("the request lacks this session's CSRF token; reload the page")


def _admit(conn: Connection, *, login: str, address: str, now: datetime) -> None:
    """Raises `TooManyAttemptsError`. An attempt that is let in counts as failed until `people.note_success`."""
    people.lock_sign_in(conn, login=login, address=address)
    failed = people.count_failed_attempts(
        conn,
        login=login,
        address=address,
        since=now - ATTEMPTS_WITHIN,
        account_since=now - ACCOUNT_WITHIN,
        known_since=now - KNOWN_FOR,
    )
    _stop(failed.here, failed.here_first, ATTEMPTS, ATTEMPTS_WITHIN, now)
    if not failed.is_known:
        _stop(failed.account, failed.account_first, ACCOUNT_ATTEMPTS, ACCOUNT_WITHIN, now)
        _stop(failed.place, failed.place_first, PLACE_ATTEMPTS, ATTEMPTS_WITHIN, now)
    people.note_attempt(conn, login=login, address=address, now=now)
    people.forget_attempts(conn, before=now - ATTEMPTS_KEPT_FOR, known_before=now - KNOWN_FOR)
    people.forget_sessions(conn, now=now, idle_since=now - IDLE_FOR)


def _stop(failures: int, first_at: datetime | None, limit: int, within: timedelta, now: datetime) -> None:
    if failures >= limit:
        assert first_at is not None
        raise TooManyAttemptsError(first_at + within - now)


def _place(address: str) -> str:
    """What counts as one address: of IPv6 a whole household."""
    try:
        read = ip_address(address)
    except ValueError:
        return address
    if read.version == 4:
        return address
    return str(read.ipv4_mapped or ip_network((int(read), IPV6_HOME), strict=False))


def _note_refused(conn: Connection, error: PeopleError, *, login: str, address: str, now: datetime) -> None:
    """Of a login that nobody has only that: people type passwords there."""
    known = people.find_credentials(conn, login)
    audit.note(
        conn,
        actor="server:web",
        act="session.bar" if isinstance(error, TooManyAttemptsError) else "session.refuse",
        at=now,
        subject=f"user:{known.user_id}" if known else "",
        detail={"address": address},
    )


def open_for(conn: Connection, *, user_id: int, address: str, by: str, now: datetime) -> SignedIn:
    """A new session of somebody who has proved who they are; `by`: how.

    Raises `WrongPasswordError` if the account is closed.
    """
    token = draw_token()
    people.open_session(
        conn,
        token_hash=hash_token(token),
        user_id=user_id,
        csrf_token=draw_token(),
        now=now,
        expires_at=now + LASTS_FOR,
        proved_at=now,
    )
    session = people.find_session(conn, hash_token(token), now=now, idle_since=now - IDLE_FOR)
    if session is None:  # the account was closed while its password was being looked at
        raise WrongPasswordError("login and password do not fit")
    audit.note(conn, actor=f"user:{user_id}", act="session.open", at=now, detail={"address": address, "by": by})
    return SignedIn(token=token, session=session)
