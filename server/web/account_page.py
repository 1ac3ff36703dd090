"""`/account`: what is one's own here: the password, the passkeys; and signing in with one of these."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import passkeys, sessions
from server.people.door import AClinic, Caller, SignedIn, address, address_of, check_form, check_same_origin
from server.people.errors import (
    HouseSignInError,
    PasskeyRefusedError,
    ProofNeededError,
    TooManyAttemptsError,
    WeakPasswordError,
    WrongPasswordError,
)
from server.people.passkeys import NAME_MAX, Site
from server.store import sign_in as store
from server.store import users, worklist
from server.store.postgres import transaction
from server.web.rendering import render, words_of
from server.web.signing import BACK, TOO_MANY, inside, lead_away, set_session, show_login
from server.web.words import ROLES, mark

router: Final = APIRouter(include_in_schema=False)

Answer = Annotated[str, Form(max_length=16_384)]
Token = Annotated[str, Form(max_length=256)]
PasskeyId = Annotated[str, Path(pattern=r"^([0-9a-f]{2}){1,1023}$")]

CHANGED: Final = mark("Your password is changed. You are signed out everywhere else.")
ALONE: Final = mark("You are signed out everywhere else.")
ADDED: Final = mark("The passkey is added.")
REMOVED: Final = mark("The passkey is removed.")
NOT_YOURS: Final = mark("The present password is not right.")
PROVE: Final = mark("Give your present password as well: this opens a further way in.")
NOT_ALIKE: Final = mark("The two new passwords are not alike.")
WEAK: Final = mark("A password has 8 to 256 characters.")
REFUSED: Final = mark("That did not work. Try again, or sign in with your password.")


@router.get("/account")
def show_account(caller: SignedIn, request: Request) -> Response:
    return _show(caller, request)


@router.post("/account/password")
def change_password(
    caller: SignedIn,
    request: Request,
    present: Token = "",
    new: Token = "",
    again: Token = "",
    csrf_token: Token = "",
) -> Response:
    """The present password is asked for, because a screen may have been left open."""
    check_form(caller, request, csrf_token)
    if new != again:
        return _show(caller, request, complaint=NOT_ALIKE)
    try:
        sessions.change_password(
            caller.clinic.pool, caller.session, present=present, new=new, address=address_of(request), now=caller.now
        )
    except WeakPasswordError:
        return _show(caller, request, complaint=WEAK)
    except WrongPasswordError:
        return _show(caller, request, complaint=NOT_YOURS)
    except TooManyAttemptsError:
        return _show(caller, request, complaint=TOO_MANY)
    return _show(caller, request, told=CHANGED)


@router.post("/account/sessions/end")
def sign_out_elsewhere(caller: SignedIn, request: Request, csrf_token: Token = "") -> Response:
    """This browser stays signed in."""
    check_form(caller, request, csrf_token)
    sessions.sign_out_elsewhere(caller.clinic.pool, caller.session, now=caller.now)
    return _show(caller, request, told=ALONE)


@router.post("/account/passkeys/ask")
def ask_to_add(caller: SignedIn, request: Request, present: Token = "", csrf_token: Token = "") -> Response:
    """What the browser is to be asked; else why not, in words that the page shows."""
    check_form(caller, request, csrf_token)
    try:
        asked = passkeys.ask_to_add(
            caller.clinic.pool,
            caller.session,
            _site(request),
            password=present,
            address=address_of(request),
            now=caller.now,
        )
    except (ProofNeededError, WrongPasswordError, TooManyAttemptsError, PasskeyRefusedError) as e:
        return Response(words_of(request, caller).say(_refusal(e)), status_code=409, media_type="text/plain")
    return Response(asked, media_type="application/json")


@router.post("/account/passkeys")
def add_passkey(
    caller: SignedIn,
    request: Request,
    answer: Answer,
    name: Annotated[str, Form(max_length=NAME_MAX, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    try:
        with transaction(caller.clinic.pool) as conn:
            passkeys.add(conn, caller.session, _site(request), answer, name=name.strip(), now=caller.now)
    except PasskeyRefusedError:
        return _show(caller, request, complaint=REFUSED)
    return _show(caller, request, told=ADDED)


@router.post("/account/house")
def tie_to_house(caller: SignedIn, request: Request, present: Token = "", csrf_token: Token = "") -> Response:
    """To the house's own sign-in: whoever comes back from there with this browser opens this account from then on."""
    check_form(caller, request, csrf_token)
    pool, house = caller.clinic.pool, caller.clinic.house
    try:
        if house is None:
            raise HouseSignInError("there is no sign-in of the house here")
        sessions.prove(pool, caller.session, password=present, address=address_of(request), now=caller.now)
        leaving = house.leave(
            pool,
            back=f"{address(request)}{BACK}",
            next_path="/account",
            address=address_of(request),
            now=caller.now,
            session=caller.session,
        )
    except (ProofNeededError, WrongPasswordError, TooManyAttemptsError, HouseSignInError) as e:
        return _show(caller, request, complaint=_refusal(e))
    return lead_away(caller.clinic, leaving)


