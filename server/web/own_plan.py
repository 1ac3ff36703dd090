"""What was agreed, on the patient's own page: today's times, whether a medicine was taken, and the points for keeping to it."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from server.people import plans
from server.people.door import AClinic, check_same_origin
from server.people.errors import DecisionConflictError
from server.rules.keeping import WINDOW, count_readings
from server.rules.occasions import Occasion
from server.rules.plans import Plan
from server.store import plans as store
from server.store.postgres import Connection
from server.store.worklist import LinkedPatient
from server.web.rendering import part
from server.web.words import KINDS, Words

router: Final = APIRouter(include_in_schema=False)

POINTS_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One time of today. `answer`: what the patient said of a medicine; `is_open`: it may be said now; `is_over`: too late."""

    clock: str
    what: str
    key: str
    is_medicine: bool
    is_done: bool
    answer: str
    is_open: bool
    is_over: bool


def plan_part(conn: Connection, patient: LinkedPatient, token: str, words: Words, now: datetime) -> Markup:
    """Nothing where nothing was agreed."""
    plan = plans.plan_in_force(conn, patient.patient_id)
    if not plan.items:
        return Markup("")
    zone = ZoneInfo(patient.zone)
    begin = datetime.combine(now.astimezone(zone).date(), time(), zone)
    today = plans.occasions_of(conn, patient.patient_id, begin=begin, end=begin + timedelta(days=1))
    measured = store.measured_at(conn, patient.patient_id, since=begin - timedelta(hours=6), until=now)
    readings = count_readings(today, measured)
    answers = store.answers_of(conn, patient.patient_id, since=begin)
    kept = plans.kept_by(conn, patient.patient_id, since=now - timedelta(days=POINTS_DAYS), now=now)
    return Markup(  # a template's own output, escaped where it was rendered
        part(
            "own_plan.html",
            words,
            lines=[
                Line(
                    clock=each.clock,
                    what=_what(each, plan, words),
                    key=each.key,
                    is_medicine=each.kind == "medicine",
                    is_done=readings.get(each.key, 0) > 0 or answers.get(each.key) == "done",
                    answer=answers.get(each.key, ""),
                    is_open=each.at <= now,
                    is_over=each.at + WINDOW <= now,
                )
                for each in today
            ],
            points=kept.points,
            streak=kept.streak_days,
            answer_url=f"/me/{token}/taken",
        )
    )


@router.post("/me/{token}/taken")
def answer(
    clinic: AClinic,
    request: Request,
    token: str,
    occasion: Annotated[str, Form(max_length=64)],
    said: Annotated[Literal["done", "not_done"], Form()],
) -> Response:
    """The patient says whether a medicine was taken, and sees the page again."""
    check_same_origin(request)
    with suppress(DecisionConflictError):
        plans.answer(clinic.pool, token, occasion=occasion, answer=said, now=clinic.now())
    return RedirectResponse(f"/me/{token}#plan", status_code=303)


def _what(occasion: Occasion, plan: Plan, words: Words) -> str:
    if occasion.kind == "measure":
        return words.among(KINDS, occasion.of)
    named = [
        " ".join(filter(None, (each.name, each.dose)))
        for each in plan.medicines
        if occasion.clock in each.at and occasion.day.isoweekday() in each.weekdays
    ]
    return words.listed(named) or words.say("Medicine")
