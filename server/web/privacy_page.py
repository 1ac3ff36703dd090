"""`/p/{patient_id}/privacy`: what a patient has agreed to, the record in the patient's hand, holds, asking for the erasure."""

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import consents, erasure, erasure_requests, panels, portability, record_codes
from server.people.consents import TEXTS, Saying
from server.people.door import Caller, SignedIn, address, check_form
from server.people.erasure import HeldError
from server.people.erasure_requests import person_of
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.store import consents as consent_store
from server.store import erasure_requests as store
from server.store import worklist
from server.store.consents import Purpose
from server.store.postgres import in_transaction, transaction
from server.store.worklist import PanelPatient
from server.web.record_pages import PatientId
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR
from server.web.words import Words, mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/p/{patient_id}/privacy", include_in_schema=False)

PURPOSES: Final = {
    "care": mark("Care"),
    "reminders": mark("Reminders"),
    "channels": mark("Other companies' channels"),
    "research": mark("Research"),
}
HOW: Final = {
    "before": mark("from before consents were written down"),
    "enrolment": mark("at enrolment"),
    "paper": mark("on paper"),
    "clinic": mark("at the clinic"),
    "link": mark("by the patient's own link"),
}
REASONS: Final = {
    "asked": mark("The patient asks for it"),
    "withdrawn": mark("The patient has taken consent back"),
    "over": mark("There is no purpose any more"),
    "ordered": mark("An authority orders it"),
}
_CSRF = Annotated[str, Form(max_length=256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One purpose, as it is now. `said`: when and how; empty where nothing was ever said."""

    purpose: str
    name: str
    text: str
    is_given: bool
    said: str


@router.get("")
def show(caller: SignedIn, request: Request, patient_id: PatientId) -> Response:
    return _page(caller, request, patient_id)


@router.post("/consent")
def say(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    purpose: Annotated[Purpose, Form()],
    word: Annotated[Literal["yes", "no"], Form()],
    how: Annotated[Literal["clinic", "paper"], Form()],
    on: Annotated[str, Form(max_length=10)] = "",
    csrf_token: _CSRF = "",
) -> Response:
    """Write down what the patient said at the clinic or on paper."""
    check_form(caller, request, csrf_token)
    try:
        with transaction(caller.pool) as conn:
            patient = _patient(caller, patient_id)
            saying = Saying(
                patient_id=patient_id,
                purpose=purpose,
                is_given=word == "yes",
                how=how,
                actor=f"user:{caller.user_id}",
                now=caller.now,
                said_at=_midnight(on, patient.zone, caller.now),
            )
            consents.say_at_clinic(conn, saying, user_id=caller.user_id)
    except (MalformedError, ValueError):
        return _page(
            caller, request, patient_id, told=mark("Nothing was written down: the day lies ahead."), status=422
        )
    return RedirectResponse(f"/p/{patient_id}/privacy#consents", status_code=303)


@router.get("/record")
def take_record(caller: SignedIn, request: Request, patient_id: PatientId) -> Response:
    """The whole record as a ZIP file, to be given to the patient."""
    packed = in_transaction(
        caller.house,  # who has looked at a record is the patient's to know
        lambda conn: portability.export(
            conn,
            patient_id,
            user_id=caller.user_id,
            actor=f"user:{caller.user_id}",
            base=f"{address(request)}/fhir",
            now=caller.now,
        ),
    )
    headers = {"Content-Disposition": 'attachment; filename="record.zip"', "Cache-Control": "no-store"}
    return Response(packed, media_type="application/zip", headers=headers)


@router.post("/code")
def give_code(caller: SignedIn, request: Request, patient_id: PatientId, csrf_token: _CSRF = "") -> Response:
    """A code to be told to the patient. It is on this answer alone."""
    check_form(caller, request, csrf_token)
    code, ends_at = in_transaction(
        caller.house, lambda conn: record_codes.give(conn, patient_id, user_id=caller.user_id, now=caller.now)
    )
    return _page(caller, request, patient_id, code=f"{code[:4]} {code[4:]}", code_ends_at=ends_at)


@router.post("/hold")
def hold(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    reason: Annotated[str, Form(max_length=500)] = "",
    until: Annotated[str, Form(max_length=10)] = "",
    csrf_token: _CSRF = "",
) -> Response:
    """Nothing of the patient is erased until that day."""
    check_form(caller, request, csrf_token)
    patient = _patient(caller, patient_id)
    try:
        if not reason.strip():
            raise MalformedError("reason", "say why")
        end = datetime.combine(date.fromisoformat(until), time(), ZoneInfo(patient.zone))
        with transaction(caller.house) as conn:
            panels.check_regular(conn, user_id=caller.user_id, patient_id=patient_id)
            actor = f"user:{caller.user_id}"
            erasure.hold(conn, patient_id, reason=reason.strip(), until=end, actor=actor, now=caller.now)
    except (MalformedError, ValueError):
        told = mark("Nothing is held: say why, and until which day ahead.")
        return _page(caller, request, patient_id, told=told, status=422)
    return RedirectResponse(f"/p/{patient_id}/privacy#holds", status_code=303)


@router.post("/hold/{hold_id}/end")
def end_hold(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    hold_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    csrf_token: _CSRF = "",
) -> Response:
    check_form(caller, request, csrf_token)
    with transaction(caller.house) as conn:
        panels.check_regular(conn, user_id=caller.user_id, patient_id=patient_id)
        if hold_id not in {each.hold_id for each in store.holds_of(conn, patient_id, now=caller.now)}:
            raise NotOnPanelError("no such hold")
        erasure.end_hold(conn, hold_id, actor=f"user:{caller.user_id}", now=caller.now)
    return RedirectResponse(f"/p/{patient_id}/privacy#holds", status_code=303)


@router.post("/erasure")
def ask_for_erasure(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    reason: Annotated[Literal["asked", "withdrawn", "over", "ordered"], Form()],
    csrf_token: _CSRF = "",
) -> Response:
    """It waits for a second person."""
    check_form(caller, request, csrf_token)
    person = person_of(caller)
    try:
        in_transaction(caller.house, lambda conn: erasure_requests.ask(conn, person, patient_id, reason))
    except HeldError as e:
        return _page(caller, request, patient_id, refused_by=str(e), status=409)
    except DecisionConflictError:
        told = mark("It is asked for already, and waits for a second person.")
        return _page(caller, request, patient_id, told=told, status=409)
    return RedirectResponse(f"/p/{patient_id}/privacy#erasure", status_code=303)


def _patient(caller: Caller, patient_id: int) -> PanelPatient:
    """Raises `NotOnPanelError`."""
    with transaction(caller.pool) as conn:
        found = worklist.find_panel_patient(
            conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
    if found is None:
        raise NotOnPanelError("no such patient")
    return found


def _midnight(day: str, zone: str, now: datetime) -> datetime | None:
    """The beginning of that day where the patient lives; of today, now. Raises `ValueError`."""
    if not day:
        return None
    begin = datetime.combine(date.fromisoformat(day), time(), ZoneInfo(zone))
    return None if begin.date() == now.astimezone(ZoneInfo(zone)).date() else begin


def _page(
    caller: Caller, request: Request, patient_id: int, *, told: str = "", status: int = 200, **shown: Any
) -> Response:
    words = words_of(request, caller)
    patient = _patient(caller, patient_id)
    with transaction(caller.house) as conn:
        last = {word.purpose: word for word in consent_store.last_words(conn, patient_id)}
        holds = store.holds_of(conn, patient_id, now=caller.now)
        requests = store.list_requests(conn, limit=5, user_id=caller.user_id, patient_id=patient_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    context = {"code": "", "code_ends_at": None, "refused_by": ""} | shown
    return render(
        request,
        "privacy.html",
        words,
        caller=caller,
        status=status,
        unread=unread,
        patient=patient,
        told=words.say(told) if told else "",
        lines=[_line(purpose, last.get(purpose), patient.zone, words) for purpose in Purpose],
        holds=holds,
        requests=requests,
        REASONS=REASONS,
        today=caller.now.astimezone(ZoneInfo(patient.zone)).date().isoformat(),
        **context,
    )


def _line(purpose: Purpose, word: consent_store.Word | None, zone: str, words: Words) -> Line:
    said = ""
    if word is not None:
        day = words.day(word.said_at.astimezone(ZoneInfo(zone)).date())
        said = words.say("%(day)s, %(how)s", day=day, how=words.say(HOW[word.how]))
    return Line(
        purpose=purpose.value,
        name=words.say(PURPOSES[purpose]),
        text=TEXTS[purpose][words.language],
        is_given=word is not None and word.is_given,
        said=said,
    )
