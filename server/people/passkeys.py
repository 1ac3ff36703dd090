"""Signing in with a passkey: the person's own device proves the person, and nothing that could be told or guessed crosses the
line.

WebAuthn level 2, with user verification. What a browser is asked to sign is good once and for five minutes, and only for the
address under which people reach us. The only module that imports webauthn.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from server.people import sessions
from server.people.errors import PasskeyRefusedError
from server.people.sessions import SignedIn
from server.people.tokens import hash_token
from server.store import audit
from server.store import sign_in as store
from server.store.people import Session
from server.store.postgres import Connection, Pool, in_transaction, transaction
from server.store.sign_in import Passkey

ASKED_FOR: Final = timedelta(minutes=5)
PASSKEYS_MAX: Final = 20
NAME_MAX: Final = 60
HOUSE: Final = "HomeVigil"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where people reach us: `https://clinic.example`. A passkey is good there and nowhere else."""

    origin: str

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""


def ask_to_add(pool: Pool, session: Session, site: Site, *, password: str, address: str, now: datetime) -> str:
    """What the browser is to be asked so that it makes a passkey, as JSON. `password`: again, unless it was given lately.

    Raises `ProofNeededError`, `WrongPasswordError`, `TooManyAttemptsError`, `PasskeyRefusedError` (there are enough).
    """
    sessions.prove(pool, session, password=password, address=address, now=now)
    return in_transaction(pool, lambda conn: _ask_to_add(conn, session, site, now=now))


def _ask_to_add(conn: Connection, session: Session, site: Site, *, now: datetime) -> str:
    had = store.list_passkeys(conn, user_id=session.user_id)
    if len(had) >= PASSKEYS_MAX:
        raise PasskeyRefusedError(f"an account has at most {PASSKEYS_MAX} passkeys; remove one first")
    options = webauthn.generate_registration_options(
        rp_id=site.host,
        rp_name=HOUSE,
        user_id=str(session.user_id).encode(),
        user_name=session.login,
        user_display_name=session.display_name,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each.passkey_id) for each in had],
    )
    _keep(conn, options.challenge, "add_passkey", user_id=session.user_id, now=now)
    return webauthn.options_to_json(options)


def add(conn: Connection, session: Session, site: Site, answer: str, *, name: str, now: datetime) -> None:
    """Keep the passkey that a browser has made. Raises `PasskeyRefusedError`."""
    credential, challenge = _read(answer)
    if store.take_question(conn, hash_token(challenge), "add_passkey", user_id=session.user_id, now=now) is None:
        raise PasskeyRefusedError("this was not asked, or too long ago; try again")
    try:
        made = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=site.host,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except WebAuthnException as e:
        raise PasskeyRefusedError("the browser's answer does not hold; try again") from e
    is_new = store.add_passkey(
        conn,
        passkey_id=made.credential_id,
        user_id=session.user_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        name=name or "–",
        now=now,
    )
    if not is_new:
        raise PasskeyRefusedError("this passkey is there already")
    audit.note(conn, actor=f"user:{session.user_id}", act="passkey.add", at=now, subject=made.credential_id.hex())


def remove(conn: Connection, session: Session, passkey_id: bytes, *, now: datetime) -> bool:
    """It opens nothing any more. False if it is not there."""
    if not store.remove_passkey(conn, passkey_id, user_id=session.user_id, now=now):
        return False
    audit.note(conn, actor=f"user:{session.user_id}", act="passkey.remove", at=now, subject=passkey_id.hex())
    return True


def ask_to_sign_in(pool: Pool, site: Site, *, address: str, now: datetime) -> str:
    """What the browser is to be asked so that somebody signs in; it does not say who may. Raises `TooManyAttemptsError`."""
    sessions.admit_way(pool, "passkey", address=address, now=now)
    options = webauthn.generate_authentication_options(
        rp_id=site.host, user_verification=UserVerificationRequirement.REQUIRED
    )
    with transaction(pool) as conn:
        _keep(conn, options.challenge, "by_passkey", user_id=None, now=now)
    return webauthn.options_to_json(options)


def sign_in(pool: Pool, site: Site, answer: str, *, address: str, now: datetime) -> SignedIn:
    """A session for whoever signed by a passkey. Raises `PasskeyRefusedError`, the same for all of it; `TooManyAttemptsError`."""
    sessions.admit_way(pool, "passkey", address=address, now=now)
    credential, challenge = _read(answer)
    with transaction(pool) as conn:  # taken whatever follows: a question is answered once
        was_asked = store.take_question(conn, hash_token(challenge), "by_passkey", now=now) is not None
    if not was_asked:
        raise PasskeyRefusedError("this was not asked, or too long ago; try again")
    with transaction(pool) as conn:
        passkey = store.lock_passkey(conn, _id_of(credential))
        if passkey is None:
            raise PasskeyRefusedError("no account has this passkey; sign in with your password")
        count = _verify(credential, passkey, challenge, site)
        store.use_passkey(conn, passkey.passkey_id, sign_count=count, now=now)
        sessions.note_way_in(conn, "passkey", address=address)
        return sessions.open_for(conn, user_id=passkey.user_id, address=address, by="passkey", now=now)


def _verify(credential: dict[str, Any], passkey: Passkey, challenge: str, site: Site) -> int:
    """How often the passkey has signed, this time included."""
    try:
        proved = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=site.host,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except WebAuthnException as e:
        raise PasskeyRefusedError("the browser's answer does not hold; try again") from e
    return proved.new_sign_count


def _keep(conn: Connection, challenge: bytes, purpose: store.Purpose, *, user_id: int | None, now: datetime) -> None:
    store.ask(
        conn, hash_token(bytes_to_base64url(challenge)), purpose, user_id=user_id, ends_at=now + ASKED_FOR, now=now
    )


def _read(answer: str) -> tuple[dict[str, Any], str]:
    """The browser's answer, and which question it says it answers. Raises `PasskeyRefusedError`."""
    try:
        credential = json.loads(answer)
        client = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
        challenge = client["challenge"]
    except (ValueError, KeyError, TypeError) as e:
        raise PasskeyRefusedError("this is no answer of a browser") from e
    if not isinstance(challenge, str) or not isinstance(credential.get("rawId"), str):
        raise PasskeyRefusedError("this is no answer of a browser")
    return credential, challenge


def _id_of(credential: dict[str, Any]) -> bytes:
    try:
        return base64url_to_bytes(credential["rawId"])
    except ValueError as e:
        raise PasskeyRefusedError("this is no answer of a browser") from e
