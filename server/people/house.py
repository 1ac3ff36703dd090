"""Signing in by the house's own sign-in: OpenID Connect, code flow with PKCE. The only module that imports authlib.

Who signs in there is an account here if an admin has said by what name that person comes, or if the person, signed in here, has
given the password again and gone there; from then on by the subject alone, so that a name given to somebody else over there opens
nothing. That a name there is a login here says nothing: whoever may choose a name there would be whoever they like, and an admin.
Nobody gets an account by it.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, cast

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from server.people import jose, sessions
from server.people.errors import HouseSignInError
from server.people.sessions import SignedIn
from server.people.tokens import draw_token, hash_token
from server.store import audit
from server.store import sign_in as store
from server.store.people import Session
from server.store.postgres import Connection, Pool, transaction
from vitals.errors import MalformedError

ASKED_FOR: Final = timedelta(minutes=10)
"""Long enough for somebody who has to look for a second factor."""
CLOCKS_DIFFER_S: Final = 30.0
PATIENCE_S: Final = 10.0
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384")
"""Signatures by a private key alone: never `none`, never a shared secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Where the browser is sent, and what it is to bring back in a cookie."""

    url: str
    state: str


@dataclass(frozen=True, kw_only=True)
class House:
    """The house's own sign-in, as the settings name it. `login_claim`: which of its claims is the login here."""

    issuer: str
    client_id: str
    client_secret: str
    login_claim: str = "preferred_username"

    @cached_property
    def described(self) -> dict[str, Any]:
        """What it says of itself (OpenID Connect Discovery). Asked once; raises `HouseSignInError` while it does not answer."""
        said = _get(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if said.get("issuer") != self.issuer:
            raise HouseSignInError("the house's sign-in calls itself by another name than the settings do")
        return said

    def leave(
        self, pool: Pool, *, back: str, next_path: str, address: str, now: datetime, session: Session | None = None
    ) -> Leaving:
        """Send a browser there; it is to come back to the address `back`, and then to go to `next_path`.

        `session`: of somebody who has proved who they are, and whose account is to be whoever comes back.

        Raises `HouseSignInError`, `TooManyAttemptsError`.
        """
        sessions.admit_way(pool, "house", address=address, now=now)
        state, nonce, verifier = draw_token(), draw_token(), secrets.token_urlsafe(48)
        client = self._session(back, state=state)
        url, _ = client.create_authorization_url(
            self.described["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
        )
        with transaction(pool) as conn:
            kept = {"nonce": nonce, "verifier": verifier, "next": next_path, "back": back}
            if session is not None:
                kept |= {"user_id": str(session.user_id), "session": session.token_hash.hex()}
            store.ask(conn, hash_token(state), "by_house", ends_at=now + ASKED_FOR, kept=kept, now=now)
        return Leaving(url=url, state=state)

    def come_back(
        self,
        pool: Pool,
        *,
        came_with: str,
        state: str,
        kept_state: str,
        token: str | None,
        address: str,
        now: datetime,
    ) -> tuple[SignedIn, str]:
        """A session for whoever has signed in there, and where to go. `came_with`: the whole address that the browser came to;
        `token`: of the session that the browser has, if any.

        Raises `HouseSignInError`, `TooManyAttemptsError`.
        """
        sessions.admit_way(pool, "house", address=address, now=now)
        if not kept_state or not secrets.compare_digest(state.encode(), kept_state.encode()):
            raise HouseSignInError("this browser did not ask to sign in; try again")
        with transaction(pool) as conn:
            kept = store.take_question(conn, hash_token(state), "by_house", now=now)
        if kept is None:
            raise HouseSignInError("that took too long, or was done already; try again")
        claims = self._claims(came_with, state, kept, now)
        is_tie = "user_id" in kept
        user_id = self._tie(pool, claims, kept, token, now) if is_tie else self._account(pool, claims, now)
        with transaction(pool) as conn:
            sessions.note_way_in(conn, "house", address=address)
            return sessions.open_for(conn, user_id=user_id, address=address, by="house", now=now), str(kept["next"])

    def _claims(self, came_with: str, state: str, kept: Any, now: datetime) -> dict[str, Any]:
        """What the house says of who has signed in, after all of it has been checked."""
        try:
            session = self._session(str(kept["back"]), state=state)
            token = session.fetch_token(
                self.described["token_endpoint"],
                authorization_response=came_with,
                code_verifier=kept["verifier"],
                timeout=PATIENCE_S,
            )
            keys = jose.public_keys(_get_text(self.described["jwks_uri"]))
            claims = dict(jose.claims(token["id_token"], keys, ALGORITHMS))
        except (OAuthError, requests.RequestException, MalformedError, KeyError, ValueError) as e:
            raise HouseSignInError("the house's sign-in did not confirm it; try again") from e
        audiences = claims.get("aud") if isinstance(claims.get("aud"), list) else [claims.get("aud")]
        is_ours = claims.get("iss") == self.issuer and self.client_id in cast(list[Any], audiences)
        if not is_ours or claims.get("azp", self.client_id) != self.client_id:
            raise HouseSignInError("the house's sign-in answered somebody else")
        if claims.get("nonce") != kept["nonce"]:
            raise HouseSignInError("the house's sign-in answered another question")
        if not isinstance(claims.get("exp"), int | float) or claims["exp"] + CLOCKS_DIFFER_S < now.timestamp():
            raise HouseSignInError("the house's answer has ended; do the clocks differ?")
        if not isinstance(claims.get("sub"), str) or not 1 <= len(claims["sub"]) <= 255 or "\x00" in claims["sub"]:
            raise HouseSignInError("the house's sign-in does not say who it is")
        return claims

    def _account(self, pool: Pool, claims: dict[str, Any], now: datetime) -> int:
        with transaction(pool) as conn:
            subject, login = claims["sub"], claims.get(self.login_claim)
            known = store.find_identity(conn, issuer=self.issuer, subject=subject)
            if known is not None:
                return known
            if isinstance(login, str) and "\x00" not in login:
                expected = store.take_expected(conn, login, now=now)
                if expected is not None and self._bind(conn, subject, expected, now):
                    return expected
        raise HouseSignInError("there is no account of yours here; ask whoever runs the clinic's server")

    def _tie(self, pool: Pool, claims: dict[str, Any], kept: Any, token: str | None, now: datetime) -> int:
        """Whoever has come back is the account of the session that left, which is still this browser's."""
        if token is None or not secrets.compare_digest(hash_token(token).hex(), str(kept["session"])):
            raise HouseSignInError("this browser is signed in as somebody else; try again")
        session = sessions.find(pool, token, now=now)
        with transaction(pool) as conn:
            known = store.find_identity(conn, issuer=self.issuer, subject=claims["sub"])
            if known == session.user_id or (known is None and self._bind(conn, claims["sub"], session.user_id, now)):
                return session.user_id
        raise HouseSignInError(
            "one of the two is tied to another account already; ask whoever runs the clinic's server"
        )

    def _bind(self, conn: Connection, subject: str, user_id: int, now: datetime) -> bool:
        if not store.bind_identity(conn, issuer=self.issuer, subject=subject, user_id=user_id, now=now):
            return False
        audit.note(conn, actor=f"user:{user_id}", act="house.bind", at=now, subject=self.issuer)
        return True

    def _session(self, back: str, *, state: str) -> OAuth2Session:
        return OAuth2Session(
            self.client_id,
            self.client_secret,
            scope="openid profile",
            state=state,
            redirect_uri=back,
            code_challenge_method="S256",
            default_timeout=PATIENCE_S,
        )


def _get(url: str) -> dict[str, Any]:
    try:
        answer = requests.get(url, timeout=PATIENCE_S, allow_redirects=False)
        answer.raise_for_status()
        said = answer.json()
    except (requests.RequestException, ValueError) as e:
        raise HouseSignInError("the house's sign-in does not answer; sign in with your password") from e
    if not isinstance(said, dict):
        raise HouseSignInError("the house's sign-in does not describe itself")
    return said


def _get_text(url: str) -> str:
    answer = requests.get(url, timeout=PATIENCE_S, allow_redirects=False)
    answer.raise_for_status()
    return answer.text
