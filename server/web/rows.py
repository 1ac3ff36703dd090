"""What the worklist shows: one row for each patient, the alerts of a patient together, the gravest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from markupsafe import Markup

from server.people.decisions import OPEN_STATES
from server.people.door import Caller, Clinic
from server.people.rule_texts import Condition, is_of_values, text_of, trend_conditions
from server.rules.signals import SOURCES
from server.store import reading_lists, worklist
from server.store.postgres import Connection
from server.store.reading_lists import PanelValue
from server.store.worklist import PAGE_MAX, Alert, PanelPatient, Place
from server.web.history import PRESSURES, Span, draw_rows, own_conditions
from server.web.words import KINDS, UNITS, Words

SPARKLINE_DAYS: Final = 14
ASSESSED_FOR: Final = timedelta(days=30)
LATE_AFTER: Final = timedelta(minutes=1)
"""A judging takes less than a second; one that has waited for a minute is worth a look."""

_GRAVITY: Final = {"high": 0, "medium": 1, "low": 2, "information": 3}

OwnThresholds = Mapping[tuple[int, str], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """One open alert in a row."""

    alert: Alert
    sentence: str
    rule: str
    waiting: str
    is_critical: bool

    @property
    def known(self) -> str:
        """What the page tells the server that it already shows."""
        return f"{short_name(self.alert.episode_id)}.{self.alert.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One patient. `priority` is that of the gravest alert; without an alert it is empty. `pictures` have names."""

    patient: PanelPatient
    age: int | None
    priority: str
    lines: tuple[AlertLine, ...]
    pictures: tuple[tuple[str, Markup], ...]
    last_reading: str
    assessed: str
    is_late: bool

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to take an alert of this patient."""
        return any(line.alert.state == "active" for line in self.lines)


def short_name(episode_id: UUID) -> str:
    """Enough of an alert's id to tell those of one panel apart, so that a list of hundreds fits into an address."""
    return episode_id.hex[:12]


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


def build_rows(conn: Connection, caller: Caller, words: Words) -> list[Row]:
    """The whole panel, in the order of a worklist."""
    patients = worklist.list_panel(conn, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now)
    rows = _build(conn, caller, words, patients, open_alerts(conn, user_id=caller.user_id))
    return sorted(rows, key=_order)


def build_row(conn: Connection, caller: Caller, words: Words, patient_id: int) -> Row | None:
    """One patient's row; `None` outside the panel."""
    patient = worklist.find_panel_patient(
        conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
    )
    if patient is None:
        return None
    alerts = open_alerts(conn, user_id=caller.user_id, patient_id=patient_id)
    return _build(conn, caller, words, [patient], alerts)[0]


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


def _kinds_of(alert: Alert | None) -> tuple[str, ...]:
    """What the alert is about: that is drawn in the row, if it can be. Of several conditions each that supports it is."""
    verdict = {} if alert is None else alert.verdict
    parts = [each for each in verdict.get("parts", ()) if each["said"] == ("no" if each["not"] else "yes")]
    return tuple(dict.fromkeys(_kind_of(each) for each in parts or [verdict]))


def _kind_of(verdict: Mapping[str, Any]) -> str:
    if verdict.get("of") in KINDS:
        return str(verdict["of"])
    thresholds = verdict.get("thresholds", ())
    source = next((SOURCES[each["signal"]] for each in thresholds if each["signal"] in SOURCES), None)
    return "blood_pressure" if source is None else source.kinds[0]


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


def _order(row: Row) -> tuple[int, int, datetime, int]:
    active = [line.alert for line in row.lines if line.alert.state == "active"]
    considered = active or [line.alert for line in row.lines]
    if not considered:
        return (2, 0, row.patient.last_stored_at or _LAST, row.patient.patient_id)
    gravest = min(_GRAVITY[alert.priority] for alert in considered)
    oldest = min(alert.opened_at for alert in considered)
    return (0 if active else 1, gravest, oldest, row.patient.patient_id)


_LAST: Final = datetime.max.replace(tzinfo=ZoneInfo("UTC"))


def _build(
    conn: Connection, caller: Caller, words: Words, patients: Sequence[PanelPatient], alerts: Sequence[Alert]
) -> list[Row]:
    ids = [patient.patient_id for patient in patients]
    own = own_thresholds(conn, ids)
    since = caller.now - timedelta(days=SPARKLINE_DAYS + 1)
    values: dict[int, list[PanelValue]] = {}
    for value in reading_lists.list_panel_values(conn, ids, since=since):
        values.setdefault(value.patient_id, []).append(value)
    grouped: dict[int, list[Alert]] = {}
    for alert in alerts:
        grouped.setdefault(alert.patient_id, []).append(alert)
    return [
        _row(caller, words, patient, grouped.get(patient.patient_id, []), values.get(patient.patient_id, []), own)
        for patient in patients
    ]


def _row(
    caller: Caller,
    words: Words,
    patient: PanelPatient,
    alerts: Sequence[Alert],
    values: Sequence[PanelValue],
    own: OwnThresholds,
) -> Row:
    ordered = sorted(alerts, key=lambda alert: (alert.state != "active", _GRAVITY[alert.priority], alert.opened_at))
    span = Span.ending(caller.now, days=SPARKLINE_DAYS, zone=patient.zone)
    gravest = ordered[0] if ordered else None
    conditions = conditions_for(caller.clinic, own, patient.patient_id, gravest)
    return Row(
        patient=patient,
        age=age_of(patient.birth_date, caller.now, patient.zone),
        priority=ordered[0].priority if ordered else "",
        lines=tuple(alert_line(caller, words, alert) for alert in ordered),
        pictures=draw_rows(values, span, conditions, words, kinds=_kinds_of(gravest)),
        last_reading=_say_last(patient, values, words, caller.now),
        assessed=say_assessed(patient, words, caller.now),
        is_late=patient.waiting_since is not None and caller.now - patient.waiting_since > LATE_AFTER,
    )


def alert_line(caller: Caller, words: Words, alert: Alert) -> AlertLine:
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
        is_critical=text.is_critical,
    )


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
