"""`/programme`: the figures of one's panel, or of the house for who runs it, each with what it means, and their trend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from markupsafe import Markup, escape

from server.people.door import SignedIn
from server.programme.figures import PUBLISHED_STAFF_ALERTS
from server.programme.report import CELL_MIN, DAYS_DEFAULT, DAYS_MAX, DEFINITIONS, Cell, cells, figures_for
from server.programme.shapes import Figures, Month
from server.programme.silent import CAUSES, Silent, silent_patients
from server.store import worklist
from server.store.fleet import names_of
from server.store.postgres import transaction
from server.web.rendering import render, words_of
from server.web.words import Words, mark

router: Final = APIRouter(include_in_schema=False)

SPANS: Final = (30, 90, 366)
NAMES: Final[Mapping[str, str]] = {
    "control": mark("Blood pressure controlled (below 135/85 at home)"),
    "control_document": mark("The same with 140/90"),
    "adherence": mark("Planned times measured"),
    "follow_ups": mark("Follow-ups in which the patient was spoken with"),
    "critical": mark("Urgent alerts answered within 10 minutes"),
    "useful": mark("Alerts rated useful"),
}
STAFF_ALERTS: Final = mark("Alerts to staff for each patient and day")
SILENCES: Final[Mapping[str, str]] = {
    "patient": mark("has stopped measuring"),
    "meter": mark("meter: nothing usable comes of it"),
    "line": mark("gateway: the home cannot be heard"),
}
assert set(CAUSES.values()) == set(SILENCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of the table: the number, what it is of, what is beside it, and what it means."""

    name: str
    number: str
    of: str
    beside: str
    means: str


@router.get("/programme")
def show_programme(
    caller: SignedIn,
    request: Request,
    days: Annotated[int, Query(ge=30, le=DAYS_MAX)] = DAYS_DEFAULT,
) -> Response:
    words = words_of(request, caller)
    is_house = caller.session.role == "admin"
    figures = figures_for(caller, of="house" if is_house else "panel", days=days)
    silent: Sequence[Silent] = (
        () if is_house else silent_patients(caller.house, caller.pool, caller.session, now=caller.now)
    )
    with transaction(caller.pool) as conn:
        unread = worklist.count_unread(conn, user_id=caller.user_id)
        names = {} if is_house else names_of(conn, caller.user_id)
    is_few = is_house and figures.patients < CELL_MIN
    return render(
        request,
        "programme.html",
        words,
        caller=caller,
        unread=unread,
        is_house=is_house,
        is_few=is_few,
        days=days,
        spans=SPANS,
        figures=figures,
        rows=_rows(figures, cells(figures, is_house=is_house), words),
        trends=[] if is_few else _trends(figures.months, words),
        silent=silent,
        SILENCES=SILENCES,
        flagged={each: names[each] for each in figures.digits.flagged if each in names},
    )


def _rows(figures: Figures, shown: Mapping[str, Cell], words: Words) -> list[Row]:
    rows = [_share_row(name, shown[name], figures, shown, words) for name in NAMES]
    return [
        *rows[:3],
        _alerts_row(figures, words),
        _times_row(figures, words),
        *rows[3:],
        _digits_row(figures, shown, words),
        _data_row(shown, words),
    ]


def _share_row(name: str, cell: Cell, figures: Figures, shown: Mapping[str, Cell], words: Words) -> Row:
    beside = ""
    if name == "control":
        beside = _of(words.say("missing"), shown["control_missing"], words)
        if figures.control.by_fallback and not cell.is_small:
            beside += words.say("; by three days alone: %(n)s", n=words.number(figures.control.by_fallback))
    elif name == "adherence" and figures.unknown_occasions:
        beside = words.say("unknown: %(n)s", n=words.number(figures.unknown_occasions))
    elif name == "useful" and figures.alerts.unrated:
        beside = words.say("not rated: %(n)s", n=words.number(figures.alerts.unrated))
    elif name == "follow_ups" and figures.follow_ups.median_days is not None:
        beside = words.say(
            "closed: %(n)s, after %(days)s days (median)",
            n=words.number(figures.follow_ups.closed),
            days=words.number(figures.follow_ups.median_days, 1),
        )
    return Row(
        name=words.say(NAMES[name]),
        number=_percent(cell, words),
        of=_part(cell, words),
        beside=beside,
        means=words.pick(DEFINITIONS[name]),
    )


def _alerts_row(figures: Figures, words: Words) -> Row:
    rate = figures.alerts.staff_a_patient_day
    return Row(
        name=words.say(STAFF_ALERTS),
        number="–" if rate is None else words.number(rate, 3),
        of=words.say(
            "%(part)s in %(whole)s patient-days",
            part=words.number(figures.alerts.staff),
            whole=words.number(figures.alerts.patient_days),
        ),
        beside=words.say("published elsewhere: %(rate)s", rate=words.number(PUBLISHED_STAFF_ALERTS, 2)),
        means=words.pick(DEFINITIONS["staff_alerts"]),
    )


