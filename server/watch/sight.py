"""What one person sees of the fleet. A clinician: the homes of the panel, with names. An admin: every gateway and meter, and the
patients as numbers of how many. Nobody sees a patient outside the panel, by name or by number, here as anywhere.

What cannot be told to be visible is not shown: an alarm about something unknown is the admins' alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.store import audit
from server.store import fleet as store
from server.store.alarms import Alarm, AlarmKind, open_alarms
from server.store.fleet import Scope
from server.store.people import Session
from server.store.postgres import Connection, Pool, transaction
from server.watch.gateways import GatewaySaid
from server.watch.house import HouseSaid
from server.watch.silence import MeterSaid, PatientSaid, PatientState
from server.watch.states import look

OF_THE_HOUSE: Final = frozenset(
    {
        AlarmKind.NOBODY_HEARD,
        AlarmKind.JUDGE_LAG,
        AlarmKind.PUSH_UNDELIVERED,
        AlarmKind.WATCHDOG_LATE,
        AlarmKind.RECOMPUTE_DIFFERENT,
        AlarmKind.RECOMPUTE_OVERDUE,
        AlarmKind.AUDIT_UNANCHORED,
        AlarmKind.AUDIT_CHANGED,
    }
)
OF_A_GATEWAY: Final = frozenset(
    {
        AlarmKind.GATEWAY_UNHEARD,
        AlarmKind.GATEWAY_AILING,
        AlarmKind.HOLE,
        AlarmKind.ACCOUNT_UNBALANCED,
        AlarmKind.SERVER_LOST,
        AlarmKind.GATEWAY_SUSPENDED,
        AlarmKind.IDENTITY_COPIED,
        AlarmKind.FLOOD,
        AlarmKind.QUARANTINE_FULL,
    }
)
OF_A_METER: Final = frozenset(
    {AlarmKind.METER_SILENT, AlarmKind.BATTERY_LOW, AlarmKind.ID_COLLISION, AlarmKind.BINDING_CONFLICT}
)

EVENTS: Final = frozenset(
    {
        AlarmKind.SERVER_LOST,
        AlarmKind.PUSH_DEAD,
        AlarmKind.NOT_ANSWERED,
        AlarmKind.ID_COLLISION,
        AlarmKind.BINDING_CONFLICT,
        AlarmKind.GATEWAY_SUSPENDED,
        AlarmKind.IDENTITY_COPIED,
        AlarmKind.FLOOD,
        AlarmKind.QUARANTINE_FULL,
        AlarmKind.AUDIT_CHANGED,
        AlarmKind.TRACE_LEFT,
    }
)
"""What happened and stays open until a person has looked; the others are states and end by themselves."""

_PATIENT: Final = "patient:"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAlarm:
    """An open alarm as one person sees it. `subject` is empty where it would name a patient; `patient_id` is one of the panel.

    `detail` is for admins: what a program wrote about it, in English.
    """

    alarm_id: int
    kind: str
    subject: str
    patient_id: int | None
    detail: str
    raised_at: datetime
    last_seen_at: datetime
    times: int

    @property
    def is_event(self) -> bool:
        return self.kind in EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The fleet as one person sees it at one instant. `names` are of the panel's patients, `patients` too: an admin has neither.

    `patient_counts`: how many are in which state, of the panel or, for an admin, of all.
    """

    at: datetime
    is_whole: bool
    house: Sequence[HouseSaid]
    gateways: Sequence[GatewaySaid]
    meters: Sequence[MeterSaid]
    patients: Sequence[PatientSaid]
    patient_counts: Mapping[PatientState, int]
    names: Mapping[int, str]
    alarms: Sequence[SeenAlarm]


def see_fleet(house: Pool, own: Pool, who: Session, *, now: datetime) -> Sight:
    """The fleet at `now` as `who` sees it. How the house is, is asked in its own name; whom `who` may see, in that of `who`."""
    with transaction(own) as conn:
        scope = _scope(conn, who)
        names = store.names_of(conn, who.user_id) if scope is not None else {}
    with transaction(house) as conn:
        fleet = look(conn, now=now, scope=scope)
        alarms = _seen(conn, fleet.facts.alarms, scope)
    patients = [each for each in fleet.patients if scope is not None and each.facts.patient_id in scope.patient_ids]
    counted = fleet.patients if scope is None else patients
    return Sight(
        at=now,
        is_whole=scope is None,
        house=fleet.house,
        gateways=fleet.gateways,
        meters=[each for each in fleet.meters if scope is None or each.facts.gateway_id in scope.gateway_ids],
        patients=patients,
        patient_counts=Counter(each.state for each in counted),
        names=names,
        alarms=alarms,
    )


def see_alarm(house: Pool, own: Pool, who: Session, alarm_id: int, *, times: int, now: datetime) -> bool:
    """Note that `who` has looked at an event that happened `times` times; False if there is no such event to see for `who`, or
    if it has happened again."""
    with transaction(own) as conn:
        scope = _scope(conn, who)
    with transaction(house) as conn:
        seen = {each.alarm_id: each for each in _seen(conn, open_alarms(conn), scope)}
        alarm = seen.get(alarm_id)
        if alarm is None or not alarm.is_event or not store.see_alarm(conn, alarm_id, times=times, login=who.login):
            return False
        audit.note(conn, actor=f"user:{who.user_id}", act="alarm.see", at=now, subject=str(alarm_id))
    return True


def _scope(conn: Connection, who: Session) -> Scope | None:
    return None if who.role == "admin" else store.scope_of(conn, who.user_id)


def _seen(conn: Connection, alarms: Sequence[Alarm], scope: Scope | None) -> tuple[SeenAlarm, ...]:
    push_ids = [alarm.subject for alarm in alarms if alarm.kind == AlarmKind.PUSH_DEAD]
    about = store.patients_of_pushes(conn, push_ids)
    found = (_see(alarm, _patient_of(alarm, about), scope) for alarm in alarms)
    return tuple(each for each in found if each is not None)


def _see(alarm: Alarm, patient_id: int | None, scope: Scope | None) -> SeenAlarm | None:
    """The alarm as it is seen in `scope`; None if it is not. Patients are an admin's only as counts."""
    if scope is None:
        if alarm.subject.startswith(_PATIENT):
            return None
        return _shown(alarm, subject=alarm.subject, patient_id=None, detail=alarm.detail)
    if patient_id is not None:
        return _shown(alarm, subject="", patient_id=patient_id) if patient_id in scope.patient_ids else None
    if alarm.subject.startswith(_PATIENT):
        return None
    is_mine = (
        alarm.kind in OF_THE_HOUSE
        or (alarm.kind in OF_A_GATEWAY and alarm.subject in scope.gateway_ids)
        or (alarm.kind in OF_A_METER and alarm.subject in scope.meter_ids)
    )
    return _shown(alarm, subject=alarm.subject, patient_id=None) if is_mine else None


def _shown(alarm: Alarm, *, subject: str, patient_id: int | None, detail: str = "") -> SeenAlarm:
    return SeenAlarm(
        alarm_id=alarm.alarm_id,
        kind=alarm.kind,
        subject=subject,
        patient_id=patient_id,
        detail=detail,
        raised_at=alarm.raised_at,
        last_seen_at=alarm.last_seen_at,
        times=alarm.times,
    )


def _patient_of(alarm: Alarm, about: Mapping[str, int]) -> int | None:
    if alarm.subject.startswith(_PATIENT):
        number = alarm.subject.removeprefix(_PATIENT)
        return int(number) if number.isascii() and number.isdigit() else None
    return about.get(alarm.subject) if alarm.kind == AlarmKind.PUSH_DEAD else None
