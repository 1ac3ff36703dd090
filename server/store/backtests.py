"""Patients' past for back-tests: whose, and their histories. Reads only, in short transactions, so that it holds nobody up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.rules.icd10 import CodeRange
from server.rules.windows import PatientHistory
from server.store.judging import history_of
from server.store.postgres import Connection, Pool, in_transaction, load_sql
from server.store.vault import open_identity
from server.store.window_tables import windows_of

_SQL: Final = load_sql("backtests")

AT_ONCE: Final = 50
"""Patients that are loaded in one transaction: a snapshot is not kept from the vacuum for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """All patients, or those of all that is named: some numbers, a clinician's panel, a range of ICD-10 codes."""

    patient_ids: tuple[int, ...] | None = None
    login: str | None = None
    condition: CodeRange | None = None


def patients(conn: Connection, whom: Whom) -> list[int]:
    """Their numbers, ascending; what does not exist is not among them."""
    wanted = {"patient_ids": None if whom.patient_ids is None else list(whom.patient_ids), "login": whom.login}
    rows = conn.execute(_SQL["patients"], wanted).fetchall()
    condition = whom.condition
    return [patient_id for patient_id, codes in rows if condition is None or any(code in condition for code in codes)]


def panel(conn: Connection, *, user_id: int) -> dict[int, str]:
    """The names of those whom a clinician sees, by number."""
    found = conn.execute(_SQL["panel"], {"user_id": user_id}).fetchall()
    return {patient_id: open_identity(sealed).name for patient_id, sealed in found}


def histories(
    pool: Pool, patient_ids: Sequence[int], *, since: datetime, with_absences: bool
) -> Iterator[PatientHistory]:
    """One after another, each as it stands when it is loaded, with the readings measured from `since` on.

    `with_absences`: for rules about what was not measured, too.
    """

    def load(conn: Connection, some: Sequence[int]) -> list[PatientHistory]:
        conn.execute(_SQL["read_only"])
        windows = windows_of(conn, some, since=since)
        return [
            history_of(conn, patient_id, since=since, asks_absence=with_absences, window=windows[patient_id])
            for patient_id in some
        ]

    for start in range(0, len(patient_ids), AT_ONCE):
        some = patient_ids[start : start + AT_ONCE]
        yield from in_transaction(pool, lambda conn, some=some: load(conn, some))  # type: ignore[misc]
