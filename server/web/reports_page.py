"""`/report/bp/{patient_id}` and `/report/glucose/{patient_id}`: reports to read, to print, and as PDF.

A report is made anew whenever it is asked for, from what the record says now; that it was made is noted with who, of whom and of
which days, never with what it said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.people.door import Caller, GlucoseUnit, SignedIn
from server.people.errors import NotOnPanelError
from server.people.rule_texts import RuleText
from server.store import audit, worklist
from server.store.postgres import Connection, transaction
from server.web import glucose_sheet, pdf, pressure_sheet, sheets
from server.web.masking import names_of
from server.web.record_pages import PatientId
from server.web.rendering import part, render, words_of
from server.web.rows import ASSESSED_FOR, age_of
from server.web.sheets import DAYS_MAX, Period, Whose
from server.web.words import Words
from vitals.errors import UnavailableError

router: Final = APIRouter(prefix="/report", include_in_schema=False)

About = Literal["bp", "glucose"]
TEMPLATES: Final = {"bp": "report_bp.html", "glucose": "report_glucose.html"}
FILES: Final = {"bp": "blood-pressure", "glucose": "glucose"}
USUAL_DAYS: Final = {"bp": 7, "glucose": 14}
CHOICES: Final = {"bp": (7, 14, 28), "glucose": (14, 30, 90)}

Days = Annotated[int | None, Query(ge=1, le=DAYS_MAX)]
Until = Annotated[date | None, Query()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A report, ready for a template."""

    about: About
    sheet: pressure_sheet.PressureSheet | glucose_sheet.GlucoseSheet
    age: int | None
    made: str

    @property
    def period(self) -> Period:
        return self.sheet.period

    @property
    def file_name(self) -> str:
        """Without the patient's name: files lie about."""
        return f"{FILES[self.about]}-{self.period.first_day}-{self.period.last_day}.pdf"


def make(
    conn: Connection,
    *,
    rules: Mapping[str, RuleText],
    unit: GlucoseUnit,
    whose: Whose,
    about: About,
    words: Words,
    actor: str,
    form: Literal["page", "pdf"],
    days: int | None,
    until: date | None,
    now: datetime,
) -> Made:
    """The report of a patient whom the caller may see; that it was made is noted in the same transaction."""
    period = sheets.period_of(conn, whose.patient_id, days=days or USUAL_DAYS[about], until=until, now=now)
    sheet: pressure_sheet.PressureSheet | glucose_sheet.GlucoseSheet
    if about == "bp":
        sheet = pressure_sheet.build(conn, whose, period, rules, words, now=now)
    else:
        sheet = glucose_sheet.build(conn, whose, period, unit, words, now=now)
    audit.note(
        conn,
        actor=actor,
        act="report.made",
        at=now,
        patient_id=whose.patient_id,
        subject=about,
        detail={
            "form": form,
            "language": words.language,
            "first_day": period.first_day.isoformat(),
            "last_day": period.last_day.isoformat(),
        },
    )
    return Made(
        about=about,
        sheet=sheet,
        age=age_of(whose.birth_date, now, whose.zone),
        made=f"{words.day(period.day(now))} {period.clock(now)}",
    )


def print_pdf(made: Made, words: Words) -> bytes:
    """The report as PDF. Raises `UnavailableError` where this machine cannot."""
    if not pdf.is_available():
        raise UnavailableError("no PDF here: install the extra `reports` and Pango, or print from the browser")
    html = part(TEMPLATES[made.about], words, is_pdf=True, sheet=made.sheet, age=made.age, made=made.made)
    return pdf.print_page(html)


@router.get("/{about}/{patient_id}")
def show_report(
    caller: SignedIn,
    request: Request,
    about: About,
    patient_id: PatientId,
    days: Days = None,
    until: Until = None,
) -> Response:
    words = words_of(request, caller)
    made = _make(caller, about, patient_id, words, form="page", days=days, until=until)
    chosen = {"days": str(made.period.days), "until": made.period.last_day.isoformat()}
    return render(
        request,
        TEMPLATES[about],
        words,
        is_pdf=False,
        sheet=made.sheet,
        age=made.age,
        made=made.made,
        shown_name=names_of(request)(made.sheet.whose.name),
        back=f"/p/{patient_id}",
        back_name=words.say("Back to the record"),
        choices=_choices(made, words, today=made.period.day(caller.now)),
        pdf_address=f"/report/{about}/{patient_id}/pdf?{urlencode(chosen | {'lang': words.language})}"
        if pdf.is_available()
        else "",
        says_no_pdf=True,
    )


@router.get("/{about}/{patient_id}/pdf")
def show_pdf(
    caller: SignedIn,
    request: Request,
    about: About,
    patient_id: PatientId,
    days: Days = None,
    until: Until = None,
) -> Response:
    words = words_of(request, caller)
    made = _make(caller, about, patient_id, words, form="pdf", days=days, until=until)
    return pdf_answer(made, words)


def pdf_answer(made: Made, words: Words) -> Response:
    """The PDF to keep. Its name says what it is and of which days."""
    return Response(
        print_pdf(made, words),
        media_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{made.file_name}"'},
    )


def _make(
    caller: Caller,
    about: About,
    patient_id: int,
    words: Words,
    *,
    form: Literal["page", "pdf"],
    days: int | None,
    until: date | None,
) -> Made:
    with transaction(caller.pool) as conn:
        patient = worklist.find_panel_patient(
            conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
        if patient is None:
            raise NotOnPanelError("no such patient")
        return make(
            conn,
            rules=caller.clinic.rules,
            unit=caller.clinic.glucose_unit,
            whose=sheets.of_panel(patient),
            about=about,
            words=words,
            actor=f"user:{caller.user_id}",
            form=form,
            days=days,
            until=until,
            now=caller.now,
        )


def _choices(made: Made, words: Words, *, today: date) -> list[tuple[str, str, bool]]:
    """Other lengths up to the same day, the days before, and, if there are any, the days after."""
    period = made.period

    def address(days: int, until: date) -> str:
        return "?" + urlencode({"days": days, "until": until.isoformat()})

    found = [
        (
            words.count("%(num)s day", "%(num)s days", days, num=days),
            address(days, period.last_day),
            days == period.days,
        )
        for days in CHOICES[made.about]
    ]
    found.append((words.say("Earlier"), address(period.days, period.first_day - timedelta(days=1)), False))
    if period.last_day < today:
        following = min(period.last_day + timedelta(days=period.days), today)
        found.append((words.say("Later"), address(period.days, following), False))
    return found
