"""The record of who did what: one append-only row for each deed, written in the transaction of the deed itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("audit")


def note(
    conn: Connection,
    *,
    actor: str,
    act: str,
    at: datetime,
    patient_id: int | None = None,
    subject: str = "",
    detail: Mapping[str, object] | None = None,
) -> None:
    """Note that `actor` (`user:<id>`, `patient:<id>`, `server:<role>`, `cli:<account>`) did `act` (`area.deed`) to `subject`.

    `detail` holds plain facts: never a name, a contact or a value of a patient.
    """
    row = {"at": at, "actor": actor, "act": act, "patient_id": patient_id, "subject": subject}
    conn.execute(_SQL["note"], {**row, "detail": Jsonb(dict(detail or {}))})
