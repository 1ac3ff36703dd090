"""What presets propose for one patient, and a doctor's yes to it. What was decided by hand stays: only a hand undoes it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import structlog

from server.people import panels
from server.people.errors import NotAClinicianError
from server.rules.presets import Choice, Preset, proposed
from server.rules.rule import RuleSet
from server.store import audit
from server.store import thresholds as store
from server.store.postgres import Connection, Pool, in_transaction
from server.store.thresholds import OwnVersion

log = structlog.get_logger()

REASON: Final = "preset: "
"""How the reason of a version begins that a preset has set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One rule. `own`: the patient's version in force, if any. `is_so`: nothing would change; `is_by_hand`: somebody decided
    otherwise, and it stays."""

    choice: Choice
    own: OwnVersion | None
    is_so: bool
    is_by_hand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """Who says yes to the presets for whom, and when."""

    patient_id: int
    user_id: int
    login: str
    role: str
    now: datetime


def proposals(
    conn: Connection, patient_id: int, *, rules: RuleSet, presets: Collection[Preset], today: date
) -> list[Proposal]:
    """By rule, for rules that judge here; one that is not in force cannot be chosen."""
    codes, birth_date = store.who(conn, patient_id)
    age = None if birth_date is None else _age(birth_date, today)
    newest: dict[str, OwnVersion] = {}
    for own in store.list_versions(conn, patient_id):
        newest.setdefault(own.rule_id, own)
    choices = proposed(presets, conditions=codes, age=age).values()
    return [_proposal(choice, newest.get(choice.rule_id), rules) for choice in choices if choice.rule_id in rules]


def apply(pool: Pool, applying: Applying, *, rules: RuleSet, presets: Collection[Preset]) -> Sequence[OwnVersion]:
    """Set what is proposed and not so yet; the versions that came of it. The patient is judged by them at once.

    Raises `NotAClinicianError`, `NotOnPanelError`, `OnlyInEmergencyError`.
    """

    def work(conn: Connection) -> list[OwnVersion]:
        panels.check_regular(conn, user_id=applying.user_id, patient_id=applying.patient_id)
        if applying.role != "doctor":
            raise NotAClinicianError("only a doctor may choose a patient's rules")
        store.lock_thresholds(conn, applying.patient_id)
        found = proposals(conn, applying.patient_id, rules=rules, presets=presets, today=applying.now.date())
        wanted = [_version(each, applying) for each in found if not each.is_so and not each.is_by_hand]
        for own in wanted:
            store.add_version(conn, applying.patient_id, own)
        audit.note(
            conn,
            actor=f"user:{applying.user_id}",
            act="preset.apply",
            at=applying.now,
            patient_id=applying.patient_id,
            detail={"thresholds": [f"{own.rule_id}/{own.version}" for own in wanted]},
        )
        return wanted

    versions = in_transaction(pool, work)
    log.info("presets_applied", patient_id=applying.patient_id, rules=len(versions), by=applying.login)
    return versions


def _proposal(choice: Choice, own: OwnVersion | None, rules: RuleSet) -> Proposal:
    as_the_rule_says = rules.by_id(choice.rule_id).watch == "everyone"
    is_watched = as_the_rule_says if own is None or own.is_watched is None else own.is_watched
    parameters = {} if own is None else dict(own.parameters)
    is_so = is_watched == choice.is_watched and (not choice.is_watched or parameters == dict(choice.parameters))
    is_by_hand = own is not None and not own.reason.startswith(REASON)
    return Proposal(choice=choice, own=own, is_so=is_so, is_by_hand=is_by_hand and not is_so)


def _version(proposal: Proposal, applying: Applying) -> OwnVersion:
    choice, own = proposal.choice, proposal.own
    return OwnVersion(
        rule_id=choice.rule_id,
        version=1 + (0 if own is None else own.version),
        parameters=choice.parameters,
        is_watched=choice.is_watched,
        reason=f"{REASON}{choice.because}",
        set_by=applying.login,
        set_at=applying.now,
    )


def _age(birth_date: date, today: date) -> int:
    """Whole years; who is born on a 29th of February is a year older on the 1st of March."""
    had_birthday = (today.month, today.day) >= (birth_date.month, birth_date.day)
    return today.year - birth_date.year - (not had_birthday)
