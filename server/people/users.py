"""What whoever runs the clinic does about accounts: add, invite, name, give another role, close, open again, sign out.

Each deed is in the audit.

Nobody is told a password: an account begins, and begins anew, with a link that opens once, by which its owner chooses one.
Whoever holds such a link is that person, so it is handed over as a password would be; that it was made stays on record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.people import accounts, sessions
from server.people import panels as given
from server.people.access import CLINICIANS
from server.people.accounts import Language, Role
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.sessions import IDLE_FOR, SignedIn
from server.people.tokens import draw_token, hash_token
from server.store import audit, contacts, panels, people, sign_in
from server.store import users as store
from server.store.contacts import Owner
from server.store.postgres import Connection, Pool, transaction
from server.store.sign_in import Passkey, Tie
from server.store.users import Account, Invitee, OpenSession, Wanted
from vitals.errors import MalformedError

INVITED_FOR: Final = timedelta(hours=72)
"""Over a weekend. Engineering choice: whoever does not come in that time asks again."""

HOUSE_NAME_MAX: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Who does it, as the audit names people, and when. `user_id`: of somebody with an account here."""

    actor: str
    now: datetime
    user_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """An account that is to be. `patient_id`: a patient's own account, and no other, says whose it is."""

    login: str
    display_name: str
    role: Role
    language: Language
    patient_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """The only moment at which the invitation's token is known."""

    user_id: int
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysIn:
    """One account with what is open and what opens it."""

    account: Account
    sessions: Sequence[OpenSession]
    passkeys: Sequence[Passkey]
    house: Tie


def list_accounts(conn: Connection, wanted: Wanted, *, now: datetime, limit: int) -> Sequence[Account]:
    """By login."""
    return store.list_accounts(conn, wanted, now=now, idle_since=now - IDLE_FOR, limit=limit)


def look_up(conn: Connection, user_id: int, *, now: datetime) -> WaysIn:
    """Raises `NotOnPanelError`."""
    found = list_accounts(conn, Wanted(user_id=user_id), now=now, limit=1)
    if not found:
        raise NotOnPanelError("no such account")
    return WaysIn(
        account=found[0],
        sessions=store.list_sessions(conn, user_id, now=now, idle_since=now - IDLE_FOR),
        passkeys=sign_in.list_passkeys(conn, user_id=user_id),
        house=sign_in.house_tie(conn, user_id, now=now),
    )


def add(conn: Connection, by: Keeper, new: New) -> Invited:
    """An account that nobody can sign in to yet, and the link by which its owner will.

    Raises `LoginTakenError`, and `MalformedError` (no such patient, who has an account already, or who is no patient).
    """
    _check_patient(conn, new)
    user_id = accounts.add_user(
        conn,
        login=new.login,
        display_name=new.display_name,
        role=new.role,
        password=draw_token(),
        language=new.language,
        now=by.now,
        patient_id=new.patient_id,
    )
    _note(conn, by, "account.add", user_id, patient_id=new.patient_id, role=new.role)
    return _invite(conn, by, user_id)


def reset(conn: Connection, by: Keeper, user_id: int) -> Invited:
    """The account begins anew: its password, passkeys, house identity, sessions and browsers end, and a new link is made.

    Raises `NotOnPanelError`, `DecisionConflictError` (closed, or one's own).
    """
    _, _, is_open = _lock(conn, user_id)
    if not is_open:
        raise DecisionConflictError("closed; open it first", what="account")
    _not_ones_own(by, user_id)
    people.set_password(conn, user_id=user_id, password_hash=accounts.hash_password(draw_token()))
    ended = store.close_sessions(conn, user_id)
    removed = store.remove_passkeys(conn, user_id, now=by.now)
    untied = sign_in.end_identities(conn, user_id)
    sign_in.forget_expected(conn, user_id, now=by.now)
    told = contacts.forget_browsers(conn, Owner(user_id=user_id))
    _note(conn, by, "account.reset", user_id, sessions=ended, passkeys=removed, identities=untied, browsers=told)
    return _invite(conn, by, user_id)


