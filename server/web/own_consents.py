"""What a patient has agreed to, on their own page: taken back as easily as given (PIPL, article 15), and not by a slip."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from server.people import consents
from server.people.consents import TEXTS
from server.people.door import AClinic, check_same_origin
from server.store import consents as store
from server.store.consents import Purpose
from server.store.postgres import Connection
from server.store.worklist import LinkedPatient
from server.web.rendering import part
from server.web.words import Words

router: Final = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One purpose. `day`: of the last word; empty where there was none."""

    purpose: str
    text: str
    is_given: bool
    day: str


def consents_part(conn: Connection, patient: LinkedPatient, token: str, words: Words, now: datetime) -> Markup:
    said = {word.purpose: word for word in store.last_words(conn, patient.patient_id)}
    zone = ZoneInfo(patient.zone)
    lines = [
        Line(
            purpose=purpose.value,
            text=TEXTS[purpose][words.language],
            is_given=purpose in said and said[purpose].is_given,
            day=words.day(said[purpose].said_at.astimezone(zone).date()) if purpose in said else "",
        )
        for purpose in Purpose
    ]
    return Markup(part("own_consents.html", words, lines=lines, consent_url=f"/me/{token}/consent"))


@router.post("/me/{token}/consent")
def answer(
    clinic: AClinic,
    request: Request,
    token: str,
    purpose: Annotated[Purpose, Form()],
    said: Annotated[Literal["yes", "no"], Form()],
) -> Response:
    """The patient agrees, or takes it back, and sees the page again."""
    check_same_origin(request)
    consents.say_by_link(clinic.pool, token, purpose, is_given=said == "yes", now=clinic.now())
    return RedirectResponse(f"/me/{token}#consents", status_code=303)
