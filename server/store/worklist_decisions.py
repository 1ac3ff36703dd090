"""What a clinician's decision writes: the episode, its biography, and the pushes that are no longer to be sent.

Each function is one statement of the caller's transaction; `people.decisions` says which belong together. Statements are in
`sql/worklist_decisions.sql`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from server.store.notes import seal
from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("worklist_decisions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alert as a decision finds it, locked until the transaction ends; `role` is that of who decides.

    `answer_by`: only an urgent alert has one. `standing`: whatever a decision may change of it.
    """

    version: int
    state: str
    patient_id: int
    priority: str
    answer_by: datetime | None
    role: str
    standing: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastChange:
    """Who decided about an alert last."""

    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDecision:
    """The newest decision about an alert. `is_untouched`: nothing has happened to the alert since."""

    decision_id: int
    user_id: int
    act: str
    at: datetime
    standing_was: Mapping[str, Any]
    is_untouched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step in the biography of an alert, by a person."""

    from_state: str
    to_state: str
    reason: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A decision as it is kept. `key`: the caller's name for the request, `asked`: a digest of what was asked."""

    act: str
    key: str | None
    asked: str
    standing_was: Mapping[str, Any]
    transition_id: int
    undoes: int | None = None


def lock_alert(conn: Connection, episode_id: UUID, *, user_id: int) -> Standing | None:
    """The alert as it stands, locked; `None` if its patient is not on the user's panel."""
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(_SQL["lock_alert"], {"episode_id": episode_id, "user_id": user_id}).fetchone()


def last_change(conn: Connection, episode_id: UUID) -> LastChange | None:
    """Who decided last about an alert that the caller may see; `None` while only the judge has touched it."""
    with conn.cursor(row_factory=class_row(LastChange)) as cursor:
        return cursor.execute(_SQL["last_change"], {"episode_id": episode_id}).fetchone()


def find_by_key(conn: Connection, *, user_id: int, key: str) -> tuple[UUID, str] | None:
    """`(episode_id, asked)` of the decision that this person made under this key."""
    row = conn.execute(_SQL["find_by_key"], {"user_id": user_id, "key": key}).fetchone()
    return None if row is None else (row[0], row[1])


def last_decision(conn: Connection, episode_id: UUID, standing: Mapping[str, Any]) -> LastDecision | None:
    values = {"episode_id": episode_id, "standing": Jsonb(dict(standing))}
    with conn.cursor(row_factory=class_row(LastDecision)) as cursor:
        return cursor.execute(_SQL["last_decision"], values).fetchone()


def acknowledge(conn: Connection, episode_id: UUID, *, user_id: int, now: datetime) -> None:
    conn.execute(_SQL["acknowledge"], {"episode_id": episode_id, "user_id": user_id, "now": now})


def snooze(conn: Connection, episode_id: UUID, *, until: datetime, or_worse: bool, user_id: int, now: datetime) -> None:
    values = {"episode_id": episode_id, "until": until, "or_worse": or_worse, "user_id": user_id, "now": now}
    conn.execute(_SQL["snooze"], values)


def resolve(
    conn: Connection, episode_id: UUID, *, user_id: int, resolution: str, is_useful: bool | None, now: datetime
) -> None:
    values = {"episode_id": episode_id, "user_id": user_id, "resolution": resolution, "is_useful": is_useful}
    conn.execute(_SQL["resolve"], {**values, "now": now})


def rate(conn: Connection, episode_id: UUID, *, is_useful: bool) -> None:
    conn.execute(_SQL["rate"], {"episode_id": episode_id, "is_useful": is_useful})


def touch(conn: Connection, episode_id: UUID) -> None:
    """The version rises though nothing else has changed."""
    conn.execute(_SQL["touch"], {"episode_id": episode_id})


def note_answer(conn: Connection, episode_id: UUID, *, user_id: int, now: datetime) -> None:
    """A decision about an urgent alert is on record; only the first counts."""
    conn.execute(_SQL["note_answer"], {"episode_id": episode_id, "user_id": user_id, "now": now})


def restore(conn: Connection, episode_id: UUID, last: LastDecision) -> int:
    """The alert as it stood before `last`, and its cancelled messages on their way again; how many messages that were."""
    values = {"episode_id": episode_id, "decision_id": last.decision_id, "standing": Jsonb(dict(last.standing_was))}
    conn.execute(_SQL["restore"], values)
    return conn.execute(_SQL["let_go"], values).rowcount


def cancel_repeated_pushes(conn: Connection, episode_id: UUID) -> list[UUID]:
    """Cancels what would tell the doctor again, or the next in line; which messages that were."""
    return _cancel(conn, "cancel_repeated_pushes", episode_id)


def cancel_all_pushes(conn: Connection, episode_id: UUID) -> list[UUID]:
    """Cancels whatever of the alert nobody has been told yet; which messages that were."""
    return _cancel(conn, "cancel_all_pushes", episode_id)


def name_canceller(conn: Connection, push_ids: Sequence[UUID], decision_id: int) -> None:
    """Because of which decision these are not sent: undone, it lets them go."""
    if push_ids:
        conn.execute(_SQL["name_canceller"], {"push_ids": list(push_ids), "decision_id": decision_id})


def note_transition(
    conn: Connection, episode_id: UUID, patient_id: int, step: Step, *, user_id: int, now: datetime
) -> int:
    """Returns the `transition_id`."""
    values = {
        "episode_id": episode_id,
        "from_state": step.from_state,
        "to_state": step.to_state,
        "user_id": user_id,
        "reason": step.reason,
        "note": seal(conn, patient_id, step.note, "episode_transition.note"),
        "now": now,
    }
    row = conn.execute(_SQL["note_transition"], values).fetchone()
    assert row is not None
    return int(row[0])


def note_decision(conn: Connection, episode_id: UUID, deed: Deed, *, user_id: int, now: datetime) -> int | None:
    """Returns the `decision_id`; `None` if the key has just been used for another alert."""
    values = {
        "episode_id": episode_id,
        "act": deed.act,
        "key": deed.key,
        "asked": deed.asked,
        "standing_was": Jsonb(dict(deed.standing_was)),
        "transition_id": deed.transition_id,
        "undoes": deed.undoes,
        "user_id": user_id,
        "now": now,
    }
    row = conn.execute(_SQL["note_decision"], values).fetchone()
    return None if row is None else int(row[0])


def make_due(conn: Connection, patient_id: int, *, at: datetime, since: datetime, reason: str) -> None:
    """Have the judge look at the patient at `at`."""
    conn.execute(_SQL["make_due"], {"patient_id": patient_id, "due_at": at, "since": since, "reason": reason})
    conn.execute(_SQL["ring_judge"])


def ring_senders(conn: Connection) -> None:
    conn.execute(_SQL["ring_senders"])


def _cancel(conn: Connection, statement: str, episode_id: UUID) -> list[UUID]:
    return [row[0] for row in conn.execute(_SQL[statement], {"episode_id": episode_id})]
