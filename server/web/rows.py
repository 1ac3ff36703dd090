"""What the worklist shows: one row for each patient, the alerts of a patient together, in words and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from markupsafe import Markup

from server.people.decisions import OPEN_STATES
from server.people.door import Caller, Clinic
from server.people.rule_texts import Condition, is_of_values, text_of, trend_conditions
from server.store import reading_lists, silences, worklist, worklist_rows
from server.store.postgres import Connection
from server.store.reading_lists import PanelValue
from server.store.silences import Silence
from server.store.worklist import PAGE_MAX, Alert, PanelPatient, Place
from server.store.worklist_rows import LastDecision
from server.web.history import PRESSURES, Span, own_conditions
from server.web.newsroom import known, short_name
from server.web.row_pictures import draw_rows
from server.web.words import KINDS, RESOLUTIONS, STATES, UNITS, Words
from server.web.worklist_order import Case, Change, Filters, change_of, in_order, kinds_of, place

SPARKLINE_DAYS: Final = 14
LATELY: Final = timedelta(days=3)
"""What a row calls lately: as long as the shortest rule over days. Its average is put beside that of the days before."""

ASSESSED_FOR: Final = timedelta(days=30)
LATE_AFTER: Final = timedelta(minutes=1)
"""A judging takes less than a second; one that has waited for a minute is worth a look."""

OwnThresholds = Mapping[tuple[int, str], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """One alert in a row. `decided`: what a person last did about it. Seconds are those left at the instant of the request."""

    alert: Alert
    sentence: str
    rule: str
    waiting: str
    days: str
    decided: str
    is_critical: bool
    undo_s: int = 0
    answer_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hush:
    """That alerts of a patient tell no clinician for a while. `what`: which, and by whose word."""

    until: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One patient. `priority` is that of the gravest alert; without an alert it is empty. `pictures` have names."""

    patient: PanelPatient
    age: int | None
    priority: str
    lines: tuple[AlertLine, ...]
    pictures: tuple[tuple[str, Markup], ...]
    change: str
    last_reading: str
    last_contact: str
    assessed: str
    is_late: bool
    doctor: str
    known: str = field(default="")
    hushes: tuple[Hush, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to take an alert of this patient."""
        return any(line.alert.state == "active" for line in self.lines)


def open_alerts(conn: Connection, *, user_id: int, patient_id: int | None = None) -> list[Alert]:
    """Every open alert of the panel, however many: a worklist that ended at a page would hide the rest."""
    alerts: list[Alert] = []
    before: Place | None = None
    while True:
        page = worklist.list_alerts(
            conn, user_id=user_id, limit=PAGE_MAX, states=OPEN_STATES, patient_id=patient_id, before=before
        )
        alerts += page
        if len(page) < PAGE_MAX:
            return alerts
        before = Place(at=page[-1].opened_at, row_id=page[-1].episode_id)


def list_cases(conn: Connection, caller: Caller, filters: Filters) -> list[Case]:
    """The whole panel as far as the filters let it through, in the order of a worklist; no reading is loaded for it."""
    grouped: dict[int, list[Alert]] = {}
    for alert in open_alerts(conn, user_id=caller.user_id):
        grouped.setdefault(alert.patient_id, []).append(alert)
    cases = [
        Case(member=member, alerts=in_order(grouped.get(member.patient_id, ())))
        for member in worklist_rows.list_members(conn, user_id=caller.user_id)
    ]
    found = _with_changes(conn, caller, [case for case in cases if filters.let_through(case.member, case.alerts)])
    return sorted(found, key=lambda case: place(case, caller.now))


def _with_changes(conn: Connection, caller: Caller, cases: Sequence[Case]) -> list[Case]:
    fired = [case for case in cases if case.alerts]
    trends: dict[int, list[worklist_rows.Trend]] = {}
    if fired:
        found = worklist_rows.list_trends(
            conn,
            [case.member.patient_id for case in fired],
            kinds={kinds_of(case.gravest)[0] for case in fired},
            since=caller.now - timedelta(days=SPARKLINE_DAYS),
            lately=caller.now - LATELY,
        )
        for trend in found:
            trends.setdefault(trend.patient_id, []).append(trend)
    return [
        Case(
            member=case.member,
            alerts=case.alerts,
            change=change_of(case.gravest, trends.get(case.member.patient_id, ())),
        )
        for case in cases
    ]


def build_rows(conn: Connection, caller: Caller, words: Words, cases: Sequence[Case]) -> list[Row]:
    """The rows of these cases, in their order."""
    ids = [case.member.patient_id for case in cases]
    found = worklist.list_panel(
        conn, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now, patient_ids=ids
    )
    facts = _Facts(
        own=own_thresholds(conn, ids),
        heard=worklist_rows.list_heard(conn, ids),
        values=_values(conn, caller, ids),
        decided=worklist_rows.list_last_decisions(conn, [alert.episode_id for case in cases for alert in case.alerts]),
        silences=silences.list_silences(conn, user_id=caller.user_id, open_at=caller.now),
    )
    patients = {patient.patient_id: patient for patient in found}
    return [
        _row(caller, words, patients[case.member.patient_id], case, facts)
        for case in cases
        if case.member.patient_id in patients
    ]


def build_row(
    conn: Connection, caller: Caller, words: Words, patient_id: int, *, besides: Alert | None = None
) -> Row | None:
    """One patient's row; `None` outside the panel. `besides`: an alert that is shown though it has just been closed."""
    member = worklist_rows.find_member(conn, patient_id, user_id=caller.user_id)
    if member is None:
        return None
    alerts = open_alerts(conn, user_id=caller.user_id, patient_id=patient_id)
    (case,) = _with_changes(conn, caller, [Case(member=member, alerts=in_order(alerts))])
    if besides is not None and all(alert.episode_id != besides.episode_id for alert in alerts):
        case = Case(member=member, alerts=(besides, *case.alerts), change=case.change)
    rows = build_rows(conn, caller, words, [case])
    return rows[0] if rows else None


def own_thresholds(conn: Connection, patient_ids: Sequence[int]) -> OwnThresholds:
    """By patient and rule."""
    found = worklist.list_thresholds(conn, patient_ids)
    return {(each.patient_id, each.rule_id): each.parameters for each in found}


def conditions_for(clinic: Clinic, own: OwnThresholds, patient_id: int, alert: Alert | None) -> tuple[Condition, ...]:
    """The lines of a patient's charts: those that the alert was judged by, and for pressures, if it says nothing of them, the
    patient's own of the rule over days."""
    judged_by = () if alert is None or not text_of(clinic.rules, alert.rule_id).has_lines else _judged_by(alert)
    if any(each.signal in PRESSURES for each in judged_by):
        return judged_by
    rule_id, conditions = trend_conditions(clinic.rules)
    return (*judged_by, *own_conditions(conditions, own.get((patient_id, rule_id), {})))


def _judged_by(alert: Alert) -> tuple[Condition, ...]:
    parts = (
        each for each in alert.verdict.get("parts", ()) if is_of_values(each["kind"], each["of"], each["statistic"])
    )
    thresholds = [*alert.verdict.get("thresholds", ()), *(each for part in parts for each in part["thresholds"])]
    return tuple(
        Condition(
            signal=each["signal"],
            comparison=each["comparison"],
            value=float(each["value"]),
            unit=each.get("unit", "mmHg"),
        )
        for each in thresholds
    )


def age_of(birth_date: date | None, now: datetime, zone: str) -> int | None:
    """Completed years on the patient's own calendar."""
    if birth_date is None:
        return None
    today = now.astimezone(ZoneInfo(zone)).date()
    return today.year - birth_date.year - ((today.month, today.day) < (birth_date.month, birth_date.day))


def say_assessed(patient: PanelPatient, words: Words, now: datetime) -> str:
    """Never "all is well": when the last assessment was, and on how many readings it rests.

    A reading is due for judging in the transaction that stores it, so with nothing due the newest has been judged, no
    earlier than it was stored: the time shown may be older than the truth, never newer.
    """
    if patient.last_stored_at is None:
        return words.say("Nothing to assess: no reading in 30 days")
    if patient.waiting_since is not None:
        return words.say("Waiting to be assessed for %(span)s", span=words.lasting(now - patient.waiting_since))
    return words.count(
        "Last assessed %(ago)s on %(n)s reading in 30 days",
        "Last assessed %(ago)s on %(n)s readings in 30 days",
        patient.readings,
        ago=words.ago(now - patient.last_stored_at),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What was loaded for some rows at once."""

    own: OwnThresholds
    heard: Mapping[int, datetime]
    values: Mapping[int, Sequence[PanelValue]]
    decided: Mapping[UUID, LastDecision]
    silences: Sequence[Silence]


def _values(conn: Connection, caller: Caller, patient_ids: Sequence[int]) -> Mapping[int, Sequence[PanelValue]]:
    values: dict[int, list[PanelValue]] = {}
    since = caller.now - timedelta(days=SPARKLINE_DAYS + 1)
    for value in reading_lists.list_panel_values(conn, patient_ids, since=since):
        values.setdefault(value.patient_id, []).append(value)
    return values


def _row(caller: Caller, words: Words, patient: PanelPatient, case: Case, facts: _Facts) -> Row:
    gravest, values = case.gravest, facts.values.get(patient.patient_id, ())
    span = Span.ending(caller.now, days=SPARKLINE_DAYS, zone=patient.zone)
    conditions = conditions_for(caller.clinic, facts.own, patient.patient_id, gravest)
    is_late = patient.waiting_since is not None and caller.now - patient.waiting_since > LATE_AFTER
    return Row(
        patient=patient,
        age=age_of(patient.birth_date, caller.now, patient.zone),
        priority=gravest.priority if gravest and gravest.state in OPEN_STATES else "",
        lines=tuple(
            alert_line(caller, words, alert, zone=patient.zone, last=facts.decided.get(alert.episode_id))
            for alert in case.alerts
        ),
        pictures=draw_rows(values, span, conditions, words, kinds=kinds_of(gravest)),
        change=say_change(case.change, words),
        last_reading=_say_last(patient, values, words, caller.now),
        last_contact=_say_contact(facts.heard.get(patient.patient_id), words, caller.now),
        assessed=say_assessed(patient, words, caller.now),
        is_late=is_late,
        doctor=case.member.doctor_name or "",
        hushes=tuple(
            _say_silence(caller, words, each, patient.zone)
            for each in facts.silences
            if each.patient_id == patient.patient_id
        ),
        known=known({short_name(each.episode_id): each.version for each in case.alerts if each.state in OPEN_STATES}),
    )


def _say_silence(caller: Caller, words: Words, silence: Silence, zone: str) -> Hush:
    every = words.say("every rule that is not urgent")
    rule = words.pick(text_of(caller.clinic.rules, silence.rule_id).title) if silence.rule_id else every
    return Hush(
        until=words.moment(silence.until, zone),
        what=words.say("No doctor or nurse is told: %(what)s. By %(who)s.", what=rule, who=silence.made_by),
    )


def alert_line(
    caller: Caller, words: Words, alert: Alert, *, zone: str = "UTC", last: LastDecision | None = None
) -> AlertLine:
    """An alert in one line of words."""
    text = text_of(caller.clinic.rules, alert.rule_id)
    return AlertLine(
        alert=alert,
        sentence=words.pick(alert.sentence),
        rule=words.say(
            "%(title)s (rule %(rule)s, version %(version)s)",
            title=words.pick(text.title),
            rule=alert.rule_id,
            version=alert.rule_version,
        ),
        waiting=words.lasting(caller.now - alert.opened_at),
        days=say_days(alert, words),
        decided="" if last is None else say_decision(last, zone, words, caller.now),
        is_critical=text.is_critical,
        undo_s=seconds_left(alert.undo_until, caller.now) or 0,
        answer_s=None if alert.answered_at else seconds_left(alert.answer_by, caller.now, is_past=True),
    )


def seconds_left(until: datetime | None, now: datetime, *, is_past: bool = False) -> int | None:
    """Whole seconds; below zero only if what `is_past` is wanted."""
    if until is None:
        return None
    left = round((until - now).total_seconds())
    return left if is_past else max(left, 0)


def say_days(alert: Alert, words: Words) -> str:
    """The days that it speaks of, as short as they can be said."""
    first, last = words.short_date(alert.first_day), words.short_date(alert.last_day)
    return first if first == last else words.say("%(first)s to %(last)s", first=first, last=last)


def say_decision(last: LastDecision, zone: str, words: Words, now: datetime) -> str:
    """Who last did what about it, and when."""
    code = last.reason.partition(": ")[0]
    what = words.say(RESOLUTIONS[code]) if code in RESOLUTIONS else words.among(STATES, last.to_state)
    return words.say("%(who)s, %(ago)s: %(what)s", who=last.by_name, ago=words.ago(now - last.at), what=what)


def say_change(change: Change | None, words: Words) -> str:
    """How values have moved, as numbers: whether that is bad is for the reader."""
    if change is None:
        return ""
    if change.kind == "blood_pressure":
        lately, before = words.number(change.lately), words.number(change.before)
    else:
        lately, before = words.amount(change.kind, change.lately), words.amount(change.kind, change.before)
    arrow = "→" if lately == before else "↑" if change.by > 0 else "↓"
    return words.say("%(arrow)s 3 days: mean %(lately)s, before: %(before)s", arrow=arrow, lately=lately, before=before)


def _say_contact(heard_at: datetime | None, words: Words, now: datetime) -> str:
    return words.say("never") if heard_at is None else words.ago(now - heard_at)


def _say_last(patient: PanelPatient, values: Sequence[PanelValue], words: Words, now: datetime) -> str:
    if patient.last_at is None:
        return words.say("no reading in 30 days")
    if not values:
        return words.ago(now - patient.last_at)
    last = values[-1]
    ago = words.ago(now - last.measured_at)  # of this value: a later measurement that failed has none to show
    if last.kind == "blood_pressure":
        return words.say("%(value)s, %(ago)s", value=words.pressure(last.systolic_mmhg, last.diastolic_mmhg), ago=ago)
    if last.value is None:
        return ago
    value = f"{words.amount(last.kind, last.value)} {UNITS[last.kind]}"
    if last.kind != "glucose":
        value = f"{words.among(KINDS, last.kind)} {value}"
    return words.say("%(value)s, %(ago)s", value=value, ago=ago)
