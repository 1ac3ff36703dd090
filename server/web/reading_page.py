"""`/p/{patient_id}/r/{reading_id}`: one reading, all that was said of it, and what a clinician may say of it now.

Every form is an ordinary one and works without scripts. Whoever comes second is shown the reading as it is by then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from server.people import corrections
from server.people.corrections import CLINICIANS, REASONS, Action, Correction, Reason
from server.people.decisions import NOTE_MAX
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.store import corrections as store
from server.store import worklist
from server.store.postgres import Pool, transaction
from server.store.reading_lists import ShownReading, list_these_readings
from server.store.worklist import PanelPatient
from server.web.correction_words import ACTIONS, hide_names, newest, say_reason
from server.web.correction_words import REASONS as REASON_WORDS
from server.web.history import reading_row
from server.web.masking import names_of
from server.web.record_pages import PatientId
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR, conditions_for, own_thresholds
from server.web.words import Words
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/p/{patient_id}/r/{reading_id}", include_in_schema=False)

Version = Annotated[int, Form(ge=1, le=2**31 - 1)]
AReason = Annotated[Reason, Form()]
Note = Annotated[str, Form(max_length=NOTE_MAX, pattern=r"^[^\x00]*$")]
Token = Annotated[str, Form(max_length=256)]


@router.get("")
def show_reading(caller: SignedIn, request: Request, patient_id: PatientId, reading_id: UUID) -> Response:
    return _page(caller, request, patient_id, reading_id)


@router.post("/void")
def void(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    reading_id: UUID,
    if_match: Version,
    reason: AReason,
    note: Note = "",
    csrf_token: Token = "",
) -> Response:
    said = _correction(caller, patient_id, reading_id, if_match, reason, note)
    return _answer(caller, request, csrf_token, said, lambda pool: corrections.void(pool, said))


@router.post("/reassign")
def reassign(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    reading_id: UUID,
    if_match: Version,
    reason: AReason,
    to_patient_id: Annotated[int, Form(ge=1, le=2**63 - 1)],
    note: Note = "",
    csrf_token: Token = "",
) -> Response:
    said = _correction(caller, patient_id, reading_id, if_match, reason, note)
    return _answer(
        caller, request, csrf_token, said, lambda pool: corrections.reassign(pool, said, to_patient_id=to_patient_id)
    )


@router.post("/restore")
def restore(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    reading_id: UUID,
    if_match: Version,
    reason: AReason,
    note: Note = "",
    csrf_token: Token = "",
) -> Response:
    said = _correction(caller, patient_id, reading_id, if_match, reason, note)
    return _answer(caller, request, csrf_token, said, lambda pool: corrections.restore(pool, said))


def _correction(
    caller: Caller, patient_id: int, reading_id: UUID, version: int, reason: Reason, note: str
) -> Correction:
    return Correction(
        patient_id=patient_id,
        reading_id=reading_id,
        version=version,
        reason=reason,
        note=note.strip(),
        user_id=caller.user_id,
        role=caller.session.role,
        now=caller.now,
    )


def _answer(
    caller: Caller, request: Request, csrf_token: str, said: Correction, correct: Callable[[Pool], None]
) -> Response:
    """The page as it is after the correction, or as it is now with why nothing was changed."""
    check_form(caller, request, csrf_token)
    words = words_of(request, caller)
    try:
        correct(caller.pool)
    except (StaleVersionError, DecisionConflictError) as e:
        told = _say_refused(e, words, caller)
        return _page(caller, request, said.patient_id, said.reading_id, told=told, status=412)
    except NotAClinicianError:
        told = words.say("Nothing was changed: only a doctor or a nurse corrects a reading.")
        return _page(caller, request, said.patient_id, said.reading_id, told=told, status=403)
    except MalformedError as e:
        told = words.say("Nothing was changed: %(why)s", why=_say_malformed(e, words))
        return _page(caller, request, said.patient_id, said.reading_id, told=told, status=422)
    return RedirectResponse(f"/p/{said.patient_id}/r/{said.reading_id}", status_code=303)


def _say_refused(error: StaleVersionError | DecisionConflictError, words: Words, caller: Caller) -> str:
    if isinstance(error, StaleVersionError) and error.changed_by and error.changed_at:
        return words.say(
            "Nothing was changed: %(who)s corrected it %(ago)s. Below it is shown as it is now.",
            who=error.changed_by,
            ago=words.ago(caller.now - error.changed_at),
        )
    return words.say("Nothing was changed: it is so already.")


def _say_malformed(error: MalformedError, words: Words) -> str:
    match error.reason:
        case "note":
            return words.say("a reason that is not on the list needs a note.")
        case "before_enrolment":
            return words.say("it was measured long before that patient was enrolled.")
    return words.say("that reason does not belong to it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One line of a reading's life."""

    at: str
    who: str
    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way to correct it: its reasons as (code, wording)."""

    action: str
    reasons: tuple[tuple[str, str], ...]


def _page(
    caller: Caller, request: Request, patient_id: int, reading_id: UUID, *, told: str = "", status: int = 200
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        patient = worklist.find_panel_patient(
            conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
        found = list_these_readings(conn, patient_id, [reading_id]) if patient else ()
        if patient is None or not found:
            raise NotOnPanelError("no such reading")
        life = hide_names(store.list_corrections(conn, [reading_id], user_id=caller.user_id), names_of(request))
        candidates = store.list_candidates(conn, user_id=caller.user_id)
        own = own_thresholds(conn, [patient_id])
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    (reading,) = found
    conditions = conditions_for(caller.clinic, own, patient_id, None)
    row = reading_row(reading, patient.zone, conditions, words, newest(life))
    return render(
        request,
        "reading.html",
        words,
        caller=caller,
        unread=unread,
        status=status,
        told=told,
        patient=patient,
        reading=reading,
        row=row,
        came_in=words.moment(reading.received_at, patient.zone),
        life=[_said(each, patient, words) for each in life],
        choices=_choices(caller, reading, life, words),
        candidates=[each for each in candidates if each.patient_id != _owner_id(reading, life, patient_id)],
        note_max=NOTE_MAX,
    )


def _said(correction: store.Correction, patient: PanelPatient, words: Words) -> Said:
    what = words.say(ACTIONS[correction.action])
    if correction.action == Action.REASSIGN:
        to = correction.to_name or words.say("another patient")
        what = words.say("Moved to %(name)s", name=to)
    return Said(
        at=words.moment(correction.made_at, patient.zone),
        who=correction.made_by,
        what=what,
        why=say_reason(correction, words),
    )


def _choices(
    caller: Caller, reading: ShownReading, life: Sequence[store.Correction], words: Words
) -> tuple[Choice, ...]:
    """What may be said of it now, by this caller: nothing that takes it from, or gives it to, somebody whom they do not see.

    The first correction says from whom it came, the last one whose it is.
    """
    came_from_seen = not reading.is_from_another or life[0].from_patient_id is not None
    match reading.standing:
        case "in_use":
            may = [Action.VOID, Action.REASSIGN, *([Action.RESTORE] if reading.is_from_another else [])]
        case "moved" if life[-1].to_patient_id is None:
            may = []
        case _:
            may = [Action.RESTORE, Action.REASSIGN]
    if caller.session.role not in CLINICIANS:
        may = []
    return tuple(
        Choice(action=action, reasons=tuple((each.value, words.say(REASON_WORDS[each])) for each in REASONS[action]))
        for action in may
        if action is not Action.RESTORE or came_from_seen
    )


def _owner_id(reading: ShownReading, life: Sequence[store.Correction], patient_id: int) -> int | None:
    """Whose it is now, as far as the caller may know."""
    if reading.standing == "in_use":
        return patient_id
    return life[-1].to_patient_id if reading.standing == "moved" else None
