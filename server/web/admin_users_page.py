"""`/admin/users`: accounts and their ways in, for whoever runs the clinic. No record is shown, and patients are numbers."""

from typing import Annotated, Final, Literal, cast, get_args

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people import users
from server.people.accounts import Language, Role
from server.people.door import Caller, SignedIn, address, check_form
from server.people.errors import DecisionConflictError, LoginTakenError
from server.people.users import Invited, Keeper, New
from server.store import worklist
from server.store.postgres import in_transaction, transaction
from server.store.users import Wanted
from server.web.rendering import render, words_of
from server.web.words import ROLES, mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/admin/users", include_in_schema=False)

StaffRole = Literal["doctor", "nurse", "admin", "auditor"]
Deed = Literal["reset", "close", "reopen", "sign-out"]
UserId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Token = Annotated[str, Form(max_length=256)]
Line = Annotated[str, Form(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]

PAGE: Final = 50
LANGUAGE_NAMES: Final = {"zh": "中文", "en": "English"}
OF_PATIENT: Final = {"zh": "患者", "en": "Patient"}
DONE: Final = {
    "close": mark("The account is closed. Whoever was signed in is not any more."),
    "reopen": mark("The account is open again, with the password and the passkeys that it had."),
    "sign-out": mark("Signed out everywhere."),
}
CHANGED: Final = {
    "passkey": mark("The passkey is removed."),
    "name": mark("The account has another name."),
    "house": mark("It is noted by what name this person comes from the house's own sign-in."),
    "role": mark("The account has another role. Whoever was signed in signs in again."),
}
NAMELESS: Final = mark("Give the name that others see. A patient's own account has none: it stays in the record.")
TAKEN: Final = mark("Somebody signs in under this name already. Choose another.")
INCOMPLETE: Final = mark("Give a name to sign in with, a name that others see, and a role.")
NO_PATIENT: Final = mark(
    "Give the number of the patient whose account it is. There must be such a patient, and one without an account."
)
NOT_EXPECTED: Final = mark(
    "Nothing was changed: it is your own account (connect it under your name at the top), or the name is noted for another"
    " account."
)
NOT_NOW: Final = mark(
    "Nothing was changed: it is so already, it is your own account, or it is the last administrator's. This is how it is now."
)


@router.get("")
def show_users(
    caller: SignedIn,
    request: Request,
    q: Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")] = "",
    role: Role | Literal[""] = "",
    after: Annotated[str, Query(max_length=256, pattern=r"^[^\x00]*$")] = "",
) -> Response:
    return _list(caller, request, Wanted(role=role or None, text=q or None, after=after or None))


@router.post("")
def add(
    caller: SignedIn,
    request: Request,
    login: Line = "",
    display_name: Line = "",
    role: Annotated[str, Form(max_length=16)] = "",
    language: Annotated[Language, Form()] = "zh",
    number: Annotated[str, Form(max_length=19)] = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    login, display_name, number = login.strip(), display_name.strip(), number.strip()
    typed = {"login": login, "display_name": display_name, "role": role, "language": language, "number": number}
    if role not in get_args(Role) or not login or not (display_name or role == "patient"):
        return _list(caller, request, Wanted(), complaint=INCOMPLETE, typed=typed)
    patient_id = int(number) if number.isascii() and number.isdigit() and 0 < int(number) < 2**63 else None
    new = New(
        login=login,
        # a patient's name is not kept here, where it would not be sealed
        display_name=f"{OF_PATIENT[language]} {number}" if role == "patient" else display_name,
        role=cast(Role, role),
        language=language,
        patient_id=patient_id if role == "patient" else None,
    )
    try:
        with transaction(caller.house) as conn:
            invited = users.add(conn, _keeper(caller), new)
    except LoginTakenError:
        return _list(caller, request, Wanted(), complaint=TAKEN, typed=typed)
    except MalformedError:
        return _list(caller, request, Wanted(), complaint=NO_PATIENT, typed=typed)
    return _one(caller, request, invited.user_id, invited=invited)


@router.get("/{user_id}")
def show_user(
    caller: SignedIn,
    request: Request,
    user_id: UserId,
    done: Deed | Literal["passkey", "name", "role", "house", ""] = "",
) -> Response:
    return _one(caller, request, user_id, told={**DONE, **CHANGED}.get(done, ""))


@router.post("/{user_id}/name")
def rename(
    caller: SignedIn, request: Request, user_id: UserId, display_name: Line = "", csrf_token: Token = ""
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        with transaction(caller.house) as conn:
            users.rename(conn, _keeper(caller), user_id, display_name)
    except MalformedError:
        return _one(caller, request, user_id, complaint=NAMELESS)
    return RedirectResponse(f"/admin/users/{user_id}?done=name", status_code=303)


@router.post("/{user_id}/role")
def set_role(
    caller: SignedIn,
    request: Request,
    user_id: UserId,
    role: Annotated[StaffRole, Form()],
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        in_transaction(caller.house, lambda conn: users.set_role(conn, _keeper(caller), user_id, role))
    except (DecisionConflictError, MalformedError):
        return _one(caller, request, user_id, complaint=NOT_NOW)
    return RedirectResponse(f"/admin/users/{user_id}?done=role", status_code=303)


@router.post("/{user_id}/house")
def expect_of_house(
    caller: SignedIn, request: Request, user_id: UserId, name: Line = "", csrf_token: Token = ""
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        in_transaction(caller.house, lambda conn: users.expect_of_house(conn, _keeper(caller), user_id, name))
    except (DecisionConflictError, MalformedError):
        return _one(caller, request, user_id, complaint=NOT_EXPECTED)
    return RedirectResponse(f"/admin/users/{user_id}?done=house", status_code=303)


@router.post("/{user_id}/{deed}")
def do(caller: SignedIn, request: Request, user_id: UserId, deed: Deed, csrf_token: Token = "") -> Response:
    check_form(caller, request, csrf_token)
    invited = None
    try:
        with transaction(caller.house) as conn:
            match deed:
                case "reset":
                    invited = users.reset(conn, _keeper(caller), user_id)
                case "close":
                    users.close(conn, _keeper(caller), user_id)
                case "reopen":
                    users.reopen(conn, _keeper(caller), user_id)
                case "sign-out":
                    users.sign_out(conn, _keeper(caller), user_id)
    except DecisionConflictError:
        return _one(caller, request, user_id, complaint=NOT_NOW)
    if invited is not None:
        return _one(caller, request, user_id, invited=invited)
    return RedirectResponse(f"/admin/users/{user_id}?done={deed}", status_code=303)


@router.post("/{user_id}/passkeys/{passkey_id}/remove")
def remove_passkey(
    caller: SignedIn,
    request: Request,
    user_id: UserId,
    passkey_id: Annotated[str, Path(pattern=r"^([0-9a-f]{2}){1,1023}$")],
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    with transaction(caller.house) as conn:
        users.remove_passkey(conn, _keeper(caller), user_id, bytes.fromhex(passkey_id))
    return RedirectResponse(f"/admin/users/{user_id}?done=passkey", status_code=303)


def _list(
    caller: Caller,
    request: Request,
    wanted: Wanted,
    *,
    complaint: str = "",
    typed: dict[str, str] | None = None,
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.house) as conn:
        found = users.list_accounts(conn, wanted, now=caller.now, limit=PAGE + 1)
    return render(
        request,
        "admin_users.html",
        words,
        caller=caller,
        status=409 if complaint else 200,
        unread=_unread(caller),
        accounts=found[:PAGE],
        more=found[PAGE - 1].login if len(found) > PAGE else "",
        wanted=wanted,
        typed=typed,
        ROLES=ROLES,
        LANGUAGE_NAMES=LANGUAGE_NAMES,
        now=caller.now,
        complaint=words.say(complaint) if complaint else "",
    )


def _one(
    caller: Caller,
    request: Request,
    user_id: int,
    *,
    told: str = "",
    complaint: str = "",
    invited: Invited | None = None,
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.house) as conn:
        found = users.look_up(conn, user_id, now=caller.now)
    return render(
        request,
        "admin_user.html",
        words,
        caller=caller,
        status=409 if complaint else 200,
        unread=_unread(caller),
        account=found.account,
        open_sessions=found.sessions,
        passkeys=found.passkeys,
        house=found.house,
        has_house=caller.clinic.house is not None,
        link=f"{address(request)}/welcome/{invited.token}" if invited else "",
        ROLES=ROLES,
        LANGUAGE_NAMES=LANGUAGE_NAMES,
        now=caller.now,
        told=words.say(told) if told else "",
        complaint=words.say(complaint) if complaint else "",
    )


def _unread(caller: Caller) -> int:
    with transaction(caller.pool) as conn:
        return worklist.count_unread(conn, user_id=caller.user_id)


def _keeper(caller: Caller) -> Keeper:
    return Keeper(actor=f"user:{caller.user_id}", now=caller.now, user_id=caller.user_id)
