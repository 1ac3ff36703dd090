"""`/login` and `/logout`: a browser's session."""

from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people import sessions
from server.people.door import AClinic, Clinic, SignedIn, address, address_of, check_form, check_same_origin, clinic_of
from server.people.errors import HouseSignInError, NotSignedInError, TooManyAttemptsError, WrongPasswordError
from server.people.house import ASKED_FOR, Leaving
from server.web.rendering import render, words_for
from server.web.words import mark

log = structlog.get_logger()

router: Final = APIRouter(include_in_schema=False)

Field = Annotated[str, Form(max_length=256)]

WRONG: Final = mark("Login and password do not fit.")
HOUSE_REFUSED: Final = mark("The house's sign-in did not work. Try again, or sign in with your password.")
BACK: Final = "/login/house/back"
STATE_COOKIE: Final = "homevigil_leaving"
TOO_MANY: Final = mark("Too many failed attempts to sign in. Wait a quarter of an hour.")


def show_login(
    request: Request, *, status: int = 200, next_path: str = "/", complaint: str = "", login: str = ""
) -> Response:
    """The page on which one signs in, with every way that there is."""
    words = words_for(request)
    return render(
        request,
        "login.html",
        words,
        status=status,
        next=next_path,
        complaint=words.say(complaint) if complaint else "",
        login=login,
        has_house=clinic_of(request).house is not None,
    )


@router.get("/login")
def show_form(request: Request, next: str = "/") -> Response:  # noqa: A002 - the word of the address
    return show_login(request, next_path=inside(next))


@router.post("/login")
def sign_in(
    clinic: AClinic,
    request: Request,
    login: Field = "",
    password: Field = "",
    next: Field = "/",  # noqa: A002 - as above
) -> Response:
    check_same_origin(request)
    try:
        signed_in = sessions.sign_in(
            clinic.pool, login=login, password=password, address=address_of(request), now=clinic.now()
        )
    except (WrongPasswordError, TooManyAttemptsError) as e:
        complaint, status = (WRONG, 401) if isinstance(e, WrongPasswordError) else (TOO_MANY, 429)
        return show_login(request, status=status, next_path=inside(next), complaint=complaint, login=login)
    answer = RedirectResponse(inside(next), status_code=303)
    set_session(answer, clinic, signed_in.token)
    return answer


@router.get("/login/house")
def leave(clinic: AClinic, request: Request, next: str = "/") -> Response:  # noqa: A002 - as above
    """To the house's own sign-in, with a cookie by which this browser is known when it comes back."""
    try:
        if clinic.house is None:
            raise HouseSignInError("there is no sign-in of the house here")
        back = f"{address(request)}{BACK}"
        leaving = clinic.house.leave(
            clinic.pool, back=back, next_path=inside(next), address=address_of(request), now=clinic.now()
        )
    except HouseSignInError as e:
        log.warning("house_sign_in_refused", reason=str(e))
        return show_login(request, status=503, complaint=HOUSE_REFUSED)
    except TooManyAttemptsError:
        return show_login(request, status=429, complaint=TOO_MANY)
    return lead_away(clinic, leaving)


def lead_away(clinic: Clinic, leaving: Leaving) -> Response:
    answer = RedirectResponse(leaving.url, status_code=303)
    answer.set_cookie(
        STATE_COOKIE,
        leaving.state,
        path=BACK,
        max_age=int(ASKED_FOR.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=clinic.secure_cookies,
    )
    return answer


@router.get(BACK)
def come_back(clinic: AClinic, request: Request, state: Annotated[str, Query(max_length=256)] = "") -> Response:
    """From the house's own sign-in."""
    try:
        if clinic.house is None:
            raise HouseSignInError("there is no sign-in of the house here")
        signed_in, next_path = clinic.house.come_back(
            clinic.pool,
            came_with=f"{address(request)}{BACK}?{request.url.query}",
            state=state,
            token=request.cookies.get(clinic.cookie_name),
            kept_state=request.cookies.get(STATE_COOKIE, ""),
            address=address_of(request),
            now=clinic.now(),
        )
    except (HouseSignInError, NotSignedInError, WrongPasswordError) as e:
        log.warning("house_sign_in_refused", reason=str(e))
        return show_login(request, status=401, complaint=HOUSE_REFUSED)
    except TooManyAttemptsError:
        return show_login(request, status=429, complaint=TOO_MANY)
    answer = RedirectResponse(inside(next_path), status_code=303)
    answer.delete_cookie(STATE_COOKIE, path=BACK, secure=clinic.secure_cookies, httponly=True)
    set_session(answer, clinic, signed_in.token)
    return answer


@router.post("/logout")
def sign_out(caller: SignedIn, request: Request, csrf_token: Field = "") -> Response:
    check_form(caller, request, csrf_token)
    sessions.sign_out(caller.house, caller.session, now=caller.now)
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(caller.clinic.cookie_name, path="/", secure=caller.clinic.secure_cookies, httponly=True)
    return answer


def set_session(answer: Response, clinic: Clinic, token: str) -> None:
    answer.set_cookie(clinic.cookie_name, token, path="/", httponly=True, samesite="lax", secure=clinic.secure_cookies)


def inside(path: str) -> str:
    """Only a path of this site is led to after signing in."""
    is_path = path.startswith("/") and not path.startswith(("//", "/\\")) and "\\" not in path
    return path if is_path and path.isprintable() else "/"
