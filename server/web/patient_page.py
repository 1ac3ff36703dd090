"""`/p/{patient_id}`: one patient's record, for a clinician who has a minute.

Charts on common axes with the patient's own lines, each with its numbers as a table; every reading with what it is worth and
where its time is from; what was decided, by whom; whose meters are heard. Decisions are made elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.people.break_glass import SHOWN_FOR
from server.people.door import Caller, SignedIn
from server.people.errors import NotOnPanelError
from server.people.rule_texts import Condition, text_of, trend_conditions
from server.rules.clinical_days import Calendar
from server.rules.features import Features, features_of
from server.store import panels, quarantine, record, thresholds, worklist
from server.store.postgres import Connection, transaction
from server.store.quarantine import Conflict
from server.store.reading_lists import (
    MEASURED_BY_HAND,
    WORN,
    ShownReading,
    list_all_readings,
    list_readings,
    list_struck,
)
from server.store.record import Answer, MadeDecision, OwnMeter
from server.store.thresholds import OwnVersion
from server.store.worklist import PanelPatient, Place
from server.web import glucose_figures, pressure_figures, sensor_figures, value_figures
from server.web.backtest_page import label
from server.web.charts import Dot, Mark
from server.web.history import Corrections, Span, pressure_dots, reading_row, struck_readings, value_dots
from server.web.masking import names_of
from server.web.record_pages import PatientId, said, told
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR, age_of, alert_line, conditions_for, own_thresholds, say_assessed
from server.web.symptom_words import say_symptoms
from server.web.untold import say_untold
from server.web.words import KINDS, RESOLUTIONS, Words, mark

router: Final = APIRouter(include_in_schema=False)

SPANS: Final = (7, 30, 90, 365)
MARKS_VIEW: Final = timedelta(days=15)
"""A reading's doubt comes from the fourteen days before it."""
SENSOR_DAYS_MAX: Final = 90
PAGE: Final = 40
METERS_HEARD: Final = timedelta(days=30)
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))

