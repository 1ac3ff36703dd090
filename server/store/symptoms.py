"""Writes what a patient said of symptoms, with the due row that has the patient judged by it: in the caller's transaction."""

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
