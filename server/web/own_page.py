"""`/me/{token}`: the patient's own page. No login, one screen, one value, one instruction.

What it says of a value is a word and a shape, never a colour alone, and never that all is well: it says when was measured.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from server.people import links, symptoms
from server.people.door import AClinic, Clinic, check_same_origin
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.rule_texts import Condition, text_of
from server.people.symptoms import Question, SymptomCode
from server.store import worklist
from server.store.postgres import transaction
from server.store.reading_lists import MEASURED_BY_HAND, WORN, ShownReading, list_readings, list_worn_days
from server.store.worklist import LinkedPatient, PatientMessage
from server.web.history import is_past, shown_unit, shown_value
from server.web.rendering import render, words_for
from server.web.rows import conditions_for, own_thresholds
from server.web.words import KINDS, SYMPTOMS, Words, mark

router: Final = APIRouter(include_in_schema=False)

MESSAGES_SHOWN: Final = 10
LOOKED_BACK: Final = timedelta(days=30)
STRIP_DAYS: Final = 7
WORN_LOOKED_BACK: Final = timedelta(hours=1)
"""What a worn sensor said an hour ago is not what it says now."""
PRESSURE_STAYS_FOR: Final = timedelta(hours=18)
"""From a morning until the same night."""


class Standing(StrEnum):
    """What the latest value is called."""

    NONE = "none"
    UNUSABLE = "unusable"
    VERY_HIGH = "very_high"
    HIGH = "high"
    LOW = "low"
    BELOW_LINE = "below_line"
    NOTED = "noted"


LOW_SYSTOLIC_MMHG: Final = 90.0
"""Below 90 is low whoever measures (NEWS2 scores a systolic pressure of 90 or less highest; clinical 1.6)."""

NAMES: Final = {
    Standing.NONE: mark("No reading yet"),
    Standing.UNUSABLE: mark("This measurement did not work"),
    Standing.VERY_HIGH: mark("Very high"),
    Standing.HIGH: mark("High"),
    Standing.LOW: mark("Low"),
    Standing.BELOW_LINE: mark("Below your limit"),
    Standing.NOTED: mark("Noted"),
}
INSTRUCTIONS: Final = {
    Standing.NONE: mark("Sit down, rest 5 minutes, and measure."),
    Standing.UNUSABLE: mark("Rest, keep your arm still, and measure again."),
    Standing.VERY_HIGH: mark("Sit down. Measure again after 1 to 2 minutes."),
    Standing.HIGH: mark("Rest 5 minutes, then measure again."),
    Standing.LOW: mark("Sit or lie down, and call your clinic."),
    Standing.BELOW_LINE: mark("Keep measuring in the morning and in the evening."),
    Standing.NOTED: mark("Keep measuring as agreed with your clinic."),
}

MEASURE_AGAIN: Final = mark("Measure again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMark:
    """One day of the strip at the foot: how often was measured."""

    name: str
    readings: int


@router.get("/me/{token}")
def show_own_page(clinic: AClinic, request: Request, token: str) -> Response:
    now = clinic.now()
    with transaction(clinic.pool) as conn:
        patient_id = links.find_patient(conn, token, now=now)
        patient = worklist.find_patient(conn, patient_id, now=now) if patient_id is not None else None
        if patient is None:
            raise NotOnPanelError("no such page")
        whose, limit = patient.patient_id, worklist.PAGE_MAX
        by_hand = list_readings(
            conn, whose, since=now - LOOKED_BACK, limit=limit, kinds=MEASURED_BY_HAND, only_in_use=True
        )
        worn = list_readings(conn, whose, since=now - WORN_LOOKED_BACK, limit=limit, kinds=(WORN,), only_in_use=True)
        worn_on = list_worn_days(conn, whose, since=now - timedelta(days=STRIP_DAYS), zone=patient.zone)
        messages = worklist.list_patient_messages(conn, patient.patient_id, limit=MESSAGES_SHOWN)
        own = own_thresholds(conn, [patient.patient_id])
        question = symptoms.question_for(conn, whose, clinic.rules, now=now)
    words = words_for(request, patient.language)
    conditions = conditions_for(clinic, own, patient.patient_id, None)
    readings = merge(by_hand, worn)
    latest = pick(readings, now)
    standing = stand(latest, conditions, _critical(clinic))
    return render(
        request,
        "own_page.html",
        words,
        patient=patient,
        clinic_phone=clinic.clinic_phone,
        kind=words.among(KINDS, latest.kind) if latest else "",
        value=shown_value(latest, words) if latest and not latest.is_failed else "",
        unit=shown_unit(latest) if latest else "",
        when=_say_when(latest, readings, patient, words, now),
        standing=standing,
        name=words.say(NAMES[standing]),
        instruction=_instruct(latest, standing, words),
        is_critical=standing is Standing.VERY_HIGH or question is not None or _was_told_critical(clinic, messages, now),
        question=question,
        answer=_say_answer(question, patient, words),
        symptoms_url=f"/me/{token}/symptoms",
        spoken=_spoken(latest, standing, words),
        messages=messages,
        strip=_strip(by_hand, worn_on, patient, words, now),
        now=now,
    )


@router.post("/me/{token}/symptoms")
def answer_symptoms(
    clinic: AClinic, request: Request, token: str, answer: Annotated[Literal["yes", "no"], Form()]
) -> Response:
    """The patient says whether there is any of the symptoms, and sees the page again, whatever has become of the question."""
    check_same_origin(request)
    codes = [SymptomCode.SOME] if answer == "yes" else []
    with suppress(DecisionConflictError):
        symptoms.answer(clinic.pool, token, codes, clinic.rules, now=clinic.now())
    return RedirectResponse(f"/me/{token}", status_code=303)


def merge(by_hand: Sequence[ShownReading], worn: Sequence[ShownReading]) -> list[ShownReading]:
    """Both, newest first. Nobody has done anything wrong when a worn sensor has no value for a while: that is not shown."""
    usable = [each for each in worn if each.quality == "accepted"]
    return sorted([*by_hand, *usable], key=lambda each: each.measured_at, reverse=True)


def pick(readings: Sequence[ShownReading], now: datetime) -> ShownReading | None:
    """The reading to show, of readings newest first. A blood pressure of today is never hidden behind anything later."""
    timed = [each for each in readings if each.time_quality != "orphan"]
    pressures = (
        each for each in timed if each.kind == "blood_pressure" and now - each.measured_at < PRESSURE_STAYS_FOR
    )
    return next(pressures, next(iter(timed), None))


def stand(latest: ShownReading | None, conditions: tuple[Condition, ...], critical: tuple[Condition, ...]) -> Standing:
    """What the latest reading is called, by the patient's own lines."""
    if latest is None:
        return Standing.NONE
    if latest.kind != "blood_pressure" and latest.quality == "accepted":
        return Standing.NOTED
    if latest.systolic_mmhg is None or latest.quality == "invalid":
        return Standing.UNUSABLE
    if is_past(latest, critical):
        return Standing.VERY_HIGH  # a rejected reading too: it asks for another one and never disappears
    if latest.quality != "accepted":
        return Standing.UNUSABLE
    if latest.systolic_mmhg < LOW_SYSTOLIC_MMHG:
        return Standing.LOW
    return Standing.HIGH if is_past(latest, conditions) else Standing.BELOW_LINE


