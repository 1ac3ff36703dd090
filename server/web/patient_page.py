"""`/p/{patient_id}`: one patient's record."""

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.people.door import SignedIn
from server.people.errors import NotOnPanelError
from server.store import quarantine, worklist
from server.store.postgres import transaction
from server.store.quarantine import Conflict
from server.store.reading_lists import MEASURED_BY_HAND, WORN, list_readings
from server.store.worklist import PanelPatient
from server.web.history import Span, draw_glucose, draw_pressures, reading_row
from server.web.record_pages import PatientId, said, told
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR, age_of, alert_line, conditions_for, own_thresholds, say_assessed
from server.web.words import Words, mark

router: Final = APIRouter(include_in_schema=False)

CHART_DAYS: Final = 30
SENSOR_VALUES_SHOWN: Final = 6
READINGS_SHOWN: Final = 40

CONFLICT_OF_OWN_METER: Final = mark(
    "Meter %(meter)s of this patient was read in another home, last on %(day)s (readings put aside: %(n)s)."
    " Ask who measures with it."
)
CONFLICT_OF_ANOTHERS: Final = mark(
    "Somebody else's meter %(meter)s was read in this home, last on %(day)s (readings put aside: %(n)s). Ask whose it is."
)


@router.get("/p/{patient_id}")
def show_patient(caller: SignedIn, request: Request, patient_id: PatientId) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        patient = worklist.find_panel_patient(
            conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
        if patient is None:
            raise NotOnPanelError("no such patient")
        since = caller.now - timedelta(days=CHART_DAYS + 1)
        readings = list_readings(conn, patient_id, since=since, limit=worklist.PAGE_MAX, kinds=MEASURED_BY_HAND)
        worn = list_readings(conn, patient_id, since=since, limit=SENSOR_VALUES_SHOWN, kinds=(WORN,))
        corrected = said(conn, caller, [*readings, *worn])
        alerts = worklist.list_alerts(conn, user_id=caller.user_id, patient_id=patient_id, limit=50)
        pushes = worklist.list_pushes(conn, patient_id)
        own = own_thresholds(conn, [patient_id])
        conflicts = quarantine.binding_conflicts(conn, patient_id=patient_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    span = Span.ending(caller.now, days=CHART_DAYS, zone=patient.zone)
    conditions = conditions_for(caller.clinic, own, patient_id, None)
    oldest_first = list(reversed(readings))
    return render(
        request,
        "patient.html",
        words,
        caller=caller,
        unread=unread,
        patient=patient,
        age=age_of(patient.birth_date, caller.now, patient.zone),
        assessed=say_assessed(patient, words, caller.now),
        conflicts=[_say_conflict(each, patient, words) for each in conflicts],
        pressures=draw_pressures(oldest_first, span, conditions, words, corrected),
        glucose=draw_glucose(oldest_first, span, words, corrected),
        is_struck=any(each.standing != "in_use" for each in readings),
        rows=[reading_row(each, patient.zone, conditions, words, corrected) for each in readings[:READINGS_SHOWN]],
        readings_in_all=len(readings),
        sensor_rows=[reading_row(each, patient.zone, (), words, corrected) for each in worn],
        chart_days=CHART_DAYS,
        lines=[alert_line(caller, words, alert) for alert in alerts],
        pushes=[told(push, patient.zone, words) for push in pushes],
    )


def _say_conflict(conflict: Conflict, patient: PanelPatient, words: Words) -> str:
    """Nothing that tells where the other home is: who may see one of the two may not see the other."""
    day = words.day(conflict.last_at.astimezone(ZoneInfo(patient.zone)).date())
    sentence = CONFLICT_OF_OWN_METER if conflict.is_own else CONFLICT_OF_ANOTHERS
    return words.say(sentence, meter=conflict.meter_id, day=day, n=words.number(conflict.readings))
