"""All that the clinic knows about a patient, to be taken along: FHIR for programs, tables for people, and who has seen it.

PIPL, article 45; GDPR, articles 15 and 20. The frames of the meters are not in it: nobody can read them, and what they say is.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import metadata
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from server.fhir import alerts, bundles, calls, devices, observations, patients
from server.fhir.codes import Resource
from server.people import panels
from server.people.errors import NotOnPanelError
from server.people.evidence import reading_ids
from server.store import audit, consents, follow_ups, worklist
from server.store import fhir as store
from server.store.fhir import RecordedReading
from server.store.postgres import Connection
from server.store.worklist import Alert, Place

EVER: Final = timedelta(days=365 * 120)

README: Final = """\
Your record at the clinic, as it was on {day}.
  record.json     everything in FHIR R4, which other clinics' programs read
  readings.csv    every reading    alerts.csv    what was found
  messages.csv    who was told     consents.csv  what you have agreed to
  seen-by.csv     who has looked at your record, how often, and when
Times are UTC. Whoever has this file can read all of it: keep it where you keep letters of your doctor.

您在诊所的记录，截至 {day}。
  record.json     全部内容，FHIR R4 格式，其他医疗机构的软件可以读取
  readings.csv    每一次测量        alerts.csv    发现的异常
  messages.csv    通知了谁          consents.csv  您同意过什么
  seen-by.csv     谁看过您的记录、看过几次、在什么时候
时间为世界协调时间（UTC）。拿到此文件的人可以看到全部内容，请像保管病历一样保管它。
"""

READING: Final = (
    "measured_at",
    "kind",
    "systolic_mmhg",
    "diastolic_mmhg",
    "pulse_bpm",
    "glucose_mmol_l",
    "meal",
    "weight_kg",
    "spo2_percent",
    "temperature_celsius",
    "quality",
    "time_quality",
    "standing",
    "meter_id",
    "reading_id",
)
ALERT: Final = (
    "opened_at",
    "rule_id",
    "priority",
    "state",
    "acknowledged_at",
    "resolved_at",
    "resolution",
    "episode_id",
)
MESSAGE: Final = ("sent_at", "recipient", "channel", "state", "rule_id")
CONSENT: Final = ("said_at", "purpose", "is_given", "how", "text_version")
VIEWER: Final = ("who", "role", "times", "first_at", "last_at")


def export(conn: Connection, patient_id: int, *, user_id: int, actor: str, base: str, now: datetime) -> bytes:
    """The record as a ZIP file, for a patient whom the user looks after. `base`: of links between resources. Written down.

    Raises `NotOnPanelError`, `OnlyInEmergencyError`.
    """
    panels.check_regular(conn, user_id=user_id, patient_id=patient_id)
    person = worklist.find_panel_patient(conn, patient_id, user_id=user_id, since=now - EVER, now=now)
    if person is None:
        raise NotOnPanelError("no such patient")
    readings = list(_readings(conn, patient_id))
    found = list(_alerts(conn, patient_id, user_id))
    pushes = worklist.list_pushes(conn, patient_id, limit=worklist.PAGE_MAX)
    resources = [
        patients.patient(person),
        *_devices(conn, patient_id),
        *(each for reading in readings for each in observations.observations(reading)),
        *(
            each
            for alert in found
            for each in (alerts.detected_issue(alert, reading_ids(alert.verdict)), alerts.task(alert))
        ),
        *(calls.call(each) for each in follow_ups.list_of_patient(conn, patient_id, user_id=user_id, now=now)),
        *(alerts.communication(push, patient_id, person.language) for push in pushes),
    ]
    bundle_id = uuid5(NAMESPACE_URL, f"{base}/Patient/{patient_id}/{now.isoformat()}")
    audit.note(
        conn,
        actor=actor,
        act="record.export",
        at=now,
        patient_id=patient_id,
        detail={"readings": len(readings), "alerts": len(found)},
    )
    bundle = bundles.collection(base, resources, bundle_id=bundle_id, now=now)
    return _zipped(
        {
            "README.txt": README.format(day=now.date()),
            "record.json": json.dumps(bundle, ensure_ascii=False, indent=1),
            "readings.csv": _table(READING, readings),
            "alerts.csv": _table(ALERT, found),
            "messages.csv": _table(MESSAGE, pushes),
            "consents.csv": _table(CONSENT, consents.history(conn, patient_id)),
            "seen-by.csv": _table(VIEWER, audit.list_viewers(conn, patient_id)),
        },
        now,
    )


def _readings(conn: Connection, patient_id: int) -> Iterator[RecordedReading]:
    after: Place | None = None
    while found := store.list_recorded(conn, [patient_id], limit=store.PAGE_MAX, after=after):
        yield from found
        after = Place(at=found[-1].measured_at, row_id=found[-1].reading_id)


def _alerts(conn: Connection, patient_id: int, user_id: int) -> Iterator[Alert]:
    before: Place | None = None
    while found := worklist.list_alerts(
        conn, user_id=user_id, limit=worklist.PAGE_MAX, patient_id=patient_id, before=before
    ):
        yield from found
        before = Place(at=found[-1].opened_at, row_id=found[-1].episode_id)


def _devices(conn: Connection, patient_id: int) -> Iterable[Resource]:
    equipment = store.list_equipment(conn, [patient_id])
    built = [devices.gateway(each.gateway_id) for each in equipment]
    built += [devices.meter(each.meter_id) for each in equipment]
    return {each["id"]: each for each in (*built, devices.software(metadata.version("homevigil")))}.values()


def _table(columns: Sequence[str], rows: Sequence[object]) -> str:
    """With the byte order mark by which spreadsheets know UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in columns])
    return "\ufeff" + text.getvalue()


def _cell(value: Any) -> str:
    """What a spreadsheet would take for a formula is text (CWE-1236)."""
    text = "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not isinstance(value, float | int) else text


def _zipped(files: Mapping[str, str], now: datetime) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, date_time=now.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            folder.writestr(entry, text.encode())
    return packed.getvalue()
