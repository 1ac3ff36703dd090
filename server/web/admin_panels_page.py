"""`/admin/panels`: who cares for whom, for whoever runs the clinic. Patients are numbers here: no record is shown."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people import panels, users
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.panels import REASON_MAX, Act, Wish
from server.store import worklist
from server.store.panels import Sees
from server.store.postgres import in_transaction, transaction
from server.store.users import Account, Wanted
from server.web.house_times import house_clock, name_actor
from server.web.rendering import render, words_of
from server.web.words import mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/admin/panels", include_in_schema=False)

Number = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
Posted = Annotated[int, Form(ge=1, le=2**63 - 1)]
Chosen = Annotated[str, Form(max_length=19, pattern=r"^[0-9]*$")]
Reason = Annotated[str, Form(max_length=2 * REASON_MAX, pattern=r"^[^\x00-\x1f\x7f]*$")]
Token = Annotated[str, Form(max_length=256)]

HISTORY: Final = 50
UNKEPT: Final = 100
ACCOUNTS_MAX: Final = 2000
ACTS: Final = {
    "added": mark("added"),
    "removed": mark("removed"),
    "transferred": mark("given over"),
    "doctor_set": mark("own doctor"),
}
DONE: Final = mark("Done. It holds at once, for open pages as well.")
WHY: Final = mark(
    "Choose whom it is about, and say why in at most 200 characters, without a word about the patient's health."
)
NOTHING: Final = mark("Nothing was changed: it is so already, or was never so.")
NOBODY: Final = mark("There is no patient with this number, or the record is closed.")


@router.get("")
def show(
    caller: SignedIn, request: Request, patient: Number = None, user: Number = None, done: bool = False
) -> Response:
    return _page(caller, request, patient=patient, user=user, told=DONE if done else "")


@router.post("")
def change(
    caller: SignedIn,
    request: Request,
    act: Annotated[Act, Form()],
    patient: Posted,
    from_user: Chosen = "",
    to_user: Chosen = "",
    reason: Reason = "",
    csrf_token: Token = "",
) -> Response:
    check_form(caller, request, csrf_token)
    wish = Wish(
        act=act,
        patient_id=patient,
        from_user=_number(from_user),
        to_user=_number(to_user),
        reason=reason.strip(),
        by=f"user:{caller.user_id}",
        now=caller.now,
    )
    try:
        in_transaction(caller.house, lambda conn: panels.change(conn, wish))
    except MalformedError:
        return _page(caller, request, patient=patient, complaint=WHY, reason=reason)
    except DecisionConflictError:
        return _page(caller, request, patient=patient, complaint=NOTHING, reason=reason)
    except NotOnPanelError:
        return _page(caller, request, complaint=NOBODY)
    return RedirectResponse(f"/admin/panels?patient={patient}&done=1", status_code=303)


@router.post("/all")
def hand_over(
    caller: SignedIn, request: Request, user: Posted, to_user: Chosen = "", reason: Reason = "", csrf_token: Token = ""
) -> Response:
    """Everybody whom one clinician sees is another's from now on."""
    check_form(caller, request, csrf_token)
    chosen = _number(to_user)
    try:
        if chosen is None:
            raise MalformedError("to_user", "choose somebody")
        moved = in_transaction(
            caller.house,
            lambda conn: panels.hand_over(
                conn,
                from_user=user,
                to_user=chosen,
                reason=reason.strip(),
                by=f"user:{caller.user_id}",
                now=caller.now,
            ),
        )
    except MalformedError:
        return _page(caller, request, user=user, complaint=WHY, reason=reason)
    except DecisionConflictError:
        return _page(caller, request, user=user, complaint=NOTHING, reason=reason)
    if not moved:
        return _page(caller, request, user=user, complaint=NOTHING, reason=reason)
    return RedirectResponse(f"/admin/panels?user={chosen}&done=1", status_code=303)


def _page(
    caller: Caller,
    request: Request,
    *,
    patient: int | None = None,
    user: int | None = None,
    told: str = "",
    complaint: str = "",
    reason: str = "",
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.house) as conn:
        clinicians, names = _people(users.list_accounts(conn, Wanted(), now=caller.now, limit=ACCOUNTS_MAX))
        if user is not None and user not in names:
            raise NotOnPanelError("no such account")
        keepers: Sequence[Sees] = ()
        if patient is not None:
            try:
                keepers = panels.keepers(conn, patient)
            except NotOnPanelError:
                patient, complaint = None, NOBODY
        members = panels.members(conn, user) if user is not None else ()
        changes = panels.history(conn, patient_id=patient, user_id=user, limit=HISTORY)
        unkept = panels.unkept(conn, limit=UNKEPT + 1)
        clock = house_clock(conn, words)
    with transaction(caller.pool) as conn:
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    return render(
        request,
        "admin_panels.html",
        words,
        caller=caller,
        status=409 if complaint else 200,
        unread=unread,
        patient=patient,
        user=user,
        clinicians=clinicians,
        doctors=[each for each in clinicians if each.role == "doctor"],
        names=names,
        keepers=keepers,
        members=members,
        changes=changes,
        unkept=unkept[:UNKEPT],
        has_more_unkept=len(unkept) > UNKEPT,
        clock=clock,
        actor=lambda each: name_actor(each, names, words),
        ACTS=ACTS,
        REASON_MAX=REASON_MAX,
        reason=reason,
        told=words.say(told) if told else "",
        complaint=words.say(complaint) if complaint else "",
    )


def _people(found: Sequence[Account]) -> tuple[list[Account], dict[int, str]]:
    """Who may have a panel, and everybody's name."""
    clinicians = [each for each in found if each.role in ("doctor", "nurse") and (each.active or each.patients)]
    return clinicians, {each.user_id: each.display_name for each in found}


def _number(text: str) -> int | None:
    number = int(text) if text else 0
    return number if 0 < number < 2**63 else None
