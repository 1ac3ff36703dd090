"""`/break-glass`: opening the record of somebody else's patient in an emergency."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import break_glass
from server.people.break_glass import Emergency
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotOnPanelError, TooManyAttemptsError
from server.store import worklist
from server.store.postgres import transaction
from server.web.rendering import render, words_of
from server.web.words import mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/break-glass", include_in_schema=False)

WHY: Final = mark("Write in 10 to 500 characters why it must be now.")
NOBODY: Final = mark("There is no patient with this number.")
YOURS: Final = mark("You see this patient already.")
TOO_MANY: Final = mark("Too many tries. Wait an hour, or ask whoever runs the clinic to put the patient on your panel.")


@router.get("")
def show(caller: SignedIn, request: Request) -> Response:
    return _page(caller, request)


@router.post("")
def open_record(
    caller: SignedIn,
    request: Request,
    patient_id: Annotated[int, Form(ge=1, le=2**63 - 1)],
    reason: Annotated[str, Form(max_length=1000)] = "",
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    check_form(caller, request, csrf_token)
    emergency = Emergency(
        user_id=caller.user_id, role=caller.session.role, patient_id=patient_id, reason=reason, now=caller.now
    )
    try:
        break_glass.open_record(caller.house, emergency)
    except MalformedError:
        return _page(caller, request, told=WHY, status=422, reason=reason, number=patient_id)
    except NotOnPanelError:
        return _page(caller, request, told=NOBODY, status=404, reason=reason, number=patient_id)
    except DecisionConflictError:
        return _page(caller, request, told=YOURS, status=409, number=patient_id)
    except TooManyAttemptsError:
        return _page(caller, request, told=TOO_MANY, status=429)
    return RedirectResponse(f"/p/{patient_id}", status_code=303)


@router.post("/{break_glass_id}/end")
def end(
    caller: SignedIn,
    request: Request,
    break_glass_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    check_form(caller, request, csrf_token)
    break_glass.end(caller.house, user_id=caller.user_id, break_glass_id=break_glass_id, now=caller.now)
    return RedirectResponse("/break-glass", status_code=303)


def _page(
    caller: Caller, request: Request, *, told: str = "", status: int = 200, reason: str = "", number: int | None = None
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    return render(
        request,
        "break_glass.html",
        words,
        caller=caller,
        status=status,
        unread=unread,
        told=words.say(told) if told else "",
        reason=reason,
        number=number,
        records=break_glass.open_now(caller.house, caller.user_id, now=caller.now),
        now=caller.now,
    )