NOTED: Final = mark("Noted by the clinic")
CONFLICT_OF_OWN_METER: Final = mark(
    "Meter %(meter)s of this patient was read in another home, last on %(day)s (readings put aside: %(n)s)."
    " Ask who measures with it."
)
CONFLICT_OF_ANOTHERS: Final = mark(
    "Somebody else's meter %(meter)s was read in this home, last on %(day)s (readings put aside: %(n)s). Ask whose it is."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that was decided, or that the patient said. `sign`: the letter that marks it in the charts, or nothing."""

    at: datetime
    when: str
    sign: str
    what: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLine:
    """A rule of which something was set for this patient alone."""

    title: str
    numbers: str
    who: str
    when: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterLine:
    meter_id: str
    gateway_id: str
    is_in_use: bool
    since: str
    last_reading: str
    last_heard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """All that one page reads, in one transaction."""

    patient: PanelPatient
    by_hand: Features
    worn: Features
    sticks: Sequence[ShownReading]
    page: Sequence[ShownReading]
    struck: Sequence[ShownReading]
    corrected: Corrections
    kinds: tuple[str, ...]
    happenings: tuple[Happening, ...]
    conditions: tuple[Condition, ...]


@router.get("/p/{patient_id}")
def show_patient(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    days: Annotated[int, Query(ge=1, le=3660)] = 30,
    kind: Annotated[str, Query(max_length=32)] = "",
    before: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    words = words_of(request, caller)
    days = days if days in SPANS else 30
    with transaction(caller.pool) as conn:
        patient = worklist.find_panel_patient(
            conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
        if patient is None:
            raise NotOnPanelError("no such patient")
        span = Span.ending(caller.now, days=days, zone=patient.zone)
        shown = _read(conn, caller, words, patient, span, kind, _place(before), names_of(request))
        alerts = worklist.list_alerts(conn, user_id=caller.user_id, patient_id=patient_id, limit=50)
        pushes = worklist.list_pushes(conn, patient_id)
        untold = worklist.find_untold(conn, patient_id)
        versions = thresholds.list_versions(conn, patient_id)
        meters = record.list_meters(conn, patient_id, since=caller.now - METERS_HEARD)
        conflicts = quarantine.binding_conflicts(conn, patient_id=patient_id)
        opened = panels.opened_of(conn, patient_id, since=caller.now - SHOWN_FOR)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    rows, following = shown.page[:PAGE], shown.page[PAGE:]
    lines = [alert_line(caller, words, alert) for alert in alerts]
    return render(
        request,
        "patient.html",
        words,
        caller=caller,
        unread=unread,
        patient=patient,
        age=age_of(patient.birth_date, caller.now, patient.zone),
        assessed=say_assessed(patient, words, caller.now),
        opened=opened,
        conflicts=[_say_conflict(each, patient, words) for each in conflicts],
        open_lines=[line for line in lines if line.alert.state not in ("resolved", "retracted")],
        closed_lines=[line for line in lines if line.alert.state in ("resolved", "retracted")],
        days=days,
        spans=[(each, _address(days=each, kind=kind)) for each in SPANS],
        **_figures(caller, shown, span, words),
        rows=[reading_row(each, patient.zone, shown.conditions, words, shown.corrected) for each in rows],
        kinds=[("", _say_all(shown.kinds, words)), *((each, words.say(KINDS[each])) for each in shown.kinds)],
        kind=kind if kind in shown.kinds else "",
        kind_address=lambda each: _address(days=days, kind=each) + "#readings",
        older=_address(days=days, kind=kind, before=_cursor(rows[-1])) + "#readings" if following else "",
        is_first_page=not before,
        happenings=shown.happenings[::-1],
        lines_say=_say_lines(caller, versions, patient, words),
        own_lines=_own_lines(caller, versions, patient, words),
        meters=[_meter(each, words, caller.now) for each in meters],
        pushes=[told(push, patient.zone, words) for push in pushes],
        untold=say_untold(untold, patient.zone, words),
    )


def _read(
    conn: Connection,
    caller: Caller,
    words: Words,
    patient: PanelPatient,
    span: Span,
    kind: str,
    before: Place | None,
    named: Callable[[str], str],
) -> _Shown:
    patient_id, now = patient.patient_id, caller.now
    ends = now + timedelta(days=1)  # a reading a little ahead of the clock is there, too
    by_hand = record.history_seen(
        conn, patient_id, since=span.begins_at - MARKS_VIEW, until=ends, kinds=MEASURED_BY_HAND
    )
    sensor_days = sensor_days_of(span.days)
    worn = record.history_seen(conn, patient_id, since=now - timedelta(days=sensor_days), until=ends, kinds=(WORN,))
    sticks = list_all_readings(conn, patient_id, since=span.begins_at, until=ends, kinds=("glucose",))
    kinds = record.kinds_of(conn, patient_id)
    page = list_readings(
        conn,
        patient_id,
        since=LONG_AGO,
        limit=PAGE + 1,
        before=before,
        kinds=(kind,) if kind in kinds else _shown(kinds),
    )
    struck = list_struck(conn, patient_id, since=span.begins_at)
    decisions = record.list_decisions(conn, patient_id, since=span.begins_at, until=ends)
    answers = record.list_answers(conn, patient_id, since=span.begins_at, until=ends)
    own = own_thresholds(conn, [patient_id])
    return _Shown(
        patient=patient,
        by_hand=features_of(by_hand, now=now, is_explained=False),
        worn=features_of(worn, now=now, is_explained=False),
        sticks=sticks,
        page=page,
        struck=struck,
        corrected=said(conn, caller, [*page, *struck], named),
        kinds=kinds,
        happenings=_happenings(caller, decisions, answers, patient.zone, words),
        conditions=conditions_for(caller.clinic, own, patient_id, None),
    )


def sensor_days_of(days: int) -> int:
    """Over how many days a worn sensor is looked at: no fewer than a profile needs, no more than say something of now."""
    return min(max(days, sensor_figures.PROFILE_DAYS), SENSOR_DAYS_MAX)


def _shown(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Unless it is asked for, a worn sensor takes no place in the table from what was measured by hand."""
    by_hand = tuple(each for each in kinds if each != WORN)
    return by_hand or kinds


def _say_all(kinds: tuple[str, ...], words: Words) -> str:
    return words.say("All kinds") if _shown(kinds) == kinds else words.say("All but the sensor")


def _figures(caller: Caller, shown: _Shown, span: Span, words: Words) -> dict[str, Any]:
    """What is drawn, by the names that the template has for it."""
    struck = struck_readings(shown.struck, shown.corrected, span.zone, words)
    marks = [Mark(day=span.place(each.at), sign=each.sign, says=each.what) for each in shown.happenings if each.sign]
    calendar = Calendar(shown.by_hand.history.zones, caller.now)
    unit = caller.clinic.glucose_unit
    sticks = glucose_figures.sticks_of(shown.sticks, calendar)
    struck_dots: list[Dot] = [dot for each, why in struck for dot in pressure_dots([each], span, (), struck=why)]
    values = [
        value_figures.figure(
            shown.by_hand,
            kind,
            span,
            words,
            struck=[dot for each, why in struck for dot in value_dots([each], span, kind, (), struck=why)],
        )
        for kind in value_figures.COLUMNS
    ]
    return {
        "pressures": pressure_figures.figures(
            shown.by_hand, span, shown.conditions, words, struck=struck_dots, marks=marks
        ),
        "sticks": glucose_figures.stick_figures(sticks, span.zone, unit, words),
        "sensor_shown": sensor_figures.sensor_figures(
            shown.worn, days=sensor_days_of(span.days), unit=unit, words=words
        ),
        "glucose_chart": next((each for each in values if each and each.kind == "glucose"), None),
        "values": [each for each in values if each and each.kind != "glucose"],
        "is_struck": bool(struck),
    }


def _happenings(
    caller: Caller, decisions: Sequence[MadeDecision], answers: Sequence[Answer], zone: str, words: Words
) -> tuple[Happening, ...]:
    """In order of time."""
    happened = [_decided(caller, each, zone, words) for each in decisions]
    happened += [
        Happening(
            at=each.answered_at,
            when=words.moment(each.answered_at, zone),
            sign=words.say("S") if each.symptoms else "",
            what=say_symptoms(each, words),
            who=words.say("the patient"),
        )
        for each in answers
    ]
    return tuple(sorted(happened, key=lambda each: each.at))


def _decided(caller: Caller, decision: MadeDecision, zone: str, words: Words) -> Happening:
    code, _, older_note = decision.reason.partition(": ")
    note = decision.note or older_note
    what = words.say(RESOLUTIONS.get(code, NOTED))
    title = words.pick(text_of(caller.clinic.rules, decision.rule_id).title)
    return Happening(
        at=decision.at,
        when=words.moment(decision.at, zone),
        sign=words.say("Rx") if code == "medication_changed" else words.say("D"),
        what=f"{what}{f' – {note}' if note else ''} · {title}",
        who=decision.by_name or words.say("HomeVigil"),
    )


def _own_lines(caller: Caller, versions: Sequence[OwnVersion], patient: PanelPatient, words: Words) -> list[OwnLine]:
    """The newest version of each rule of which something was ever set."""
    newest = {each.rule_id: each for each in reversed(versions)}
    return [
        OwnLine(
            title=words.pick(text_of(caller.clinic.rules, each.rule_id).title),
            numbers=_say_own(each, words),
            who=each.set_by,
            when=words.moment(each.set_at, patient.zone),
            why=each.reason,
        )
        for each in newest.values()
    ]


def _say_lines(caller: Caller, versions: Sequence[OwnVersion], patient: PanelPatient, words: Words) -> str:
    """Whose lines the chart of blood pressure has: the patient's own, and by whom, or the rule's and where those are from."""
    rule_id, _ = trend_conditions(caller.clinic.rules)
    own = next((each for each in versions if each.rule_id == rule_id), None)
    if own is None or not own.parameters:
        return words.say("Lines: %(source)s", source=text_of(caller.clinic.rules, rule_id).source)
    return words.say(
        "Lines: this patient's own (%(numbers)s), set by %(who)s, %(when)s",
        numbers=_say_own(own, words),
        who=own.set_by,
        when=words.moment(own.set_at, patient.zone),
    )


def _say_own(own: OwnVersion, words: Words) -> str:
    numbers = [f"{_label(name, words)} {value:g}" for name, value in own.parameters.items()]
    if own.is_watched is not None:
        numbers.append(words.say("Judges this patient") if own.is_watched else words.say("Does not judge this patient"))
    return words.listed(numbers) or words.say("as the rule says")


def _label(name: str, words: Words) -> str:
    try:
        return label(name, words)
    except KeyError:
        return name


def _meter(meter: OwnMeter, words: Words, now: datetime) -> MeterLine:
    return MeterLine(
        meter_id=meter.meter_id if meter.user_slot is None else f"{meter.meter_id} #{meter.user_slot}",
        gateway_id=meter.gateway_id,
        is_in_use=meter.valid_to is None,
        since=words.day(meter.valid_from.date()),
        last_reading=words.say("none in 30 days") if meter.last_at is None else words.ago(now - meter.last_at),
        last_heard="–" if meter.last_heard_at is None else words.ago(now - meter.last_heard_at),
    )


def _say_conflict(conflict: Conflict, patient: PanelPatient, words: Words) -> str:
    """Nothing that tells where the other home is: who may see one of the two may not see the other."""
    day = words.day(conflict.last_at.astimezone(ZoneInfo(patient.zone)).date())
    sentence = CONFLICT_OF_OWN_METER if conflict.is_own else CONFLICT_OF_ANOTHERS
    return words.say(sentence, meter=conflict.meter_id, day=day, n=words.number(conflict.readings))


def _address(*, days: int, kind: str = "", before: str = "") -> str:
    """This page with another choice."""
    chosen = {"days": str(days)} | ({"kind": kind} if kind else {}) | ({"before": before} if before else {})
    return "?" + urlencode(chosen)


def _cursor(last: ShownReading) -> str:
    return f"{last.measured_at.isoformat()}_{last.reading_id}"


def _place(before: str) -> Place | None:
    """Raises `NotOnPanelError` for what no page of ours leads to."""
    if not before:
        return None
    at, _, row_id = before.partition("_")
    try:
        place = Place(at=datetime.fromisoformat(at), row_id=UUID(row_id))
    except ValueError as e:
        raise NotOnPanelError("no such page") from e
    if place.at.tzinfo is None:
        raise NotOnPanelError("no such page")
    return place
