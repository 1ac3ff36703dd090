"""`/welcome/{token}`: whoever has an account here for the first time, or anew, chooses the password. The link opens once."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import users
from server.people.door import AClinic, Clinic, address_of, check_same_origin
from server.people.errors import NotOnPanelError, WeakPasswordError
from server.store.postgres import transaction
from server.web.rendering import render, words_for
from server.web.signing import set_session
from server.web.words import mark

router: Final = APIRouter(prefix="/welcome", include_in_schema=False)

Token = Annotated[str, Path(max_length=128)]
Password = Annotated[str, Form(max_length=256)]

OVER: Final = mark("This link opens nothing any more.")
NOT_ALIKE: Final = mark("The two new passwords are not alike.")
WEAK: Final = mark("A password has 8 to 256 characters.")


@router.get("/{token}")
def show(clinic: AClinic, request: Request, token: Token) -> Response:
    return _show(clinic, request, token)


@router.post("/{token}")
def choose(clinic: AClinic, request: Request, token: Token, new: Password = "", again: Password = "") -> Response:
    check_same_origin(request)
    if new != again:
        return _show(clinic, request, token, complaint=NOT_ALIKE)
    try:
        signed_in = users.accept(clinic.pool, token, password=new, address=address_of(request), now=clinic.now())
    except WeakPasswordError:
        return _show(clinic, request, token, complaint=WEAK)
    except NotOnPanelError:
        return _show(clinic, request, token)
    answer = RedirectResponse("/", status_code=303)
    set_session(answer, clinic, signed_in.token)
    return answer


def _show(clinic: Clinic, request: Request, token: str, *, complaint: str = "") -> Response:
    try:
        with transaction(clinic.pool) as conn:
            invitee = users.find_invited(conn, token, now=clinic.now())
    except NotOnPanelError:
        words = words_for(request)
        return render(request, "welcome.html", words, status=404, invitee=None, complaint=words.say(OVER))
    words = words_for(request, invitee.language)
    return render(
        request,
        "welcome.html",
        words,
        status=409 if complaint else 200,
        invitee=invitee,
        token=token,
        complaint=words.say(complaint) if complaint else "",
    )
