"""`python -m server report bp|glucose PATIENT`: a patient's report as PDF or as JSON, for whoever runs the clinic's server."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from server import clock
from server.terminal import RefusedError, in_database, load_settings, operator, print_json

if TYPE_CHECKING:
    from server.rules.pressure_report import Average
    from server.store.postgres import Connection
    from server.web.reports_page import About, Made

app = typer.Typer(
    help="Reports of one patient's readings, for a visit or a file.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

PatientId = Annotated[int, typer.Argument(metavar="PATIENT", help="The patient's number.")]
Last = Annotated[str | None, typer.Option(help="How many days, such as 7d, up to 90d.")]
Until = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day; default: today.")]
Lang = Annotated[Literal["zh", "en"] | None, typer.Option(help="Default: the patient's language.")]
Pdf = Annotated[Path | None, typer.Option(help="Where to write the PDF.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


@app.command()
def bp(
    patient_id: PatientId,
    last: Last = None,
    until: Until = None,
    lang: Lang = None,
    pdf: Pdf = None,
    as_json: AsJson = False,
) -> None:
    """Home blood pressure: by default the last 7 days, by the 7-day protocol."""
    _report("bp", patient_id, last, until, lang, pdf, as_json)


@app.command()
def glucose(
    patient_id: PatientId,
    last: Last = None,
    until: Until = None,
    lang: Lang = None,
    pdf: Pdf = None,
    as_json: AsJson = False,
) -> None:
    """Glucose: by default the last 14 days; a profile of a dense sensor, a grid of finger-sticks."""
    _report("glucose", patient_id, last, until, lang, pdf, as_json)


def _report(
    about: "About",
    patient_id: int,
    last: str | None,
    until: datetime | None,
    lang: Literal["zh", "en"] | None,
    pdf: Path | None,
    as_json: bool,
) -> None:
    if pdf is None and not as_json:
        raise typer.BadParameter("say where to, with --pdf FILE, or --json")
    days = _days(last)

    def work(conn: "Connection") -> tuple["Made", bytes | None]:
        return _made(
            conn, about, patient_id, days, None if until is None else until.date(), lang, is_pdf=pdf is not None
        )

    made, printed = in_database(work)
    if pdf is not None and printed is not None:
        pdf.write_bytes(printed)
        typer.echo(f"{pdf}: {made.period.first_day} to {made.period.last_day}", err=as_json)
    if as_json:
        print_json(_figures(made))


def _made(
    conn: "Connection",
    about: "About",
    patient_id: int,
    days: int | None,
    until: date | None,
    lang: Literal["zh", "en"] | None,
    *,
    is_pdf: bool,
) -> tuple["Made", bytes | None]:
    from server.people.rule_texts import texts_of
    from server.rules.load import load_catalog
    from server.web import reports_page, sheets
    from server.web.words import Words

    now = clock.now()
    whose = sheets.find(conn, patient_id, now=now)
    if whose is None:
        raise RefusedError(f"no patient {patient_id}; `server patient list` shows who there is")
    words = Words(language=lang or ("en" if whose.language == "en" else "zh"))
    made = reports_page.make(
        conn,
        rules=texts_of(load_catalog()),
        unit=load_settings().glucose_unit,
        whose=whose,
        about=about,
        words=words,
        actor=operator(),
        form="pdf" if is_pdf else "page",
        days=days,
        until=until,
        now=now,
    )
    return made, reports_page.print_pdf(made, words) if is_pdf else None


def _days(last: str | None) -> int | None:
    if last is None:
        return None
    number = last.removesuffix("d")
    if not number.isdigit() or not 1 <= int(number) <= 90:
        raise typer.BadParameter(f"{last!r}: a number of days from 1d to 90d, such as 7d")
    return int(number)


def _figures(made: "Made") -> dict[str, object]:
    """The numbers of the report, unrounded."""
    from server.web.pressure_sheet import PressureSheet

    period = {"first_day": made.period.first_day, "last_day": made.period.last_day, "about": made.about}
    if isinstance(made.sheet, PressureSheet):
        report = made.sheet.report
        means = {name: _average(getattr(report, name)) for name in ("overall", "morning", "evening")}
        left_out = None if report.left_out is None else date.fromordinal(report.left_out)
        return {**period, "is_enough": report.is_enough, "days": report.days, "left_out": left_out, **means}
    return {**period, "sensor": made.sheet.sensor_report, "finger_sticks": made.sheet.stick_counts}


def _average(average: "Average | None") -> dict[str, object] | None:
    if average is None:
        return None
    return {
        "n": average.n,
        "systolic_mmhg": float(average.systolic),
        "diastolic_mmhg": float(average.diastolic),
        "systolic_sd": average.systolic_sd,
        "diastolic_sd": average.diastolic_sd,
    }
