"""`/me/{token}`: the patient's own page. No login, one screen, one value, one instruction.

What it says of a value is a word and a shape, never a colour alone, and never that all is well: it says when was measured.
"""

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people import links, symptoms
from server.people.door import AClinic, Clinic, check_same_origin
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.rule_texts import Condition, text_of
from server.people.symptoms import Question, SymptomCode
from server.store import record, worklist
from server.store.postgres import transaction
from server.store.reading_lists import MEASURED_BY_HAND, WORN, ShownReading, list_readings, list_worn_days
from server.store.worklist import LinkedPatient, PatientMessage
from server.web import reports_page, sheets
from server.web.history import is_past, shown_unit, shown_value
from server.web.own_parts import PARTS
from server.web.rendering import render, words_for
from server.web.rows import conditions_for, own_thresholds
from server.web.words import KINDS, SYMPTOMS, Words, mark

router: Final = APIRouter(include_in_schema=False)

OwnDays = Annotated[int | None, Query(ge=1, le=sheets.DAYS_MAX)]

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
    GLUCOSE_LOW = "glucose_low"
    GLUCOSE_HIGH = "glucose_high"

    @property
    def shape(self) -> str:
        """The standing of blood pressure that has the same sign."""
        return {"glucose_low": "low", "glucose_high": "very_high"}.get(self.value, self.value)


LOW_GLUCOSE_MMOL_L, LOW_GLUCOSE_MG_DL = 3.9, 70.0
"""Below it glucose is low (ADA, level 1), in the unit that the meter showed; said as rule glucose-low-3-9 says it."""
HIGH_GLUCOSE_MMOL_L, HIGH_GLUCOSE_MG_DL = 16.7, 300.0
"""Above it one reading asks for another one and for the clinic (rule glucose-above-16-7-twice; so does HI, rule glucose-hi)."""
GLUCOSE_IS_NOW_FOR: Final = timedelta(hours=1)
"""What is to be done about glucose is to be done at once: of an older value nobody is told to eat something sweet now."""

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
    Standing.GLUCOSE_LOW: mark("Low"),
    Standing.GLUCOSE_HIGH: mark("Very high"),
}
INSTRUCTIONS: Final = {
    Standing.NONE: mark("Sit down, rest 5 minutes, and measure."),
    Standing.UNUSABLE: mark("Rest, keep your arm still, and measure again."),
    Standing.VERY_HIGH: mark("Sit down. Measure again after 1 to 2 minutes."),
    Standing.HIGH: mark("Rest 5 minutes, then measure again."),
    Standing.LOW: mark("Sit or lie down, and call your clinic."),
    Standing.BELOW_LINE: mark("Keep measuring in the morning and in the evening."),
    Standing.NOTED: mark("Keep measuring as agreed with your clinic."),
    Standing.GLUCOSE_LOW: mark(
        "Do now what you have agreed for low glucose, usually something sweet. Measure again after 15 minutes."
    ),
    Standing.GLUCOSE_HIGH: mark("Wash your hands, measure again now, and call your clinic."),
}

