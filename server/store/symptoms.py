"""What a patient said of symptoms, and the due row that has the patient judged by it: in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("symptoms")


def note_answer(
    conn: Connection, patient_id: int, symptoms: Sequence[str], *, now: datetime, user_id: int | None = None
) -> None:
    """`symptoms` by their codes, none if the patient has none; `user_id`: who says it for the patient."""
    row = {"patient_id": patient_id, "symptoms": list(symptoms), "now": now, "user_id": user_id}
    for statement in ("note", "make_due", "ring"):
        conn.execute(_SQL[statement], row)


def asked_since(conn: Connection, patient_id: int, rule_ids: Sequence[str], *, now: datetime) -> datetime | None:
    """When the newest open alert by one of these rules began, if an answer still belongs to it; else None."""
    row = conn.execute(
        _SQL["asked_since"], {"patient_id": patient_id, "rule_ids": list(rule_ids), "now": now}
    ).fetchone()
    assert row is not None
    since: datetime | None = row[0]
    return since


def last_answer(conn: Connection, patient_id: int, *, since: datetime) -> tuple[datetime, bool] | None:
    """When the patient answered last, and whether there were symptoms."""
    row = conn.execute(_SQL["last_answer"], {"patient_id": patient_id, "since": since}).fetchone()
    return None if row is None else (row[0], row[1])


def count_answers(conn: Connection, patient_id: int, *, now: datetime) -> int:
    """How often the patient has answered in the last day."""
    row = conn.execute(_SQL["count_answers"], {"patient_id": patient_id, "now": now}).fetchone()
    assert row is not None
    return int(row[0])
