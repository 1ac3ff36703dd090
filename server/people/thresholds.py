"""What a doctor decides about the numbers by which one patient is judged: others than the rule's, or whether it speaks of them.

Each decision is a version with who, when and why; none is ever changed. The patient is due in the same transaction: alerts by the
former numbers end as `threshold_changed`, and what holds by the new ones opens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from server.people import panels
from server.people.decisions import NOTE_MAX
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.rules.own_numbers import check_parameters
from server.rules.rule import RuleSet
from server.store import audit
from server.store import thresholds as store
from server.store.postgres import Connection, Pool, in_transaction
from server.store.rule_book import in_force
from server.store.thresholds import OwnVersion
from vitals.errors import MalformedError

log = structlog.get_logger()

THE_RULES_OWN: Final = 0
"""The version of who has no numbers of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Who sets what for whom, having read which version, why, and when. No `parameters` and no `is_watched`: as the rule says."""

    patient_id: int
    rule_id: str
    version: int
    parameters: Mapping[str, float]
    is_watched: bool | None
    reason: str
    user_id: int
    login: str
    role: str
    now: datetime


def set_thresholds(pool: Pool, setting: Setting) -> OwnVersion:
    """The next version of a patient's own numbers for a rule, in force from now on.

    Raises `NotAClinicianError`, `NotOnPanelError`, `OnlyInEmergencyError`, `StaleVersionError`;
    `DecisionConflictError` if it is so already;
    `MalformedError` for a rule that is not in force, numbers that do not fit it, and no reason.
    """

    def work(conn: Connection) -> OwnVersion:
        panels.check_regular(
            conn, user_id=setting.user_id, patient_id=setting.patient_id
        )  # before all else: a stranger does not exist
        _check(setting, in_force(conn))
        store.lock_thresholds(conn, setting.patient_id)
        before = next(iter(store.list_versions(conn, setting.patient_id, rule_id=setting.rule_id)), None)
        _check_version(before, setting)
        own = OwnVersion(
            rule_id=setting.rule_id,
            version=setting.version + 1,
            parameters=setting.parameters,
            is_watched=setting.is_watched,
            reason=setting.reason,
            set_by=setting.login,
            set_at=setting.now,
        )
        store.add_version(conn, setting.patient_id, own)
        audit.note(
            conn,
            actor=f"user:{setting.user_id}",
            act="threshold.set",
            at=setting.now,
            patient_id=setting.patient_id,
            subject=f"{own.rule_id}/{own.version}",
        )
        return own

    own = in_transaction(pool, work)
    log.info("thresholds_set", patient_id=setting.patient_id, rule_id=own.rule_id, version=own.version, by=own.set_by)
    return own


def _check(setting: Setting, rules: RuleSet) -> None:
    """Raises what can be raised without looking at the patient."""
    assert len(setting.reason) <= NOTE_MAX, len(setting.reason)
    if setting.role != "doctor":
        raise NotAClinicianError("only a doctor may set a patient's own thresholds")
    if setting.rule_id not in rules:
        raise NotOnPanelError("no such rule")
    if not setting.reason:
        raise MalformedError("reason", "say why this patient needs other numbers than the rule's")
    check_parameters(rules.by_id(setting.rule_id), setting.parameters)


def _check_version(before: OwnVersion | None, setting: Setting) -> None:
    version = before.version if before else THE_RULES_OWN
    if version != setting.version:
        raise StaleVersionError(
            version=version,
            state="set" if before else "the rule's own",
            changed_by=before.set_by if before else None,
            changed_at=before.set_at if before else None,
            what="patient's threshold",
        )
    in_force = (dict(before.parameters), before.is_watched) if before else ({}, None)
    if in_force == (dict(setting.parameters), setting.is_watched):
        raise DecisionConflictError("so already", what="patient's threshold")
