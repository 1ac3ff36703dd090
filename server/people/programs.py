"""Programs of other houses: who they are is proved by their own key, what they see is what an account of ours sees.

SMART Backend Services (HL7, SMART App Launch 2): the program signs a short assertion with its private key and gets a token of
five minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from server.people import jose, sessions
from server.people.errors import ProgramRefusedError
from server.people.tokens import draw_token, hash_token
from server.store import audit, people
from server.store import programs as store
from server.store.postgres import Connection, Pool, transaction
from vitals.errors import MalformedError

ALGORITHMS: Final = ("RS384", "ES384")
"""The two that SMART asks servers for; nothing else is looked at, least of all `none`."""
ASSERTION_LASTS_FOR: Final = timedelta(minutes=5)
"""SMART: an assertion ends no later than five minutes from now."""
TOKEN_LASTS_FOR: Final = timedelta(minutes=5)
CLOCKS_DIFFER: Final = timedelta(seconds=30)
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPES: Final = frozenset({"system/*.read", "system/*.rs"})
ASSERTION_MAX: Final = 8192
KEYS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A token, which is never shown again, and what it is good for."""

    token: str
    scope: str
    lasts_for: timedelta


def add(conn: Connection, program_id: str, *, login: str, key_set: str, actor: str, now: datetime) -> None:
    """Let a program with these public keys read in the name of the account `login`.

    Raises `MalformedError` (`keys`, `login`).
    """
    keys = _public(key_set)
    user_id = store.add_program(conn, program_id, login=login, keys=keys, now=now)
    if user_id is None:
        raise MalformedError("login", f"there is no account {login!r} in force")
    audit.note(conn, actor=actor, act="program.add", at=now, subject=program_id, detail={"user_id": user_id})


def remove(conn: Connection, program_id: str, *, actor: str, now: datetime) -> bool:
    """From now on it gets no token; one that it has ends within five minutes. False if there is no such program."""
    if not store.remove_program(conn, program_id, now=now):
        return False
    audit.note(conn, actor=actor, act="program.remove", at=now, subject=program_id)
    return True


def grant(pool: Pool, assertion: str, *, scope: str, audience: str, address: str, now: datetime) -> Granted:
    """A token for a program that has signed `assertion` for `audience`. Raises `ProgramRefusedError`, `TooManyAttemptsError`."""
    sessions.admit_way(pool, "program", address=address, now=now)
    wanted = SCOPES & set(scope.split())
    if not wanted:
        raise ProgramRefusedError("invalid_scope", f"ask for one of {', '.join(sorted(SCOPES))}")
    with transaction(pool) as conn:
        program = store.find_program(conn, _issuer(assertion))
        if program is None:
            raise ProgramRefusedError("invalid_client", "no such program")
        claims = _checked(assertion, program.keys, program.program_id, audience, now)
        ends_at = datetime.fromtimestamp(claims["exp"], UTC)
        if not store.use_assertion(conn, program.program_id, jti=claims["jti"], ends_at=ends_at, now=now):
            raise ProgramRefusedError("invalid_client", "this assertion has been used before")
        sessions.note_way_in(conn, "program", address=address)
        token = draw_token()
        people.open_session(
            conn,
            token_hash=hash_token(token),
            user_id=program.user_id,
            csrf_token=draw_token(),
            now=now,
            expires_at=now + TOKEN_LASTS_FOR,
            proved_at=None,
        )
        audit.note(
            conn,
            actor=f"user:{program.user_id}",
            act="session.open",
            at=now,
            subject=program.program_id,
            detail={"address": address, "by": "program"},
        )
    return Granted(token=token, scope=" ".join(sorted(wanted)), lasts_for=TOKEN_LASTS_FOR)


def _issuer(assertion: str) -> str:
    if len(assertion) > ASSERTION_MAX:
        raise ProgramRefusedError("invalid_client", "the assertion is too long")
    try:
        return jose.unproved_issuer(assertion)
    except MalformedError as e:
        raise ProgramRefusedError("invalid_client", e.message) from e


def _checked(assertion: str, keys: Mapping[str, Any], name: str, audience: str, now: datetime) -> Mapping[str, Any]:
    """The claims of what this program has signed for us, and that is good now."""
    try:
        claims = jose.claims(assertion, keys["keys"], ALGORITHMS)
    except MalformedError as e:
        raise ProgramRefusedError("invalid_client", e.message) from e
    expires, jti = claims.get("exp"), claims.get("jti")
    latest = now + ASSERTION_LASTS_FOR + CLOCKS_DIFFER
    if not isinstance(expires, int) or not (now - CLOCKS_DIFFER).timestamp() <= expires <= latest.timestamp():
        raise ProgramRefusedError("invalid_client", "`exp` is not within the next five minutes")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256 or "\x00" in jti:
        raise ProgramRefusedError("invalid_client", "`jti` is missing")
    if claims.get("iss") != name or claims.get("sub") != name:
        raise ProgramRefusedError("invalid_client", "`iss` and `sub` are not both the program's name")
    if claims.get("aud") != audience and claims.get("aud") != [audience]:
        raise ProgramRefusedError("invalid_client", "`aud` is not the address of this token endpoint")
    return claims


def _public(key_set: str) -> Mapping[str, Any]:
    """As they are kept. Raises `MalformedError` (`keys`)."""
    public = jose.public_keys(key_set)
    if not 1 <= len(public) <= KEYS_MAX or any(key.get("kty") not in ("RSA", "EC") for key in public):
        raise MalformedError("keys", f"give 1 to {KEYS_MAX} public keys, RSA or EC")
    return {"keys": public}