def close(conn: Connection, by: Keeper, user_id: int) -> None:
    """Nobody signs in to it, and whoever is signed in is not any more. What was done under it stays.

    Raises `NotOnPanelError`, `DecisionConflictError` (closed already, one's own, or the last admin's).
    """
    admins = store.lock_admins(conn)
    _, _, is_open = _lock(conn, user_id)
    if not is_open:
        raise DecisionConflictError("closed already", what="account")
    _not_ones_own(by, user_id)
    if admins == {user_id}:
        raise DecisionConflictError("the last admin's; add another admin first", what="account")
    store.set_active(conn, user_id, active=False)
    store.uninvite(conn, user_id)
    sign_in.forget_expected(conn, user_id, now=by.now)
    ended = store.close_sessions(conn, user_id)
    _note(conn, by, "account.close", user_id, sessions=ended)


def reopen(conn: Connection, by: Keeper, user_id: int) -> None:
    """With the password and the passkeys that it had. Raises `NotOnPanelError`, `DecisionConflictError` (open already)."""
    _, _, is_open = _lock(conn, user_id)
    if is_open:
        raise DecisionConflictError("open already", what="account")
    store.set_active(conn, user_id, active=True)
    _note(conn, by, "account.reopen", user_id)


def rename(conn: Connection, by: Keeper, user_id: int, display_name: str) -> None:
    """The name that others see. Raises `NotOnPanelError`, `MalformedError` (no name; a patient's account, which has none)."""
    _, role, _ = _lock(conn, user_id)
    if role == "patient":
        raise MalformedError("display_name", "a patient's own account keeps no name: it stays in the record")
    if not display_name.strip():
        raise MalformedError("display_name", "give the name that others see")
    store.set_name(conn, user_id, display_name.strip())
    _note(conn, by, "account.rename", user_id)


def set_role(conn: Connection, by: Keeper, user_id: int, role: Role) -> int:
    """Another role from now on, whoever is signed in signs in anew; how many patients the account sees no longer.

    Who is no clinician any more loses the panel, the patients whose own doctor the account was, their tasks, and what was open in
    an emergency. A doctor who becomes a nurse sees the same patients and is nobody's own doctor.

    Raises `NotOnPanelError`, `MalformedError` (to or from a patient's own account), `DecisionConflictError` (so already, one's
    own, or the last admin's).
    """
    admins = store.lock_admins(conn)
    _, had, _ = _lock(conn, user_id)
    if "patient" in (had, role):
        raise MalformedError("role", "a patient's own account stays one; close it, and add another account")
    if had == role:
        raise DecisionConflictError(f"{role} already", what="account")
    _not_ones_own(by, user_id)
    if admins == {user_id}:
        raise DecisionConflictError("the last admin's; add another admin first", what="account")
    store.set_role(conn, user_id, role)
    lost = _lose_patients(conn, by, user_id, had, role)
    ended = store.close_sessions(conn, user_id)
    _note(conn, by, "account.role", user_id, had=had, role=role, patients=lost, sessions=ended)
    return lost


def _lose_patients(conn: Connection, by: Keeper, user_id: int, had: str, role: Role) -> int:
    reason = f"{had} → {role}"
    if had == "doctor" and role == "nurse":
        given.step_down(conn, user_id, reason=reason, by=by.actor, now=by.now)
    if role in CLINICIANS:
        return 0
    store.end_glasses(conn, user_id, now=by.now)
    return given.leave(conn, user_id, reason=reason, by=by.actor, now=by.now)


