"""`/api/v1/fleet`: what is said of the house, gateways, meters and patients, as the caller may see it.

The states are those of the fleet page and of the alarms (`server.watch`); nothing is decided here. A patient outside the panel
appears neither by name nor by number; an admin sees patients as counts.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

from fastapi import APIRouter

from server.api.shapes import PatientOut, Shape
from server.people.door import SignedIn
from server.watch import sight
from server.watch.gateways import GatewaySaid, GatewayState
from server.watch.house import HouseSaid, HouseState, Part
from server.watch.sight import SeenAlarm, Sight
from server.watch.silence import MeterSaid, MeterState, PatientSaid, PatientState

router: Final = APIRouter(prefix="/api/v1", tags=["fleet"])

Names = Mapping[int, str]


class HouseOut(Shape):
    """One state of one part of the house. `since`: since when, or when it last went well."""

    part: Part
    state: HouseState
    since: datetime | None
    count: int
    subject: str

    @classmethod
    def of(cls, said: HouseSaid) -> Self:
        return cls.model_validate({name: getattr(said, name) for name in cls.model_fields})


class GatewayOut(Shape):
    """A gateway: its states, the gravest first; what it last said of itself (`null`: it did not say); its account."""

    gateway_id: str
    zone: str
    states: tuple[GatewayState, ...]
    last_heard_at: datetime | None
    version: str | None
    outbox_waiting: int | None
    is_clock_believable: bool | None
    is_disk_full: bool
    wrong_with_radio: str | None
    outboxes: int
    missing: int
    received: int
    stored: int
    repeated: int
    quarantined: int

    @classmethod
    def of(cls, said: GatewaySaid) -> Self:
        facts, report = said.facts, said.report
        counts = {name: getattr(facts, name) for name in ("missing", "received", "stored", "repeated", "quarantined")}
        return cls.model_validate(
            {
                "gateway_id": facts.gateway_id,
                "zone": facts.zone,
                "states": said.states,
                "last_heard_at": facts.last_heard_at,
                "version": report.version,
                "outbox_waiting": report.waiting,
                "is_clock_believable": report.is_clock_believable,
                "is_disk_full": report.is_disk_full,
                "wrong_with_radio": report.wrong_with_radio,
                "outboxes": facts.epochs,
                **counts,
            }
        )


class MeterOut(Shape):
    """A meter at a gateway. `patients` are of the caller's panel, `others` how many besides; none: nobody is bound to it.

    `because`: the state of its gateway for which nothing can be known of the meter.
    """

    meter_id: str
    gateway_id: str
    state: MeterState
    because: GatewayState | None
    patients: tuple[PatientOut, ...]
    others: int
    last_measured_at: datetime | None
    days_without: int
    battery_percent: int | None

    @classmethod
    def of(cls, said: MeterSaid, names: Names) -> Self:
        facts = said.facts
        patients = tuple(PatientOut(patient_id=each, name=names[each]) for each in facts.patient_ids if each in names)
        return cls(
            meter_id=facts.meter_id,
            gateway_id=facts.gateway_id,
            state=said.state,
            because=said.because,
            patients=patients,
            others=len(facts.patient_ids) - len(patients),
            last_measured_at=facts.last_measured_at,
            days_without=said.days,
            battery_percent=said.battery_percent,
        )


class FleetPatientOut(Shape):
    """A patient of the panel. `because` and `gateway_id`: why nothing can be known. `days_without`: whole days."""

    patient: PatientOut
    state: PatientState
    because: GatewayState | None
    gateway_id: str | None
    last_measured_at: datetime | None
    days_without: int

    @classmethod
    def of(cls, said: PatientSaid, names: Names) -> Self:
        patient_id = said.facts.patient_id
        return cls(
            patient=PatientOut(patient_id=patient_id, name=names[patient_id]),
            state=said.state,
            because=said.because,
            gateway_id=said.gateway_id,
            last_measured_at=said.facts.last_measured_at,
            days_without=said.days,
        )


class AlarmOut(Shape):
    """An open alarm. `patient`: of the panel, or `null`; `is_event`: it happened, and stays until a person has seen it."""

    alarm_id: int
    kind: str
    subject: str
    patient: PatientOut | None
    is_event: bool
    raised_at: datetime
    last_seen_at: datetime
    times: int

    @classmethod
    def of(cls, alarm: SeenAlarm, names: Names) -> Self:
        patient_id = alarm.patient_id
        name = None if patient_id is None else names.get(patient_id)
        return cls(
            alarm_id=alarm.alarm_id,
            kind=alarm.kind,
            subject=alarm.subject,
            patient=PatientOut(patient_id=patient_id, name=name)
            if patient_id is not None and name is not None
            else None,
            is_event=alarm.is_event,
            raised_at=alarm.raised_at,
            last_seen_at=alarm.last_seen_at,
            times=alarm.times,
        )


class FleetOut(Shape):
    """Everything at one instant. `patient_counts`: how many are in which state, of the panel or, for an admin, of all."""

    at: datetime
    house: tuple[HouseOut, ...]
    gateways: tuple[GatewayOut, ...]
    meters: tuple[MeterOut, ...]
    patients: tuple[FleetPatientOut, ...]
    patient_counts: Mapping[PatientState, int]
    alarms: tuple[AlarmOut, ...]

    @classmethod
    def of(cls, seen: Sight) -> Self:
        return cls(
            at=seen.at,
            house=tuple(HouseOut.of(each) for each in seen.house),
            gateways=tuple(GatewayOut.of(each) for each in seen.gateways),
            meters=tuple(MeterOut.of(each, seen.names) for each in seen.meters),
            patients=tuple(FleetPatientOut.of(each, seen.names) for each in seen.patients),
            patient_counts=dict(seen.patient_counts),
            alarms=tuple(AlarmOut.of(each, seen.names) for each in seen.alarms),
        )


@router.get("/fleet")
def show_fleet(caller: SignedIn) -> FleetOut:
    """What works and what does not, now."""
    return FleetOut.of(sight.see_fleet(caller.house, caller.pool, caller.session, now=caller.now))
