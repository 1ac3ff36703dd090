"""Which rules judge: those, word for word, that a clinician has approved. The database says so, not the files of a build.

A build brings its rules and enters them (`enter`); what was entered is never overwritten, and what judges is read from here
alone. So servers of two releases judge alike, and a new or an edited file changes nothing by itself. Who may approve is
`people.rule_approvals`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from psycopg.rows import class_row
from pydantic import ValidationError

from server.rules.rule import Rule, RuleFile, RuleSet
from server.store.alarms import AlarmKind, state_alarms
from server.store.postgres import Connection, load_sql
from vitals.errors import UnavailableError

log = structlog.get_logger()

SQL = load_sql("rule_book")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVersion:
    """One version as it was entered. `approved_by` is None, though it is decided, for what was in force before approvals."""

    rule_id: str
    version: int
    content: str
    sha256: str
    first_seen_at: datetime
    is_decided: bool
    is_in_force: bool
    approved_by: str | None
    approved_at: datetime | None
    note: str | None
    ended_by: str | None
    ended_at: datetime | None

    @property
    def written(self) -> dict[str, Any]:
        """The rule as its file says it."""
        found: dict[str, Any] = json.loads(self.content)
        return found


def content_of(rule: Rule) -> str:
    """A rule as its file says it, in one way only: what is left out there is left out here."""
    written = rule.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return json.dumps(written, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def hash_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def enter(conn: Connection, rules: RuleSet) -> tuple[str, ...]:
    """Enter what a build has brought; the ids of rules whose text is another than that of their version entered before.

    Those are an alarm and are not used: a text that changes wants a new version.
    """
    for rule in rules.rules:
        content = content_of(rule)
        written = {"rule_id": rule.id, "version": rule.version, "content": content, "sha256": hash_of(content)}
        conn.execute(SQL["add_version"], written)
    known = {
        (rule_id, version): sha256
        for rule_id, version, sha256 in conn.execute(SQL["known"], {"rule_ids": [rule.id for rule in rules.rules]})
    }
    edited = {
        rule.id: f"version {rule.version} was entered with another text; what was approved still judges"
        for rule in rules.rules
        if known[rule.id, rule.version] != hash_of(content_of(rule))
    }
    state_alarms(conn, AlarmKind.RULE_EDITED, edited)
    keep_waiting_alarm(conn)
    return tuple(sorted(edited))


def edition(conn: Connection) -> int:
    """Rises with every change of what is in force."""
    row = conn.execute(SQL["edition"]).fetchone()
    return 0 if row is None else int(row[0])


def in_force(conn: Connection) -> RuleSet:
    """What judges. Raises `UnavailableError` if this build cannot read it: another, newer one judges meanwhile."""
    rules: list[Rule] = []
    for rule_id, version, content, sha256, approved_sha256 in conn.execute(SQL["in_force"]):
        if not hash_of(content) == sha256 == approved_sha256:
            raise UnavailableError(f"rule {rule_id} version {version} is not what was approved; nobody is judged by it")
        try:
            rules += RuleFile.model_validate({"rules": [json.loads(content)]}).rules
        except ValidationError as e:
            log.error("rule_not_readable", rule_id=rule_id, version=version, why=e.error_count())  # noqa: TRY400
            raise UnavailableError(f"this build cannot read rule {rule_id} version {version}: run the newer one") from e
    return RuleSet(tuple(rules))


class RuleBook:
    """What judges, read again only when it has changed."""

    def __init__(self) -> None:
        self._edition = -1
        self._rules = RuleSet(())

    def read(self, conn: Connection) -> RuleSet:
        """As `in_force`."""
        now = edition(conn)
        if now != self._edition:
            self._rules = in_force(conn)
            self._edition = now
            log.info("rules_in_force", rules=len(self._rules.rules), edition=now)
        return self._rules


def list_versions(conn: Connection) -> Sequence[RuleVersion]:
    """Every version that was ever entered, by rule and the newest first."""
    with conn.cursor(row_factory=class_row(RuleVersion)) as cursor:
        return cursor.execute(SQL["versions"]).fetchall()


def lock(conn: Connection) -> None:
    """Until the transaction ends nobody else decides about a rule."""
    conn.execute(SQL["lock"])


def approve(conn: Connection, rule: RuleVersion, *, user_id: int, note: str, now: datetime) -> None:
    """Let it be in force, and end whichever version of the rule was; everybody is judged again."""
    row = _row(rule, user_id, note, now)
    conn.execute(SQL["end_in_force"], row)
    conn.execute(SQL["approve"], row)
    _turn_page(conn)


def withdraw(conn: Connection, rule: RuleVersion, *, user_id: int, note: str, now: datetime) -> None:
    """Let it be in force no more; or, of one that never was, decide against it."""
    row = _row(rule, user_id, note, now)
    if rule.is_in_force:
        conn.execute(SQL["end_in_force"], row)
        _turn_page(conn)
    else:
        conn.execute(SQL["decide_against"], row)
        keep_waiting_alarm(conn)


def keep_waiting_alarm(conn: Connection) -> None:
    """The alarm stands while a version waits for a decision, or while nothing is in force and so nobody is judged."""
    waiting = [f"{rule_id} version {version}" for rule_id, version in conn.execute(SQL["waiting"])]
    row = conn.execute(SQL["is_anything_in_force"]).fetchone()
    parts = [] if row is not None and row[0] else ["no rule is in force: nobody is judged"]
    if waiting:
        parts.append(f"{len(waiting)} wait for approval: {', '.join(waiting)}")
    state_alarms(conn, AlarmKind.RULES_WAITING, {"": "; ".join(parts)} if parts else {})


def _row(rule: RuleVersion, user_id: int, note: str, now: datetime) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "version": rule.version,
        "sha256": rule.sha256,
        "user_id": user_id,
        "note": note,
        "now": now,
    }


def _turn_page(conn: Connection) -> None:
    conn.execute(SQL["turn_page"])
    conn.execute(SQL["mark_everybody_due"])
    conn.execute(SQL["ring"])
    keep_waiting_alarm(conn)
