"""`/a/{episode_id}` and `/inbox`: one alert with its evidence, what one was told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import sessions
from server.people.door import Caller, SignedIn, check_same_origin
from server.people.errors import NotOnPanelError
from server.people.evidence import reading_ids
from server.people.rule_texts import text_of
from server.store import worklist
from server.store.corrections import list_corrections
from server.store.postgres import Connection, transaction
from server.store.reading_lists import ShownReading, list_these_readings
from server.store.worklist import Alert, PanelPatient, ShownPush, ShownTransition
from server.web.correction_words import newest
from server.web.history import NOTHING_SAID, Corrections, reading_row
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR, age_of, alert_line, conditions_for, own_thresholds
from server.web.words import CHANNELS, PUSH_STATES, RESOLUTIONS, STATES, Words

router: Final = APIRouter(include_in_schema=False)

MESSAGES_SHOWN: Final = 100

PatientId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/a/{episode_id}")
def show_alert(caller: SignedIn, request: Request, episode_id: UUID) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
        if alert is None:
            raise NotOnPanelError("no such alert")
        patient = worklist.find_panel_patient(
            conn, alert.patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
        if patient is None:
            raise NotOnPanelError("no such alert")
        evidence = list_these_readings(conn, alert.patient_id, reading_ids(alert.verdict))
        corrected = said(conn, caller, evidence)
        transitions = worklist.list_transitions(conn, episode_id)
        pushes = worklist.list_pushes(conn, alert.patient_id, episode_id=episode_id)
        own = own_thresholds(conn, [alert.patient_id])
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    conditions = conditions_for(caller.clinic, own, alert.patient_id, alert)
    return render(
        request,
        "alert.html",
        words,
        caller=caller,
        unread=unread,
        line=alert_line(caller, words, alert),
        patient=patient,
        age=age_of(patient.birth_date, caller.now, patient.zone),
        rule=text_of(caller.clinic.rules, alert.rule_id),
        rows=[reading_row(each, patient.zone, conditions, words, corrected) for each in evidence],
        steps=[_step(each, patient, words) for each in transitions],
        pushes=[told(push, patient.zone, words) for push in pushes],
        days=_days(alert, words),
    )


@router.get("/inbox")
def show_inbox(caller: SignedIn, request: Request) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        messages = worklist.list_inbox(conn, user_id=caller.user_id, limit=MESSAGES_SHOWN)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    return render(request, "inbox.html", words, caller=caller, unread=unread, messages=messages, now=caller.now)


@router.post("/inbox/read")
def mark_read(
    caller: SignedIn,
    request: Request,
    push_id: Annotated[list[UUID] | None, Form(max_length=MESSAGES_SHOWN)] = None,
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    check_same_origin(request)
    sessions.check_csrf(caller.session, csrf_token)
    with transaction(caller.pool) as conn:
        worklist.mark_inbox_read(conn, push_id or [], user_id=caller.user_id, now=caller.now)
    return RedirectResponse("/inbox", status_code=303)


def said(conn: Connection, caller: Caller, readings: Sequence[ShownReading]) -> Corrections:
    """What was said last of those of which something was said."""
    corrected = [each.reading_id for each in readings if each.version > 1]
    return newest(list_corrections(conn, corrected, user_id=caller.user_id)) if corrected else NOTHING_SAID


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One line of the ledger: who was, or is to be, told what."""

    at: str
    who: str
    channel: str
    title: str
    body: str
    state: str
    is_lost: bool


def told(push: ShownPush, zone: str, words: Words) -> Told:
    text: Mapping[str, str] = push.text.get(words.language) or next(iter(push.text.values()), {})
    return Told(
        at=words.moment(push.sent_at or push.due_at, zone),
        who=_recipient(push, words),
        channel=words.among(CHANNELS, push.channel),
        title=text.get("title", ""),
        body=text.get("body", ""),
        state=words.among(PUSH_STATES, push.state),
        is_lost=push.state in ("dead", "undeliverable"),
    )


def _recipient(push: ShownPush, words: Words) -> str:
    if push.recipient == "patient":
        return words.say("the patient")
    if push.recipient == "clinic":
        return words.say("the clinic")
    if push.recipient == "doctor":
        return words.say("the patient's own doctor")
    return push.recipient_name or push.recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step in the life of an alert."""

    at: str
    state: str
    who: str
    reason: str


def _step(transition: ShownTransition, patient: PanelPatient, words: Words) -> Step:
    code, _, old_note = transition.reason.partition(": ")
    note = transition.note or old_note
    reason = f"{words.say(RESOLUTIONS[code])}{f' – {note}' if note else ''}" if code in RESOLUTIONS else ""
    return Step(
        at=words.moment(transition.at, patient.zone),
        state=words.among(STATES, transition.to_state),
        who=transition.by_name or words.say("HomeVigil"),
        reason=reason,
    )


def _days(alert: Alert, words: Words) -> str:
    if alert.first_day == alert.last_day:
        return words.day(alert.first_day)
    return words.say("%(first)s to %(last)s", first=words.day(alert.first_day), last=words.day(alert.last_day))
