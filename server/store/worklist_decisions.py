"""What a clinician's decision writes: the episode, its biography, and the pushes that are no longer to be sent.

Each function is one statement of the caller's transaction; `people.decisions` says which belong together. Statements are
in `sql/worklist_decisions.sql`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("worklist_decisions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alert as a decision finds it, locked until the transaction ends."""

    version: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDecision:
    """Who decided about an alert last."""

    changed_at: datetime
    changed_by: str


def lock_alert(conn: Connection, episode_id: UUID, *, user_id: int) -> Standing | None:
    """The alert as it stands, locked; `None` if its patient is not on the user's panel."""
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(_SQL["lock_alert"], {"episode_id": episode_id, "user_id": user_id}).fetchone()


def last_decision(conn: Connection, episode_id: UUID) -> LastDecision | None:
    """Who decided last about an alert that the caller may see; `None` while only the judge has touched it."""
    with conn.cursor(row_factory=class_row(LastDecision)) as cursor:
        return cursor.execute(_SQL["last_decision"], {"episode_id": episode_id}).fetchone()


def acknowledge(conn: Connection, episode_id: UUID, *, user_id: int, now: datetime) -> None:
    conn.execute(_SQL["acknowledge"], {"episode_id": episode_id, "user_id": user_id, "now": now})


def resolve(conn: Connection, episode_id: UUID, *, user_id: int, resolution: str, now: datetime) -> None:
    values = {"episode_id": episode_id, "user_id": user_id, "resolution": resolution, "now": now}
    conn.execute(_SQL["resolve"], values)


def cancel_repeated_pushes(conn: Connection, episode_id: UUID) -> int:
    """Cancels what would tell the doctor again, or the next in line; how many messages that were."""
    return conn.execute(_SQL["cancel_repeated_pushes"], {"episode_id": episode_id}).rowcount


def cancel_all_pushes(conn: Connection, episode_id: UUID) -> int:
    """Cancels whatever of the alert nobody has been told yet; how many messages that were."""
    return conn.execute(_SQL["cancel_all_pushes"], {"episode_id": episode_id}).rowcount


def note_transition(
    conn: Connection, episode_id: UUID, *, from_state: str, to_state: str, user_id: int, reason: str, now: datetime
) -> None:
    values = {
        "episode_id": episode_id,
        "from_state": from_state,
        "to_state": to_state,
        "user_id": user_id,
        "reason": reason,
        "now": now,
    }
    conn.execute(_SQL["note_transition"], values)
