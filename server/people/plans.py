"""What a clinician agrees with a patient: a plan, in versions with who, when and why. It reminds nobody (`server.programme`).

How long the patient may be silent before somebody is told follows from the plan: it is set as the patient's own number of the
rules that judge silence, as a hand would, so that there is one truth of it. What a hand has set there stays.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.people import links, panels
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.people.follow_ups import CLINICIANS
from server.rules.keeping import Kept, kept
from server.rules.occasions import Agreed, Occasion, occasions
from server.rules.own_numbers import days_in_force
from server.rules.plans import EMPTY, Plan, agreed_days, silent_days
from server.rules.rule import RuleSet, ScheduleRule, SilenceRule
from server.store import absences, audit, thresholds
from server.store import plans as store
from server.store.plans import PlanVersion
from server.store.postgres import Connection, Pool, in_transaction, transaction
from server.store.rule_book import in_force
from server.store.thresholds import OwnVersion
from vitals.errors import MalformedError

REASON: Final = "plan: "
"""How the reason of a version begins that a plan has set."""

WARNING_RULE, SILENCE_RULE = "no-reading-3-days", "no-reading-7-days"

NO_PLAN: Final = 0
"""The version of whom nothing was agreed with yet."""

ANSWERS_A_DAY: Final = 48
ANSWERED_WITHIN: Final = timedelta(hours=36)
"""A medicine of yesterday evening may be answered for this morning; what lies longer back is not remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Who agrees what with whom, having read which version, why, and when."""

    patient_id: int
    version: int
    plan: Plan
    reason: str
    user_id: int
    login: str
    role: str
    now: datetime


def set_plan(pool: Pool, setting: Setting) -> PlanVersion:
    """The next version, in force from now on.

    Raises `NotAClinicianError`, `NotOnPanelError`, `OnlyInEmergencyError`, `StaleVersionError`;
    `DecisionConflictError` if it is so already.
    """
    if setting.role not in CLINICIANS:
        raise NotAClinicianError("only a doctor or a nurse agrees a plan with a patient")

    def work(conn: Connection) -> PlanVersion:
        panels.check_regular(conn, user_id=setting.user_id, patient_id=setting.patient_id)
        store.lock(conn, setting.patient_id)
        before = next(iter(store.list_versions(conn, setting.patient_id)), None)
        _check_version(before, setting)
        store.add_version(
            conn,
            setting.patient_id,
            version=setting.version + 1,
            plan=setting.plan,
            reason=setting.reason,
            set_by=setting.user_id,
            now=setting.now,
        )
        _let_rules_follow(conn, setting)
        audit.note(
            conn,
            actor=f"user:{setting.user_id}",
            act="plan.set",
            at=setting.now,
            patient_id=setting.patient_id,
            subject=str(setting.version + 1),
            detail={"items": len(setting.plan.items)},
        )
        return store.list_versions(conn, setting.patient_id)[0]

    return in_transaction(pool, work)


def plan_in_force(conn: Connection, patient_id: int) -> Plan:
    found = store.list_versions(conn, patient_id)
    return found[0].plan if found else EMPTY


def occasions_of(conn: Connection, patient_id: int, *, begin: datetime, end: datetime) -> list[Occasion]:
    """What was, or is, planned for the patient from `begin` to before `end`."""
    spans = store.zones_of(conn, patient_id)
    versions = [Agreed(since=each.set_at, plan=each.plan) for each in reversed(store.list_versions(conn, patient_id))]
    return occasions(versions, spans, begin=begin, end=end) if spans and versions else []


def kept_by(conn: Connection, patient_id: int, *, since: datetime, now: datetime) -> Kept:
    """How the patient has kept the plan since then, with the points for it."""
    return kept(
        occasions_of(conn, patient_id, begin=since, end=now),
        store.measured_at(conn, patient_id, since=since - timedelta(days=1), until=now),
        unheard=absences.unheard(conn, patient_id, since=since),
        answers=store.count_answers(conn, patient_id, since=since, until=now),
        now=now,
    )


def answer(pool: Pool, token: str, *, occasion: str, answer: str, now: datetime) -> None:
    """Keeps what the holder of this link says of a medicine of today or last night: done, or not_done.

    Raises `NotOnPanelError` for a link that is none; `DecisionConflictError` for what was not planned, or too much said.
    """
    with transaction(pool) as conn:
        patient_id = links.find_patient(conn, token, now=now)
        if patient_id is None:
            raise NotOnPanelError("no such page")
        asked = [each for each in open_questions(conn, patient_id, now=now) if each.key == occasion]
        if not asked:
            raise DecisionConflictError("not open", what="question")
        if store.answered_lately(conn, patient_id, since=now - timedelta(days=1)) >= ANSWERS_A_DAY:
            raise DecisionConflictError(f"answered: {ANSWERS_A_DAY} times in a day", what="question")
        store.note_answer(conn, patient_id, occasion=occasion, planned_at=asked[0].at, answer=answer, now=now)


def open_questions(conn: Connection, patient_id: int, *, now: datetime) -> list[Occasion]:
    """The times for medicines of which the patient may say whether they were kept."""
    planned = occasions_of(conn, patient_id, begin=now - ANSWERED_WITHIN, end=now)
    return [each for each in planned if each.kind == "medicine"]


def _check_version(before: PlanVersion | None, setting: Setting) -> None:
    version = before.version if before else NO_PLAN
    if version != setting.version:
        raise StaleVersionError(
            version=version,
            state="agreed" if before else "not agreed yet",
            changed_by=before.set_by if before else None,
            changed_at=before.set_at if before else None,
            what="patient's plan",
        )
    if (before.plan if before else EMPTY) == setting.plan:
        raise DecisionConflictError("so already", what="patient's plan")


def _let_rules_follow(conn: Connection, setting: Setting) -> None:
    """Set the patient's own numbers of the rules about absence to what the plan asks for."""
    rules = in_force(conn)
    thresholds.lock_thresholds(conn, setting.patient_id)
    newest: dict[str, OwnVersion] = {}
    for own in thresholds.list_versions(conn, setting.patient_id):
        newest.setdefault(own.rule_id, own)
    for rule_id, days in _numbers(rules, setting.plan, newest).items():
        before = newest.get(rule_id)
        if before is not None and not before.reason.startswith((REASON, "preset: ")):
            continue  # a hand has decided
        wanted = _own(rules, rule_id, days, before, setting)
        is_so = before is not None and (dict(before.parameters), before.is_watched) == (
            dict(wanted.parameters),
            wanted.is_watched,
        )
        if not is_so and not (before is None and wanted.is_watched is None):
            thresholds.add_version(conn, setting.patient_id, wanted)


