"""`/login` and `/logout`: a browser's session."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from server.people import sessions
from server.people.door import AClinic, Clinic, SignedIn, address_of, check_same_origin
from server.people.errors import TooManyAttemptsError, WrongPasswordError
from server.web.rendering import render, words_for
from server.web.words import mark

router: Final = APIRouter(include_in_schema=False)

Field = Annotated[str, Form(max_length=256)]

WRONG: Final = mark("Login and password do not fit.")
TOO_MANY: Final = mark("Too many failed attempts to sign in. Wait a quarter of an hour.")


@router.get("/login")
def show_form(request: Request, next: str = "/") -> Response:  # noqa: A002 - the word of the address
    return render(request, "login.html", words_for(request), next=_inside(next), complaint="", login="")


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
        words = words_for(request)
        complaint, status = (WRONG, 401) if isinstance(e, WrongPasswordError) else (TOO_MANY, 429)
        return render(
            request, "login.html", words, status=status, next=_inside(next), complaint=words.say(complaint), login=login
        )
    answer = RedirectResponse(_inside(next), status_code=303)
    _set_cookie(answer, clinic, signed_in.token)
    return answer


@router.post("/logout")
def sign_out(caller: SignedIn, request: Request, csrf_token: Field = "") -> Response:
    check_same_origin(request)
    sessions.check_csrf(caller.session, csrf_token)
    sessions.sign_out(caller.pool, caller.session, now=caller.now)
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(caller.clinic.cookie_name, path="/", secure=caller.clinic.secure_cookies, httponly=True)
    return answer


def _set_cookie(answer: Response, clinic: Clinic, token: str) -> None:
    answer.set_cookie(clinic.cookie_name, token, path="/", httponly=True, samesite="lax", secure=clinic.secure_cookies)


def _inside(address: str) -> str:
    """Only a path of this site is led to after signing in."""
    is_path = address.startswith("/") and not address.startswith(("//", "/\\")) and "\\" not in address
    return address if is_path and address.isprintable() else "/"
