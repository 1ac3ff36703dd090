"""A patient's own numbers for a rule: every version that was ever set, by whom and why. It checks nothing (`people.thresholds`).

Every function runs inside the caller's transaction. Statements are in `sql/thresholds.sql`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from server.store import notes
from server.store.postgres import Connection, load_sql
from server.store.vault import open_identity

_SQL: Final = load_sql("thresholds")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnVersion:
    """One version. `parameters` by name, empty: the rule's own; `is_watched`: whether it speaks of the patient, None: as it says.
    `set_by` is a login.
    """

    rule_id: str
    version: int
    parameters: Mapping[str, Any]
    is_watched: bool | None
    reason: str
    set_by: str
    set_at: datetime


def lock_thresholds(conn: Connection, patient_id: int) -> None:
    """Until the transaction ends nobody else sets this patient's numbers."""
    conn.execute(_SQL["lock_thresholds"], {"patient_id": patient_id})


def list_versions(conn: Connection, patient_id: int, *, rule_id: str | None = None) -> Sequence[OwnVersion]:
    """All versions of the patient, of one rule or of all, by rule and the newest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["list_versions"], {"patient_id": patient_id, "rule_id": rule_id}).fetchall()
    return [_opened(conn, patient_id, row) for row in rows]


def who(conn: Connection, patient_id: int) -> tuple[Sequence[str], date | None]:
    """The patient's ICD-10 codes and birth date."""
    row = conn.execute(_SQL["who"], {"patient_id": patient_id}).fetchone()
    assert row is not None, patient_id
    return row[0], open_identity(row[1]).birth_date


def add_version(conn: Connection, patient_id: int, own: OwnVersion) -> None:
    """Add the next version and make the patient due; rings the judges when the transaction commits."""
    row = {
        "patient_id": patient_id,
        "rule_id": own.rule_id,
        "version": own.version,
        "parameters": Jsonb(dict(own.parameters)),
        "is_watched": own.is_watched,
        "reason_sealed": notes.seal(conn, patient_id, own.reason, _place(own.rule_id, own.version)),
        "set_by": own.set_by,
        "now": own.set_at,
    }
    conn.execute(_SQL["add_version"], row)
    conn.execute(_SQL["mark_due"], {"patient_id": patient_id})
    conn.execute(_SQL["ring"])


def _opened(conn: Connection, patient_id: int, row: dict[str, Any]) -> OwnVersion:
    """What builds before the sealing wrote is in plain."""
    plain, sealed = row.pop("plain_reason"), row.pop("reason_sealed")
    if sealed is not None:
        plain = notes.unseal(conn, patient_id, sealed, _place(row["rule_id"], row["version"]))
    return OwnVersion(reason=plain, **row)


def _place(rule_id: str, version: int) -> str:
    return f"patient_threshold.reason/{rule_id}/{version}"
