"""`/api/v1/users`: accounts and their ways in, for whoever runs the clinic. Patients are numbers here."""

import base64
from datetime import datetime
from typing import Annotated, Final, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field, StringConstraints

from server.api import problems
from server.api.paging import Page, cut
from server.api.shapes import Name, Shape
from server.people import users
from server.people.accounts import Language, Role
from server.people.door import Caller, Changing, SignedIn, address
from server.people.users import Invited, Keeper, New
from server.store.postgres import in_transaction, transaction
from server.store.users import Account, Wanted
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/api/v1/users", tags=["users"])

UserId = Annotated[int, Path(ge=1, le=2**63 - 1)]
PasskeyId = Annotated[str, Path(pattern=r"^([0-9a-f]{2}){1,1023}$")]


class UsersPage(Page):
    """What must fit. `q`: in login or name."""

    role: Role | None = None
    q: Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")] | None = None


class UserOut(Shape):
    """`patient_id`: a patient's own account. `patients`: how many the account sees. `invited_until`: a link waits until then."""

    user_id: int
    login: str
    display_name: str
    role: Role
    language: Language
    active: bool
    created_at: datetime
    patient_id: int | None
    patients: int
    sessions: int
    passkeys: int
    invited_until: datetime | None

    @classmethod
    def of(cls, account: Account) -> Self:
        return cls.model_validate({name: getattr(account, name) for name in cls.model_fields})


class UsersOut(Shape):
    """One page, by login."""

    users: tuple[UserOut, ...]
    next: str | None


class OpenSessionOut(Shape):
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


class PasskeyOut(Shape):
    passkey_id: str
    name: str
    added_at: datetime
    last_used_at: datetime | None


class WaysInOut(Shape):
    """What is open now, and the passkeys that open it."""

    user: UserOut
    open_sessions: tuple[OpenSessionOut, ...]
    passkeys: tuple[PasskeyOut, ...]


class UserIn(Shape):
    """`patient_id`: for the role `patient`, and for no other."""

    login: Name
    display_name: Name
    role: Role
    language: Language = "zh"
    patient_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None


class NameIn(Shape):
    display_name: Name


class RoleIn(Shape):
    role: Role


class RoleOut(Shape):
    """`patients`: how many the account sees no longer; who of them nobody else sees is on `/admin/panels`."""

    user_id: int
    role: Role
    patients: int


class InvitedOut(Shape):
    """`link` opens once, until `expires_at`, and lets whoever has it choose the password; it cannot be shown again."""

    user_id: int
    link: str
    expires_at: datetime


@router.get("", responses=problems.FORBIDDEN)
def list_users(caller: SignedIn, page: Annotated[UsersPage, Query()]) -> UsersOut:
    """Every account, by login."""
    wanted = Wanted(role=page.role, text=page.q or None, after=_decode(page.cursor))
    with transaction(caller.house) as conn:
        rows = users.list_accounts(conn, wanted, now=caller.now, limit=page.limit + 1)
    shown, last = cut(rows, page.limit)
    return UsersOut(users=tuple(UserOut.of(each) for each in shown), next=_encode(last.login) if last else None)


@router.post("", status_code=201, responses=problems.ACCOUNT)
def add_user(caller: Changing, request: Request, body: UserIn) -> InvitedOut:
    """An account whose owner chooses the password, by a link that is shown this once."""
    new = New(
        login=body.login,
        display_name=body.display_name,
        role=body.role,
        language=body.language,
        patient_id=body.patient_id,
    )
    with transaction(caller.house) as conn:
        return _invited(request, users.add(conn, keeper(caller), new))


@router.get("/{user_id}", responses={**problems.FORBIDDEN, **problems.NOT_FOUND})
def show_user(caller: SignedIn, user_id: UserId) -> WaysInOut:
    """One account, what is open now, and the passkeys that open it."""
    with transaction(caller.house) as conn:
        found = users.look_up(conn, user_id, now=caller.now)
    return WaysInOut(
        user=UserOut.of(found.account),
        open_sessions=tuple(
            OpenSessionOut(created_at=each.created_at, last_seen_at=each.last_seen_at, expires_at=each.expires_at)
            for each in found.sessions
        ),
        passkeys=tuple(
            PasskeyOut(
                passkey_id=each.passkey_id.hex(),
                name=each.name,
                added_at=each.added_at,
                last_used_at=each.last_used_at,
            )
            for each in found.passkeys
        ),
    )


@router.post("/{user_id}/name", status_code=204, responses=problems.ACCOUNT)
def rename(caller: Changing, user_id: UserId, body: NameIn) -> None:
    """The name that others see; a patient's own account has none."""
    with transaction(caller.house) as conn:
        users.rename(conn, keeper(caller), user_id, body.display_name)


@router.post("/{user_id}/role", responses=problems.ACCOUNT)
def set_role(caller: Changing, user_id: UserId, body: RoleIn) -> RoleOut:
    """Another role: its sessions end, and who is no clinician any more sees nobody. Never one's own, never the last admin's."""
    lost = in_transaction(caller.house, lambda conn: users.set_role(conn, keeper(caller), user_id, body.role))
    return RoleOut(user_id=user_id, role=body.role, patients=lost)


@router.post("/{user_id}/reset", responses=problems.ACCOUNT)
def reset(caller: Changing, request: Request, user_id: UserId) -> InvitedOut:
    """The account begins anew: password, passkeys and sessions end; a new link is shown this once."""
    with transaction(caller.house) as conn:
        return _invited(request, users.reset(conn, keeper(caller), user_id))


@router.post("/{user_id}/close", status_code=204, responses=problems.ACCOUNT)
def close(caller: Changing, user_id: UserId) -> None:
    """Nobody signs in to it any more; never the last admin's."""
    with transaction(caller.house) as conn:
        users.close(conn, keeper(caller), user_id)


@router.post("/{user_id}/reopen", status_code=204, responses=problems.ACCOUNT)
def reopen(caller: Changing, user_id: UserId) -> None:
    """With the password and the passkeys that it had."""
    with transaction(caller.house) as conn:
        users.reopen(conn, keeper(caller), user_id)


@router.post("/{user_id}/sign-out", status_code=204, responses=problems.ACCOUNT)
def sign_out(caller: Changing, user_id: UserId) -> None:
    """Ends every session of the account."""
    with transaction(caller.house) as conn:
        users.sign_out(conn, keeper(caller), user_id)


@router.delete("/{user_id}/passkeys/{passkey_id}", status_code=204, responses=problems.ACCOUNT)
def remove_passkey(caller: Changing, user_id: UserId, passkey_id: PasskeyId) -> None:
    """For a device that was lost."""
    with transaction(caller.house) as conn:
        users.remove_passkey(conn, keeper(caller), user_id, bytes.fromhex(passkey_id))


def keeper(caller: Caller) -> Keeper:
    return Keeper(actor=f"user:{caller.user_id}", now=caller.now, user_id=caller.user_id)


def _invited(request: Request, invited: Invited) -> InvitedOut:
    link = f"{address(request)}/welcome/{invited.token}"
    return InvitedOut(user_id=invited.user_id, link=link, expires_at=invited.expires_at)


def _encode(login: str) -> str:
    return base64.urlsafe_b64encode(login.encode()).decode()


def _decode(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        login = base64.urlsafe_b64decode(cursor).decode()
    except ValueError as e:
        raise MalformedError("cursor", "the cursor is none that was given out; begin without one") from e
    if "\x00" in login:
        raise MalformedError("cursor", "the cursor is none that was given out; begin without one")
    return login
