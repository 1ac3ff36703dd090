"""Looks at plans whose time has come: reminds patients, and opens the calls that a plan asks for. One transaction a patient.

Any number may run: a patient's due row goes to one of them, and one that dies leaves everything as it was for another. What
becomes of an occasion is kept in the transaction that queues its message, so that nobody is reminded twice, and nobody forgotten.
"""

import threading
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import structlog

from server.people import follow_ups, plans, working_days
from server.programme import texts
from server.programme.reminding import (
    AGAIN_WITHIN,
    EXPIRES_AFTER,
    LOOK_AGAIN,
    Decision,
    Known,
    decide,
    look_again_at,
)
from server.push import muting, outside_texts
from server.rules.keeping import WINDOW, count_readings
from server.rules.plans import EMPTY, Plan
from server.rules.windows import ZoneSpan
from server.store import consents, contacts, pushes
from server.store import plans as store
from server.store.consents import Purpose
from server.store.postgres import Bell, Connection, Pool, in_transaction
from vitals.errors import UnavailableError

log = structlog.get_logger()

PATIENTS_AT_ONCE: Final = 50
POLL_S: Final = 5.0
BACKOFF_S: Final = 2.0
BROKEN_FOR: Final = timedelta(minutes=5)
"""A plan that cannot be looked at is tried again then; the others do not wait."""


class Planner:
    """Looks at whatever plan is due, until told to stop."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def run(self, stop: threading.Event, bell: Bell) -> None:
        """Look until `stop` is set; `bell` only shortens the wait."""
        while not stop.is_set():
            try:
                if not self.look_at_due() and not stop.is_set():
                    bell.wait(POLL_S)
            except UnavailableError as e:
                log.warning("database_unavailable", reason=str(e), retry_in_s=BACKOFF_S)
                stop.wait(BACKOFF_S)

    def look_at_due(self) -> int:
        """Look at every plan that is due now and that nobody else has; how many those were."""
        patients = in_transaction(self._pool, lambda conn: store.due_patients(conn, PATIENTS_AT_ONCE))
        return sum(self._look_or_postpone(patient_id) for patient_id in patients)

    def _look_or_postpone(self, patient_id: int) -> bool:
        try:
            return in_transaction(self._pool, lambda conn: look_in(conn, patient_id))
        except UnavailableError:
            raise
        except Exception:
            log.exception("plan_broken", patient_id=patient_id, retry_in_s=BROKEN_FOR.total_seconds())
        in_transaction(self._pool, lambda conn: _postpone(conn, patient_id))
        return False


def look_in(conn: Connection, patient_id: int, *, now: datetime | None = None) -> bool:
    """Look at one patient's plan inside the caller's transaction; False if it is not due. `now`: else the database's clock."""
    taken_at = store.take_due(conn, patient_id)
    if taken_at is None:
        return False
    now = now or taken_at
    versions, spans = store.list_versions(conn, patient_id), store.zones_of(conn, patient_id)
    plan = versions[0].plan if versions else EMPTY
    if not spans or (not plan.items and plan.call_every_days is None):
        store.put_off(conn, patient_id, None)
        return True
    if not store.is_active(conn, patient_id):
        store.put_off(conn, patient_id, now + LOOK_AGAIN)
        return True
    next_at = _remind(conn, patient_id, plan, spans, now)
    if plan.call_every_days is not None:
        call_at = _call(conn, patient_id, plan.call_every_days, versions[0].set_at, _zone_at(spans, now), now)
        next_at = min(next_at, call_at) if call_at > now else next_at
    store.put_off(conn, patient_id, next_at)
    return True


def _remind(conn: Connection, patient_id: int, plan: Plan, spans: tuple[ZoneSpan, ...], now: datetime) -> datetime:
    """Decide what is due, queue what is to be told; returns when something is due next."""
    begin, end = now - AGAIN_WITHIN, now + LOOK_AGAIN
    planned = plans.occasions_of(conn, patient_id, begin=begin - 2 * WINDOW, end=end)
    zone = ZoneInfo(_zone_at(spans, now))
    today = now.astimezone(zone).date()
    decided = store.reminded(conn, patient_id, since=now - timedelta(days=2))
    known = Known(
        readings=count_readings(planned, store.measured_at(conn, patient_id, since=begin - 3 * WINDOW, until=now)),
        answers=store.answers_of(conn, patient_id, since=begin),
        decided={(each.occasion, each.step) for each in decided},
        told_today=sum(each.fate == "told" and _day_of(each.decided_at, zone) == today for each in decided),
        at_most=plan.reminders_a_day,
        is_wanted=plan.reminders_a_day > 0 and consents.allows(conn, patient_id, Purpose.REMINDERS),
        is_quiet=muting.allowed_from(conn, patient_id, "patient", now) > now,
        clock=now.astimezone(zone).time(),
        now=now,
    )
    for decision in decide(planned, known):
        _keep(conn, patient_id, decision, now)
    return look_again_at(planned, now=now)


def _keep(conn: Connection, patient_id: int, decision: Decision, now: datetime) -> None:
    occasion = decision.occasion
    store.note_reminder(
        conn,
        patient_id,
        occasion=occasion.key,
        step=decision.step,
        planned_at=occasion.at,
        fate=decision.fate,
        now=now,
    )
    if decision.fate == "told":
        outside = outside_texts.text_of("plan", "patient", is_urgent=False)
        for channel in (
            "inbox",
            *contacts.kinds_of(conn, patient_id, "patient", priority="information", is_next=False),
        ):
            store.queue_push(
                conn,
                push_id=_push_id(patient_id, occasion.key, decision.step, channel),
                patient_id=patient_id,
                channel=channel,
                step=decision.step,
                text=texts.reminder(occasion, decision.step) if channel == "inbox" else outside,
                due_at=now,
                expires_at=now + EXPIRES_AFTER,
            )
        pushes.ring(conn)
    log.info("reminder_decided", patient_id=patient_id, step=decision.step, fate=decision.fate)


def _call(
    conn: Connection, patient_id: int, every_days: int, agreed_at: datetime, zone: str, now: datetime
) -> datetime:
    """Open the call that the plan asks for if its day has come; returns that day."""
    since = max(filter(None, (store.last_contact(conn, patient_id), agreed_at)))
    day = since.astimezone(ZoneInfo(zone)).date() + timedelta(days=every_days - 1)
    at = working_days.next_working_morning(datetime.combine(day, time(12), ZoneInfo(zone)), zone)
    if at <= now:
        follow_ups.open_for_plan(conn, patient_id=patient_id, now=now)
    return at


def _postpone(conn: Connection, patient_id: int) -> None:
    now = store.take_due(conn, patient_id)
    if now is not None:
        store.put_off(conn, patient_id, now + BROKEN_FOR)


def _zone_at(spans: tuple[ZoneSpan, ...], now: datetime) -> str:
    """The zone in force; before the first began, the first."""
    return next((span.zone for span in reversed(spans) if span.valid_from <= now), spans[0].zone)


def _day_of(at: datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date()


def _push_id(patient_id: int, key: str, step: int, channel: str) -> UUID:
    """Derived, so that the same reminder is the same message."""
    return uuid5(pushes.NAMESPACE, f"plan|{patient_id}|{key}|{step}|{channel}")