@router.post("/account/passkeys/{passkey_id}/remove")
def remove_passkey(caller: SignedIn, request: Request, passkey_id: PasskeyId, csrf_token: Token = "") -> Response:
    check_form(caller, request, csrf_token)
    with transaction(caller.clinic.pool) as conn:
        passkeys.remove(conn, caller.session, bytes.fromhex(passkey_id), now=caller.now)
    return _show(caller, request, told=REMOVED)


@router.post("/login/passkey/ask")
def ask_to_sign_in(clinic: AClinic, request: Request) -> Response:
    check_same_origin(request)
    asked = passkeys.ask_to_sign_in(clinic.pool, _site(request), address=address_of(request), now=clinic.now())
    return Response(asked, media_type="application/json")


@router.post("/login/passkey")
def sign_in(clinic: AClinic, request: Request, answer: Answer, next: Token = "/") -> Response:  # noqa: A002 - as in signing
    check_same_origin(request)
    try:
        signed_in = passkeys.sign_in(clinic.pool, _site(request), answer, address=address_of(request), now=clinic.now())
    except (PasskeyRefusedError, WrongPasswordError):
        return show_login(request, status=401, next_path=inside(next), complaint=REFUSED)
    except TooManyAttemptsError:
        return show_login(request, status=429, next_path=inside(next), complaint=TOO_MANY)
    answer_back = RedirectResponse(inside(next), status_code=303)
    set_session(answer_back, clinic, signed_in.token)
    return answer_back


def _refusal(error: Exception) -> str:
    match error:
        case ProofNeededError():
            return PROVE
        case WrongPasswordError():
            return NOT_YOURS
        case TooManyAttemptsError():
            return TOO_MANY
    return REFUSED


def _show(caller: Caller, request: Request, *, told: str = "", complaint: str = "") -> Response:
    words = words_of(request, caller)
    with transaction(caller.clinic.pool) as conn:
        had = store.list_passkeys(conn, user_id=caller.user_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
        idle_since, own = caller.now - sessions.IDLE_FOR, caller.session.token_hash
        tie = store.house_tie(conn, caller.user_id, now=caller.now)
        opened = users.list_sessions(conn, caller.user_id, now=caller.now, idle_since=idle_since, own=own)
    return render(
        request,
        "account.html",
        words,
        caller=caller,
        status=409 if complaint else 200,
        unread=unread,
        passkeys=had,
        is_proved=sessions.is_proved(caller.session, now=caller.now),
        has_house=caller.clinic.house is not None,
        house=tie,
        open_sessions=opened,
        ROLES=ROLES,
        now=caller.now,
        told=words.say(told) if told else "",
        complaint=words.say(complaint) if complaint else "",
    )


def _site(request: Request) -> Site:
    return Site(origin=address(request))