MEASURE_AGAIN: Final = mark("Measure again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMark:
    """One day of the strip: how often was measured, and what was measured last, with what that is called."""

    name: str
    readings: int
    value: str = ""
    unit: str = ""
    standing: Standing = Standing.NONE
    says: str = ""


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
        parts = [each(conn, patient, token, words, now) for each in PARTS]
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
        instruction=_instruct(latest, standing, words, now),
        is_critical=standing is Standing.VERY_HIGH or question is not None or _was_told_critical(clinic, messages, now),
        question=question,
        answer=_say_answer(question, patient, words),
        symptoms_url=f"/me/{token}/symptoms",
        spoken=_spoken(latest, standing, words, now),
        messages=messages,
        strip=_strip(by_hand, worn_on, patient, (conditions, _critical(clinic)), words, now),
        parts=parts,
        page_url=f"/me/{token}",
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


@router.get("/me/{token}/app.webmanifest")
def describe_app(clinic: AClinic, request: Request, token: str) -> Response:
    """What a phone needs to put the page among its apps, under the house's name and nobody else's."""
    now = clinic.now()
    with transaction(clinic.pool) as conn:
        patient_id = links.find_patient(conn, token, now=now)
        patient = worklist.find_patient(conn, patient_id, now=now) if patient_id is not None else None
    if patient is None:
        raise NotOnPanelError("no such page")
    words = words_for(request, patient.language)
    described = {
        "name": words.say("HomeVigil: my readings"),
        "short_name": words.say("HomeVigil"),
        "lang": words.html_lang,
        "id": "/me",
        "start_url": f"/me/{token}",
        "scope": f"/me/{token}",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#083a58",
        "icons": [
            {"src": f"/static/icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png", "purpose": "any"}
            for size in (192, 512)
        ],
    }
    return Response(json.dumps(described, ensure_ascii=False), media_type="application/manifest+json")


@router.get("/me/{token}/report")
def show_own_report(clinic: AClinic, request: Request, token: str, days: OwnDays = None) -> Response:
    """A sheet for the doctor's visit: the report of blood pressure, of glucose where there is no blood pressure."""
    now = clinic.now()
    with transaction(clinic.pool) as conn:
        patient_id = links.find_patient(conn, token, now=now)
        whose = sheets.find(conn, patient_id, now=now) if patient_id is not None else None
        if whose is None:
            raise NotOnPanelError("no such page")
        words = words_for(request, whose.language)
        kinds = record.kinds_of(conn, whose.patient_id)
        made = reports_page.make(
            conn,
            rules=clinic.rules,
            unit=clinic.glucose_unit,
            whose=whose,
            about="bp" if "blood_pressure" in kinds or "glucose" not in kinds else "glucose",
            words=words,
            actor=f"patient:{whose.patient_id}",
            form="page",
            days=days,
            until=None,
            now=now,
        )
    return render(
        request,
        reports_page.TEMPLATES[made.about],
        words,
        is_pdf=False,
        sheet=made.sheet,
        age=made.age,
        made=made.made,
        back=f"/me/{token}",
        back_name=words.say("Back to my page"),
        choices=[],
        pdf_address="",
        says_no_pdf=False,
    )


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
        return _stand_glucose(latest) if latest.kind in ("glucose", WORN) else Standing.NOTED
    if latest.systolic_mmhg is None or latest.quality == "invalid":
        return Standing.UNUSABLE
    if is_past(latest, critical):
        return Standing.VERY_HIGH  # a rejected reading too: it asks for another one and never disappears
    if latest.quality != "accepted":
        return Standing.UNUSABLE
    if latest.systolic_mmhg < LOW_SYSTOLIC_MMHG:
        return Standing.LOW
    return Standing.HIGH if is_past(latest, conditions) else Standing.BELOW_LINE


def _stand_glucose(latest: ShownReading) -> Standing:
    """By the limits published in the unit that the meter showed."""
    if latest.glucose_censored:
        return Standing.GLUCOSE_LOW if latest.glucose_censored == "LO" else Standing.GLUCOSE_HIGH
    in_mg_dl = latest.unit_sent in ("kg/L", "mg/dL") and latest.glucose_mg_dl is not None
    value = latest.glucose_mg_dl if in_mg_dl else latest.glucose_mmol_l
    if value is None:
        return Standing.UNUSABLE
    if value < (LOW_GLUCOSE_MG_DL if in_mg_dl else LOW_GLUCOSE_MMOL_L):
        return Standing.GLUCOSE_LOW
    return (
        Standing.GLUCOSE_HIGH if value > (HIGH_GLUCOSE_MG_DL if in_mg_dl else HIGH_GLUCOSE_MMOL_L) else Standing.NOTED
    )


def _instruct(latest: ShownReading | None, standing: Standing, words: Words, now: datetime) -> str:
    """What to do now. An arm is to be kept still for a cuff alone, and nothing is to be eaten for a value of yesterday."""
    if latest and standing in (Standing.GLUCOSE_LOW, Standing.GLUCOSE_HIGH):
        is_now = now - latest.measured_at < GLUCOSE_IS_NOW_FOR
        return words.say(INSTRUCTIONS[standing if is_now else Standing.NOTED])
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


def _spoken(latest: ShownReading | None, standing: Standing, words: Words, now: datetime) -> str:
    """The screen as one would say it aloud."""
    parts = [words.say(NAMES[standing]), _instruct(latest, standing, words, now)]
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
    by_hand: Sequence[ShownReading],
    worn_on: Collection[date],
    patient: LinkedPatient,
    lines: tuple[tuple[Condition, ...], tuple[Condition, ...]],
    words: Words,
    now: datetime,
) -> list[DayMark]:
    """How often was measured on each day, today first, and the newest blood pressure, else the newest value, of each."""
    zone = ZoneInfo(patient.zone)
    today = now.astimezone(zone).date()
    of_day: dict[date, list[ShownReading]] = {}
    for each in by_hand:
        if each.quality == "accepted" and each.time_quality != "orphan":
            of_day.setdefault(each.measured_at.astimezone(zone).date(), []).append(each)
    days = [today - timedelta(days=back) for back in range(STRIP_DAYS)]
    return [_day_mark(day, of_day.get(day, []), day in worn_on, lines, words) for day in days]


def _day_mark(
    day: date,
    readings: Sequence[ShownReading],
    was_worn: bool,
    lines: tuple[tuple[Condition, ...], tuple[Condition, ...]],
    words: Words,
) -> DayMark:
    """A sensor that is worn counts once."""
    name, times = words.weekday(day), len(readings) + was_worn
    newest = next((each for each in readings if each.kind == "blood_pressure"), next(iter(readings), None))
    if newest is None:
        return DayMark(name=name, readings=times)
    standing = stand(newest, *lines)
    return DayMark(
        name=name,
        readings=times,
        value=shown_value(newest, words),
        unit="" if newest.kind == "blood_pressure" else shown_unit(newest),
        standing=standing,
        says="" if standing is Standing.NOTED else words.say(NAMES[standing]),
    )
