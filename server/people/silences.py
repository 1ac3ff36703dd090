"""Silences: a clinician says that alerts of a patient need not be told for a while, why, and until when.

A silence mutes messages to clinicians, never the patient's own, and never the alert: that is judged, shown and counted as before.
Each message that is not sent because of it stays in the ledger and says so; when the silence ends, by itself or by a person, what
is still open is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.people import panels
from server.people.decisions import NOTE_MAX
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.people.rule_texts import RuleText
from server.store import audit, worklist_decisions
from server.store import silences as store
from server.store.postgres import Connection, Pool, in_transaction
from server.store.silences import Silence
from vitals.errors import MalformedError

URGENT_MAX: Final = timedelta(hours=24)
"""An urgent rule is silent for a day at most, as an urgent alert sleeps for a day at most (ecosystem 2.5)."""

SILENCE_MAX: Final = timedelta(days=90)
"""Engineering choice: what is not to be told for longer is a rule that is not for this patient; switch it off instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silencer:
    """Who asks, with which role, and when. `key`: the caller's own name for the request (Idempotency-Key)."""

    user_id: int
    role: str
    now: datetime
    key: str | None = None


def add(
    pool: Pool,
    who: Silencer,
    patient_id: int,
    *,
    rule_id: str | None,
    until: datetime,
    reason: str,
    rules: Mapping[str, RuleText],
) -> Silence:
    """From now on no clinician is told of this patient's alerts by `rule_id`, or by any rule that is not urgent.

    Raises `NotOnPanelError`, `OnlyInEmergencyError`, `NotAClinicianError`, and `MalformedError` for a rule that is
    not there, an end that is past or too far, or a reason that says nothing.
    """
    _check(who, rule_id, until, reason, rules)
    urgent = [each for each, text in rules.items() if text.is_urgent]

    def work(conn: Connection) -> Silence:
        panels.check_regular(conn, user_id=who.user_id, patient_id=patient_id)
        silence_id = store.add(
            conn,
            patient_id,
            rule_id=rule_id,
            reason=reason.strip(),
            until=until,
            user_id=who.user_id,
            now=who.now,
            key=who.key,
        )
        if silence_id is None:
            assert who.key is not None
            return _find(conn, who, store.find_by_key(conn, user_id=who.user_id, key=who.key))
        muted = store.mute(conn, patient_id, rule_id=rule_id, urgent=urgent)
        worklist_decisions.make_due(conn, patient_id, at=until, since=who.now, reason="silence")
        detail = {"rule_id": rule_id, "until": until.isoformat(), "muted": muted}
        _note(conn, who, "silence.add", patient_id, silence_id, detail)
        return _find(conn, who, silence_id)

    return in_transaction(pool, work)


def end(pool: Pool, who: Silencer, silence_id: int, *, version: int) -> Silence:
    """Ends it now; what is still open is told.

    Raises `NotOnPanelError`, `OnlyInEmergencyError`, `StaleVersionError`, `DecisionConflictError`.
    """
    _check_role(who)

    def work(conn: Connection) -> Silence:
        found = store.lock(conn, silence_id, user_id=who.user_id, now=who.now)
        if found is None:
            raise NotOnPanelError("no such silence")
        standing, patient_id, is_open = found
        panels.check_regular(conn, user_id=who.user_id, patient_id=patient_id)
        if standing != version:
            raise StaleVersionError(version=standing, state="ended", changed_by=None, changed_at=None, what="silence")
        if not is_open:
            raise DecisionConflictError("over", what="silence")
        store.end(conn, silence_id, user_id=who.user_id, now=who.now)
        worklist_decisions.make_due(conn, patient_id, at=who.now, since=who.now, reason="silence")
        _note(conn, who, "silence.end", patient_id, silence_id, {})
        return _find(conn, who, silence_id)

    return in_transaction(pool, work)


def list_silences(
    conn: Connection, *, user_id: int, now: datetime, patient_id: int | None = None, is_open: bool = True
) -> Sequence[Silence]:
    """Those of the user's panel, the soonest to end first; `is_open`: only what is silent now."""
    return store.list_silences(conn, user_id=user_id, patient_id=patient_id, open_at=now if is_open else None)


def _check(who: Silencer, rule_id: str | None, until: datetime, reason: str, rules: Mapping[str, RuleText]) -> None:
    _check_role(who)
    if rule_id is not None and rule_id not in rules:
        raise MalformedError("rule_id", "there is no such rule; leave it out for every rule that is not urgent")
    if not 0 < len(reason.strip()) <= NOTE_MAX:
        raise MalformedError("reason", f"say why, in 1 to {NOTE_MAX} characters")
    if until <= who.now:
        raise MalformedError("until", "choose an end that is still to come")
    is_urgent = rule_id is not None and rules[rule_id].is_urgent
    if is_urgent and until - who.now > URGENT_MAX:
        raise MalformedError("until", "an urgent rule can be silent for 24 hours at most")
    if until - who.now > SILENCE_MAX:
        raise MalformedError("until", "90 days at most; a rule that is not for this patient can be switched off")


def _check_role(who: Silencer) -> None:
    if who.role not in ("doctor", "nurse"):
        raise NotAClinicianError("only a doctor or a nurse silences alerts")


def _find(conn: Connection, who: Silencer, silence_id: int) -> Silence:
    (found,) = store.list_silences(conn, user_id=who.user_id, silence_id=silence_id)
    return found


def _note(
    conn: Connection, who: Silencer, act: str, patient_id: int, silence_id: int, detail: Mapping[str, object]
) -> None:
    audit.note(
        conn,
        actor=f"user:{who.user_id}",
        act=act,
        at=who.now,
        patient_id=patient_id,
        subject=str(silence_id),
        detail=detail,
    )
