"""`/a/{episode_id}`: one alert with everything that a decision about it, or a question about that decision, may rest on.

Evidence is exactly what the rule judged, the day as it saw it, the lines it judged by and who drew them; then who was told what,
who is told next, and what was done. Decisions are made by `deciding`.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.people.door import Caller, SignedIn
from server.people.errors import NotOnPanelError
from server.people.evidence import reading_ids
from server.people.rule_texts import text_of
from server.store import contacts, thresholds, worklist, worklist_rows
from server.store.follow_ups import Wanted, list_follow_ups
from server.store.postgres import Connection, transaction
from server.store.reading_lists import MEASURED_BY_HAND, ShownReading, list_readings, list_these_readings
from server.store.worklist import Alert, PanelPatient
from server.web.alert_words import (
    absence_in_words,
    earlier_in_words,
    judged_days,
    lines_in_words,
    step_in_words,
    who_set,
)
from server.web.deciding import say_told
from server.web.history import reading_row
from server.web.masking import names_of
from server.web.record_pages import said, told
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR, age_of, alert_line, conditions_for, own_thresholds
from server.web.untold import say_untold
from server.web.words import Words

router: Final = APIRouter(include_in_schema=False)

LAST_SHOWN: Final = 4
"""Of somebody who is silent, the last readings are the evidence."""

LAST_WITHIN: Final = timedelta(days=365)
EARLIER_SHOWN: Final = 10


@router.get("/a/{episode_id}")
def show_alert(
    caller: SignedIn,
    request: Request,
    episode_id: UUID,
    just: Annotated[str, Query(alias="told", max_length=16)] = "",
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        alert, patient = _find(conn, caller, episode_id)
        grounds = _grounds(conn, caller, alert, patient, words, names_of(request))
        life = _life(conn, caller, alert, patient, words)
        last = worklist_rows.list_last_decisions(conn, [episode_id]).get(episode_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    return render(
        request,
        "alert.html",
        words,
        caller=caller,
        unread=unread,
        line=alert_line(caller, words, alert, zone=patient.zone, last=last),
        patient=patient,
        age=age_of(patient.birth_date, caller.now, patient.zone),
        rule=text_of(caller.clinic.rules, alert.rule_id),
        told=say_told(just, alert, words, patient.zone),
        is_refused=just in ("refused", "too_late"),
        **grounds,
        **life,
    )


def _find(conn: Connection, caller: Caller, episode_id: UUID) -> tuple[Alert, PanelPatient]:
    alert = worklist.find_alert(conn, episode_id, user_id=caller.user_id)
    patient = alert and worklist.find_panel_patient(
        conn, alert.patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
    )
    if not alert or not patient:
        raise NotOnPanelError("no such alert")
    return alert, patient


def _grounds(
    conn: Connection,
    caller: Caller,
    alert: Alert,
    patient: PanelPatient,
    words: Words,
    named: Callable[[str], str],
) -> Mapping[str, Any]:
    """What it rests on. A rule about what was not measured names no reading: then the last ones that came are shown."""
    evidence: list[ShownReading] = list(list_these_readings(conn, alert.patient_id, reading_ids(alert.verdict)))
    last_ones: list[ShownReading] = []
    if not evidence:
        since = caller.now - LAST_WITHIN
        last_ones = list(
            list_readings(
                conn, alert.patient_id, since=since, limit=LAST_SHOWN, kinds=MEASURED_BY_HAND, only_in_use=True
            )
        )
    newest_at = last_ones[0].measured_at if last_ones else patient.last_at
    corrected = said(conn, caller, [*evidence, *last_ones], named)
    conditions = conditions_for(caller.clinic, own_thresholds(conn, [alert.patient_id]), alert.patient_id, alert)
    heard_at = worklist_rows.list_heard(conn, [alert.patient_id]).get(alert.patient_id)
    versions = thresholds.list_versions(conn, alert.patient_id, rule_id=alert.rule_id)
    return {
        "rows": [reading_row(each, patient.zone, conditions, words, corrected) for each in evidence],
        "last_rows": [reading_row(each, patient.zone, (), words, corrected) for each in last_ones],
        "judged_days": judged_days(alert.verdict, words),
        "absence": absence_in_words(alert.verdict, newest_at, patient.zone, words),
        "heard": words.say("never") if heard_at is None else words.moment(heard_at, patient.zone),
        "lines": lines_in_words(alert.verdict, words),
        "who_set": who_set(alert, versions, patient.zone, words),
    }


def _life(conn: Connection, caller: Caller, alert: Alert, patient: PanelPatient, words: Words) -> Mapping[str, Any]:
    """What was done, who was told and is told next, what else there is to do."""
    pushes = worklist.list_pushes(conn, alert.patient_id, episode_id=alert.episode_id)
    tries = contacts.list_attempts(conn, [each.push_id for each in pushes])
    ahead = sorted((each for each in pushes if each.state == "pending"), key=lambda each: each.due_at)
    earlier = worklist_rows.list_same_rule(
        conn, alert.patient_id, alert.rule_id, besides=alert.episode_id, before=alert.opened_at, limit=EARLIER_SHOWN
    )
    tasks = list_follow_ups(conn, Wanted(patient_id=alert.patient_id), user_id=caller.user_id, now=caller.now)
    transitions = worklist.list_transitions(conn, alert.episode_id)
    return {
        "steps": [step_in_words(each, patient.zone, words) for each in transitions],
        "pushes": [told(each, patient.zone, words, tries) for each in pushes if each.state != "pending"],
        "ahead": [told(each, patient.zone, words, tries) for each in ahead],
        "earlier": [earlier_in_words(each, words) for each in earlier],
        "tasks": [(each, words.moment(each.due_at, patient.zone)) for each in tasks if each.state != "closed"],
        "untold": say_untold(
            worklist.find_untold(conn, alert.patient_id, episode_id=alert.episode_id), patient.zone, words
        ),
        "answered": words.moment(alert.answered_at, patient.zone) if alert.answered_at else "",
    }