def expect_of_house(conn: Connection, by: Keeper, user_id: int, name: str) -> None:
    """Who comes from the house's own sign-in under `name` within the time of an invitation is this account from then on.

    Nobody is any more whoever was it there; without a name nobody becomes it. Raises `NotOnPanelError`, `DecisionConflictError`
    (closed, one's own, or the name is expected for another account), `MalformedError` (a name that is none).
    """
    name = name.strip()
    if len(name) > HOUSE_NAME_MAX or not (name.isprintable() or not name):
        raise MalformedError(
            "name", f"give the name as the house's sign-in has it, at most {HOUSE_NAME_MAX} characters"
        )
    _, _, is_open = _lock(conn, user_id)
    if not is_open:
        raise DecisionConflictError("closed; open it first", what="account")
    _not_ones_own(by, user_id)
    untied = sign_in.end_identities(conn, user_id)
    sign_in.forget_expected(conn, user_id, now=by.now)
    if name and not sign_in.expect(conn, user_id, name, now=by.now, expires_at=by.now + INVITED_FOR):
        raise DecisionConflictError("expected for another account", what="name")
    _note(conn, by, "account.house", user_id, identities=untied, is_expected=bool(name))


def sign_out(conn: Connection, by: Keeper, user_id: int) -> int:
    """Ends every session of the account; how many there were. Raises `NotOnPanelError`."""
    _lock(conn, user_id)
    ended = store.close_sessions(conn, user_id)
    _note(conn, by, "account.sign_out", user_id, sessions=ended)
    return ended


def remove_passkey(conn: Connection, by: Keeper, user_id: int, passkey_id: bytes) -> None:
    """For a device that was lost. Raises `NotOnPanelError`."""
    if not sign_in.remove_passkey(conn, passkey_id, user_id=user_id, now=by.now):
        raise NotOnPanelError("no such passkey")
    _note(conn, by, "account.passkey", user_id)


def find_invited(conn: Connection, token: str, *, now: datetime) -> Invitee:
    """Whose link it is. Raises `NotOnPanelError`: unknown, used, or past its end."""
    found = store.find_invitation(conn, hash_token(token), now=now)
    if found is None:
        raise NotOnPanelError("no such invitation")
    return found


def accept(pool: Pool, token: str, *, password: str, address: str, now: datetime) -> SignedIn:
    """Its owner chooses a password and is signed in; the link opens nothing any more.

    Raises `WeakPasswordError`, `NotOnPanelError` (unknown, used, or past its end).
    """
    with transaction(pool) as conn:
        find_invited(conn, token, now=now)
    hashed = accounts.hash_password(password)
    with transaction(pool) as conn:
        user_id = store.take_invitation(conn, hash_token(token), now=now)
        if user_id is None:
            raise NotOnPanelError("no such invitation")
        people.set_password(conn, user_id=user_id, password_hash=hashed)
        audit.note(conn, actor=f"user:{user_id}", act="account.accept", at=now)
        return sessions.open_for(conn, user_id=user_id, address=address, by="invitation", now=now)


def _check_patient(conn: Connection, new: New) -> None:
    if (new.role == "patient") != (new.patient_id is not None):
        raise MalformedError("patient_id", "a patient's own account, and no other, says whose it is")
    if new.patient_id is None:
        return
    is_there, _ = panels.lock_patient(conn, new.patient_id)
    if not is_there:
        raise MalformedError("patient_id", "there is no patient with this number")
    if store.has_account(conn, new.patient_id):
        raise MalformedError("patient_id", "this patient has an account already")


def _invite(conn: Connection, by: Keeper, user_id: int) -> Invited:
    token, expires_at = draw_token(), by.now + INVITED_FOR
    store.invite(conn, user_id, hash_token(token), now=by.now, expires_at=expires_at)
    return Invited(user_id=user_id, token=token, expires_at=expires_at)


def _lock(conn: Connection, user_id: int) -> tuple[str, str, bool]:
    found = store.lock(conn, user_id)
    if found is None:
        raise NotOnPanelError("no such account")
    return found


def _not_ones_own(by: Keeper, user_id: int) -> None:
    if by.user_id == user_id:
        raise DecisionConflictError("your own; another admin does this", what="account")


def _note(
    conn: Connection, by: Keeper, act: str, user_id: int, *, patient_id: int | None = None, **facts: object
) -> None:
    audit.note(conn, actor=by.actor, act=act, at=by.now, patient_id=patient_id, subject=f"user:{user_id}", detail=facts)
