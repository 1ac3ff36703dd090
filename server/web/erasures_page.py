"""`/erasures`: who is to be forgotten, who is, and what was found when it was looked for. Patients are numbers here."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import erasure_requests
from server.people.door import Caller, SignedIn, check_form
from server.people.erasure import HeldError
from server.people.erasure_requests import person_of
from server.people.errors import DecisionConflictError
from server.store import worklist
from server.store.postgres import in_transaction, transaction
from server.web.privacy_page import REASONS
from server.web.rendering import render, words_of
from server.web.words import Words, mark

router: Final = APIRouter(prefix="/erasures", include_in_schema=False)

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
_CSRF = Annotated[str, Form(max_length=256)]

UNREACHED: Final = {
    "backups": mark(
        "Backups made before. Nothing opens them for this patient once the vault's key is changed and the old one destroyed."
    ),
    "given_out": mark("What was printed, exported or sent elsewhere before. The audit says what, and to whom."),
    "folders": mark("Files: no folder is named in the server's settings."),
    "broker": mark("What the broker keeps: its store is not among the folders of the server's settings."),
}


@router.get("")
def show(caller: SignedIn, request: Request) -> Response:
    return _page(caller, request)


@router.post("/{request_id}/confirm")
def confirm(caller: SignedIn, request: Request, request_id: Number, csrf_token: _CSRF = "") -> Response:
    """The second person wants it, too: it is done."""
    check_form(caller, request, csrf_token)
    years = caller.clinic.clinical_years
    try:
        in_transaction(
            caller.house,
            lambda conn: erasure_requests.confirm(conn, person_of(caller), request_id, clinical_years=years),
        )
    except HeldError as e:
        return _page(caller, request, refused_by=str(e), status=409)
    except DecisionConflictError:
        told = mark("Nothing was done: somebody has decided already, or the request is your own.")
        return _page(caller, request, told=told, status=409)
    return RedirectResponse("/erasures", status_code=303)


@router.post("/{request_id}/refuse")
def refuse(caller: SignedIn, request: Request, request_id: Number, csrf_token: _CSRF = "") -> Response:
    check_form(caller, request, csrf_token)
    try:
        in_transaction(caller.house, lambda conn: erasure_requests.refuse(conn, person_of(caller), request_id))
    except DecisionConflictError:
        return _page(caller, request, told=mark("Somebody has decided already."), status=409)
    return RedirectResponse("/erasures", status_code=303)


def _page(caller: Caller, request: Request, *, told: str = "", refused_by: str = "", status: int = 200) -> Response:
    words = words_of(request, caller)
    person = person_of(caller)
    with transaction(caller.house) as conn:
        found = erasure_requests.requests(conn, person)
        erased = erasure_requests.erased(conn, person)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    return render(
        request,
        "erasures.html",
        words,
        caller=caller,
        status=status,
        unread=unread,
        told=words.say(told) if told else "",
        refused_by=refused_by,
        waiting=[each for each in found if each.decision is None],
        refused=[each for each in found if each.decision == "refused"],
        erased=erased,
        REASONS=REASONS,
        may_decide=person.role != "auditor",
        is_house=person.role in ("admin", "auditor"),
        not_looked=lambda codes: _not_looked(codes, words),
    )


def _not_looked(codes: list[str], words: Words) -> list[str]:
    return [words.say(UNREACHED[code]) if code in UNREACHED else code for code in codes]
