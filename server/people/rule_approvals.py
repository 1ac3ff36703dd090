"""Who lets a rule judge, and who ends it: a doctor, by name, having read that very text.

An approval is bound to the text by its hash: what is approved is what was read. Nothing is deleted; a newer version that is
approved ends the one before. Everybody is due in the same transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from server.people.decisions import NOTE_MAX
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.store import audit, rule_book
from server.store.postgres import Connection
from server.store.rule_book import RuleVersion

log = structlog.get_logger()

APPROVERS: Final = frozenset({"doctor"})
"""A nurse acts on alerts; what makes one is a doctor's to answer for. Who runs the house may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """Who decides about which text of which version of a rule, and when."""

    rule_id: str
    version: int
    sha256: str
    user_id: int
    role: str
    now: datetime
    note: str = ""


def approve(conn: Connection, judgment: Judgment) -> None:
    """From now on the rule judges by this version.

    Raises `NotAClinicianError`, `NotOnPanelError` (no such version), `StaleVersionError` (another text), `DecisionConflictError`
    (it is in force already, or a newer version is).
    """
    found = _find(conn, judgment)
    in_force = next((each for each in _versions(conn, judgment.rule_id) if each.is_in_force), None)
    if in_force is not None and in_force.version >= found.version:
        raise DecisionConflictError("in force already, or a newer version of it is", what="rule")
    rule_book.approve(conn, found, user_id=judgment.user_id, note=judgment.note, now=judgment.now)
    _note(conn, "rule.approve", judgment)


def approve_waiting(
    conn: Connection, *, user_id: int, role: str, now: datetime, note: str = ""
) -> tuple[RuleVersion, ...]:
    """Approve the newest version of each rule about which nobody has decided; which those were. Raises as `approve`."""
    newest: dict[str, RuleVersion] = {}
    for each in rule_book.list_versions(conn):
        newest.setdefault(each.rule_id, each)
    waiting = tuple(each for each in newest.values() if not each.is_decided)
    for each in waiting:
        judgment = Judgment(
            rule_id=each.rule_id,
            version=each.version,
            sha256=each.sha256,
            user_id=user_id,
            role=role,
            now=now,
            note=note,
        )
        approve(conn, judgment)
    return waiting


def withdraw(conn: Connection, judgment: Judgment) -> None:
    """From now on the rule does not judge; of a version that waits: it will not. Raises as `approve`."""
    found = _find(conn, judgment)
    if found.is_decided and not found.is_in_force:
        raise DecisionConflictError("not in force", what="rule")
    rule_book.withdraw(conn, found, user_id=judgment.user_id, note=judgment.note, now=judgment.now)
    _note(conn, "rule.withdraw", judgment)


def _find(conn: Connection, judgment: Judgment) -> RuleVersion:
    assert len(judgment.note) <= NOTE_MAX, len(judgment.note)
    if judgment.role not in APPROVERS:
        raise NotAClinicianError("only a doctor may let a rule judge, or end it")
    rule_book.lock(conn)
    found = next((each for each in _versions(conn, judgment.rule_id) if each.version == judgment.version), None)
    if found is None:
        raise NotOnPanelError("no such version of a rule")
    if found.sha256 != judgment.sha256:
        raise StaleVersionError(
            version=found.version, state="another text", changed_by=None, changed_at=None, what="rule's text"
        )
    return found


def _versions(conn: Connection, rule_id: str) -> list[RuleVersion]:
    return [each for each in rule_book.list_versions(conn) if each.rule_id == rule_id]


def _note(conn: Connection, act: str, judgment: Judgment) -> None:
    audit.note(
        conn,
        actor=f"user:{judgment.user_id}",
        act=act,
        at=judgment.now,
        subject=f"{judgment.rule_id}/{judgment.version}",
        detail={"sha256": judgment.sha256},
    )
    log.info(act, rule_id=judgment.rule_id, version=judgment.version, user_id=judgment.user_id)