def _times_row(figures: Figures, words: Words) -> Row:
    alerts = figures.alerts
    median, p90 = (
        "–" if each is None else words.lasting(timedelta(seconds=each)) for each in (alerts.median_s, alerts.p90_s)
    )
    return Row(
        name=words.say("Time until an alert is acknowledged"),
        number=median,
        of=words.say("median of %(n)s; nine of ten within %(p90)s", n=words.number(alerts.acknowledged), p90=p90)
        if alerts.acknowledged
        else words.say("none was acknowledged"),
        beside=words.say("not acknowledged: %(n)s", n=words.number(alerts.staff - alerts.acknowledged)),
        means=words.pick(DEFINITIONS["acknowledge"]),
    )


def _digits_row(figures: Figures, shown: Mapping[str, Cell], words: Words) -> Row:
    digits = figures.digits
    beside = _of(words.say("patients flagged"), shown["digits_flagged"], words)
    if digits.chi_square is not None:
        beside += words.say("; chi-square %(n)s", n=words.number(digits.chi_square, 1))
    return Row(
        name=words.say("Pressures that end in 0 or 5"),
        number="–"
        if digits.zero_or_five is None
        else words.say("%(n)s %%", n=words.number(100 * digits.zero_or_five, 1)),
        of=words.say("of %(n)s values; by chance 20 %%", n=words.number(digits.values)),
        beside=beside,
        means=words.pick(DEFINITIONS["digits"]),
    )


def _data_row(shown: Mapping[str, Cell], words: Words) -> Row:
    more = shown["days_of_data_more"]
    return Row(
        name=words.say("Patients with 16 and more days of data in 30"),
        number=_percent(more, words),
        of=_part(more, words),
        beside=_of(words.say("2 to 15 days"), shown["days_of_data_less"], words),
        means=words.pick(DEFINITIONS["days_of_data"]),
    )


def _percent(cell: Cell, words: Words) -> str:
    return "–" if cell.share is None else words.say("%(n)s %%", n=words.number(100 * cell.share))


def _part(cell: Cell, words: Words) -> str:
    if cell.is_small or cell.part is None or cell.whole is None:
        return words.say("too few to show")
    if not cell.whole:
        return words.say("nothing to count")
    return words.say("%(part)s of %(whole)s", part=words.number(cell.part), whole=words.number(cell.whole))


def _of(name: str, cell: Cell, words: Words) -> str:
    return words.say("%(name)s: %(part)s", name=name, part=_part(cell, words))


# -- the trend -----------------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 380.0, 170.0, 44.0, 12.0, 12.0, 26.0


def _trends(months: Sequence[Month], words: Words) -> list[tuple[str, Markup]]:
    """Each with its name; one point a month, the gaps left open."""
    names = [words.short_date(month.until) for month in months]
    controlled = [month.controlled for month in months]
    adherence = [month.adherence for month in months]
    staff = [month.staff_alerts for month in months]
    return [
        (words.say("Controlled, below 135/85"), _trend(controlled, names, words, top=1.0, digits=None)),
        (words.say("Planned times measured"), _trend(adherence, names, words, top=1.0, digits=None)),
        (
            words.say(STAFF_ALERTS),
            _trend(
                staff,
                names,
                words,
                top=max(0.2, *(each or 0.0 for each in staff)),
                digits=2,
                line=PUBLISHED_STAFF_ALERTS,
            ),
        ),
    ]


def _trend(
    values: Sequence[float | None],
    names: Sequence[str],
    words: Words,
    *,
    top: float,
    digits: int | None,
    line: float | None = None,
) -> Markup:
    """Thirty-day steps as a line. The same is said in words to whoever does not see it."""

    def x(place: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (place / (len(values) - 1) if len(values) > 1 else 0.5)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(value, top) / top

    def say(value: float | None) -> str:
        if value is None:
            return "–"
        return words.say("%(n)s %%", n=words.number(100 * value)) if digits is None else words.number(value, digits)

    says = words.listed([f"{name} {say(value)}" for name, value in zip(names, values, strict=True)])
    drawn = [
        f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y(mark_at):.1f}" y2="{y(mark_at):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6:g}" y="{y(mark_at) + 4:.1f}" text-anchor="end">{escape(say(mark_at))}</text>'
        for mark_at in (0.0, top / 2, top)
    ]
    if line is not None:
        drawn.append(
            f'<line class="published" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y(line):.1f}" y2="{y(line):.1f}"/>'
        )
    run: list[str] = []
    for place, value in enumerate([*values, None]):
        if value is not None:
            run.append(f"{x(place):.1f},{y(value):.1f}")
            drawn.append(f'<circle class="spot" cx="{x(place):.1f}" cy="{y(value):.1f}" r="3.2"/>')
        elif run:
            drawn.append(f'<polyline class="line" points="{" ".join(run)}"/>')
            run = []
    for place in {0, len(names) - 1}:
        anchor = "start" if place == 0 and len(names) > 1 else "end" if place else "middle"
        drawn.append(
            f'<text class="tick" x="{x(place):.1f}" y="{_HEIGHT - 8:g}" text-anchor="{anchor}">{escape(names[place])}</text>'
        )
    head = f'<svg class="trend" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(says)}" focusable="false">'
    return Markup("\n".join((head, *drawn, "</svg>")))