def _instruct(latest: ShownReading | None, standing: Standing, words: Words) -> str:
    """What to do now. An arm is to be kept still for a cuff alone."""
    if standing is Standing.UNUSABLE and latest is not None and latest.kind != "blood_pressure":
        return words.say(MEASURE_AGAIN)
    return words.say(INSTRUCTIONS[standing])


def _critical(clinic: Clinic) -> tuple[Condition, ...]:
    return next((text.conditions for text in clinic.rules.values() if text.is_critical), ())


def _say_answer(question: Question | None, patient: LinkedPatient, words: Words) -> str:
    """What the patient said last, and what came of it."""
    if question is None or question.answered_at is None:
        return ""
    clock = f"{question.answered_at.astimezone(ZoneInfo(patient.zone)):%H:%M}"
    if question.has_symptoms:
        return words.say("At %(clock)s you said yes. Your clinic is being told. Do not wait for it.", clock=clock)
    return words.say("At %(clock)s you said no. If that changes, say so.", clock=clock)


def _was_told_critical(clinic: Clinic, messages: Sequence[PatientMessage], now: datetime) -> bool:
    return any(
        text_of(clinic.rules, each.rule_id).is_critical
        and each.state == "sent"
        and now - each.sent_at < timedelta(days=1)
        for each in messages
    )


def _say_when(
    latest: ShownReading | None, readings: Sequence[ShownReading], patient: LinkedPatient, words: Words, now: datetime
) -> str:
    if latest is None:
        return ""
    zone = ZoneInfo(patient.zone)
    local, today = latest.measured_at.astimezone(zone), now.astimezone(zone).date()
    clock = f"{local:%H:%M}"
    if local.date() == today:
        return words.say("Measured today at %(clock)s", clock=clock)
    day = words.short_date(local)
    if any(each.measured_at.astimezone(zone).date() == today for each in readings):
        return words.say("Measured on %(day)s at %(clock)s.", day=day, clock=clock)
    return words.say("Measured on %(day)s at %(clock)s. Nothing measured today yet.", day=day, clock=clock)


def _spoken(latest: ShownReading | None, standing: Standing, words: Words) -> str:
    """The screen as one would say it aloud."""
    parts = [words.say(NAMES[standing]), _instruct(latest, standing, words)]
    is_told = latest is not None and standing is not Standing.UNUSABLE
    if is_told and latest and latest.value is not None:
        value = f"{shown_value(latest, words)} {shown_unit(latest)}"
        parts.insert(0, words.say("%(kind)s: %(value)s.", kind=words.among(KINDS, latest.kind), value=value))
    if is_told and latest and latest.systolic_mmhg is not None and latest.diastolic_mmhg is not None:
        parts.insert(
            0,
            words.say(
                "Your blood pressure is %(systolic)s over %(diastolic)s.",
                systolic=words.number(latest.systolic_mmhg),
                diastolic=words.number(latest.diastolic_mmhg),
            ),
        )
    if standing is Standing.VERY_HIGH:
        listed = words.listed([words.say(each) for each in SYMPTOMS])
        parts.append(words.say("If you have any of these, call 120 now: %(symptoms)s.", symptoms=listed))
    return " ".join(parts)


def _strip(
    by_hand: Sequence[ShownReading], worn_on: Collection[date], patient: LinkedPatient, words: Words, now: datetime
) -> list[DayMark]:
    """How often was measured on each day; a sensor that is worn counts once."""
    zone = ZoneInfo(patient.zone)
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(STRIP_DAYS - 1, -1, -1)]
    measured = [each.measured_at.astimezone(zone).date() for each in by_hand if each.quality == "accepted"]
    measured += worn_on
    return [DayMark(name=words.short_date(day), readings=measured.count(day)) for day in days]