def _numbers(rules: RuleSet, plan: Plan, newest: dict[str, OwnVersion]) -> dict[str, int | None]:
    """The days that each rule is to have for this patient; None: as the rule says, for the plan says nothing."""
    silent = silent_days(plan)
    wanted: dict[str, int | None] = {
        rule_id: None if silent is None else silent[place]
        for place, rule_id in enumerate((WARNING_RULE, SILENCE_RULE))
        if rule_id in rules
    }
    for rule in rules.rules:
        own = newest.get(rule.id)
        if isinstance(rule, ScheduleRule) and own is not None and own.is_watched:
            wanted[rule.id] = agreed_days(plan, rule.when.of, of=rule.when.measured_days, of_days=rule.when.of_days)
    return wanted


def _own(rules: RuleSet, rule_id: str, days: int | None, before: OwnVersion | None, setting: Setting) -> OwnVersion:
    rule = rules.by_id(rule_id)
    assert isinstance(rule, SilenceRule | ScheduleRule), rule_id
    name = "days" if isinstance(rule, SilenceRule) else "measured_days"
    is_its_own = days is None or days == days_in_force(rule, {})
    is_watched = before.is_watched if isinstance(rule, ScheduleRule) and before else (None if days is None else True)
    return OwnVersion(
        rule_id=rule_id,
        version=1 + (before.version if before else 0),
        parameters={} if days is None or is_its_own else {name: float(days)},
        is_watched=is_watched,
        reason=f"{REASON}version {setting.version + 1}",
        set_by=setting.login,
        set_at=setting.now,
    )


def check_reason(reason: str) -> None:
    """Raises `MalformedError` for a plan that nobody says why of."""
    if not reason:
        raise MalformedError("reason", "say why, in a few words: it stands beside the plan")
