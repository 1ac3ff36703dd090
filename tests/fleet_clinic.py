"""A clinic in which every state of the fleet is to be seen: made by the product's own doors, and by moving what is past."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fix_clinic import Clinic

from server import clock
from server.intake import Intake
from server.store import enrolment
from server.store.alarms import AlarmKind, raise_alarm
from server.store.postgres import transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One patient with one cuff at one gateway."""

    gateway_id: str
    meter_id: str
    patient_id: int


def add_home(clinic: Clinic, name: str, doctor_id: int | None, number: int, *, measured_days_ago: float = 0.1) -> Home:
    """A home whose gateway is heard and whose patient last measured so many days ago."""
    patient_id = clinic.add_patient(name, doctor_id)
    # `Clinic` lets readings come from a meter and a gateway of these names
    home = Home(gateway_id=f"gw-{number:04d}", meter_id=f"F0:00:00:10:00:{patient_id % 100:02d}", patient_id=patient_id)
    since = clock.now() - timedelta(days=60)
    with transaction(clinic.pool) as conn:
        enrolment.add_gateway(conn, home.gateway_id, "Asia/Shanghai")
        enrolment.bind_meter(
            conn,
            meter_id=home.meter_id,
            user_slot=None,
            gateway_id=home.gateway_id,
            patient_id=patient_id,
            bound_by="test",
            now=since,
        )
    clinic.rows("update patient set created_at = %s where patient_id = %s", since, patient_id)
    say(clinic, home)
    clinic.add_pressure(patient_id, clock.now() - timedelta(days=measured_days_ago), 124, 78)
    clinic.judge(patient_id)
    return home


def say(clinic: Clinic, home: Home, **said: Any) -> None:
    """The gateway says how it is."""
    status: dict[str, Any] = {
        "state": "online",
        "version": "0.1.0",
        "clock": "believable",
        "outbox": {"unconfirmed": 0, "held": 0, "disk_is_full": False},
        "radio": {"scanning": True, "wrong": None},
        "meters": {home.meter_id: {"battery_percent": 80}},
    }
    Intake(clinic.pool).note_status(json.dumps(status | said).encode(), topic_gateway=home.gateway_id, is_old=False)


def unheard(clinic: Clinic, home: Home, minutes: float) -> None:
    """The gateway has not been heard for so long."""
    at = clock.now() - timedelta(minutes=minutes)
    clinic.rows("update gateway set last_heard_at = %s where gateway_id = %s", at, home.gateway_id)


def alarm(clinic: Clinic, kind: AlarmKind, subject: str = "", detail: str = "") -> None:
    with transaction(clinic.pool) as conn:
        raise_alarm(conn, kind, subject=subject, detail=detail)


def fill(clinic: Clinic, doctor_id: int) -> list[Home]:
    """Something of everything: a home in order and homes in which something is wrong."""
    well, away, quiet, low, wrong, stray = (
        add_home(clinic, name, doctor_id, number, measured_days_ago=days)
        for number, (name, days) in enumerate(
            [("王秀英", 0.1), ("李强", 0.4), ("赵敏", 8.5), ("陈建国", 0.2), ("周丽华", 4.5), ("吴桂兰", 0.3)], start=1
        )
    )
    unheard(clinic, away, 190)
    say(clinic, low, meters={low.meter_id: {"battery_percent": 12}}, outbox={"unconfirmed": 6200, "held": 3})
    say(clinic, wrong, radio={"scanning": False, "wrong": "no adapter hci0"}, clock="waiting")
    reason = "insert into quarantine (gateway_id, reason, meter_id, raw) values (%s, %s, %s, ''::bytea)"
    clinic.rows(reason, stray.gateway_id, "unknown_meter", "F0:00:00:99:00:01")
    clinic.rows(reason, stray.gateway_id, "binding_conflict", well.meter_id)
    clinic.rows("insert into gateway_account values ('gw-0001', 40, 30, 8, 2)")
    clinic.rows("insert into gateway_account values ('gw-0004', 41, 30, 8, 2)")
    clinic.rows("update gateway set state = 'suspended' where gateway_id = %s", quiet.gateway_id)
    say(clinic, quiet)
    clinic.rows("update gateway set state = 'active' where gateway_id = %s", quiet.gateway_id)
    alarm(clinic, AlarmKind.BINDING_CONFLICT, well.meter_id, f"read at gateway {stray.gateway_id}")
    alarm(clinic, AlarmKind.PATIENT_SILENT, f"patient:{quiet.patient_id}", "8 whole days without a reading")
    alarm(clinic, AlarmKind.GATEWAY_UNHEARD, away.gateway_id, "last heard 3 hours ago")
    alarm(clinic, AlarmKind.FLOOD, low.gateway_id, "40 messages a second")
    alarm(clinic, AlarmKind.FLOOD, low.gateway_id, "40 messages a second")
    return [well, away, quiet, low, wrong, stray]
