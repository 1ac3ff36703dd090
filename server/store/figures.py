"""How soon a panel's alerts are taken care of, how many they are, and of what use. Statements are in `sql/figures.sql`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("figures")

DAYS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of the last seven days of a panel. `acknowledged_after_s`: the median; None if nobody has acknowledged any.

    `urgent`: alerts with a clock that was answered or ran out, `urgent_in_time` those that were answered within it. `rated`,
    `useful`: of those about which somebody said.
    """

    alerts: int
    patients: int
    acknowledged: int
    acknowledged_after_s: float | None
    urgent: int
    urgent_in_time: int
    rated: int
    useful: int

    @property
    def alerts_per_patient_day(self) -> float:
        return self.alerts / (self.patients * DAYS) if self.patients else 0.0


def of_panel(conn: Connection, *, user_id: int, now: datetime) -> Figures:
    with conn.cursor(row_factory=class_row(Figures)) as cursor:
        found = cursor.execute(_SQL["of_panel"], {"user_id": user_id, "now": now}).fetchone()
    assert found is not None
    return found
