"""What a judging must know of a patient of whom nothing comes: the last reading that counts, and when nothing could be heard.

A home that is not heard is known by the alarms that `server.watch` keeps: where nobody plays that role, every home counts as
heard.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from server.rules.windows import KIND_CODES, UnheardSpan
from server.store.postgres import Connection, load_sql
from server.store.quarantine import WANTING_AN_OWNER

SQL: Final = load_sql("absences")

_AS_CORRECTED: Final = SQL["last_counted"].replace(b"from reading\n", b"from reading_in_use\n")
assert SQL["last_counted"] != _AS_CORRECTED

WAITS_FOR: Final = timedelta(days=7)
"""So long a reading without an owner is taken for what may be the patient's; whoever is to say whose it is has had a week."""


def last_counted(conn: Connection, patient_id: int, *, before: datetime, is_corrected: bool) -> datetime | None:
    """When the newest reading before `before` was measured that shows that somebody did: accepted, and no orphan."""
    wanted = {"patient_id": patient_id, "before": before, "kinds": list(KIND_CODES)}
    row = conn.execute(_AS_CORRECTED if is_corrected else SQL["last_counted"], wanted).fetchone()
    return None if row is None else row[0]


def unheard(conn: Connection, patient_id: int, *, since: datetime) -> tuple[UnheardSpan, ...]:
    """When, from `since` on, nothing of the patient could be heard, in order of time."""
    wanted = {"patient_id": patient_id, "since": since, "waits_for": WAITS_FOR, "wanting": list(WANTING_AN_OWNER)}
    found = conn.execute(SQL["unheard"], wanted)
    return tuple(UnheardSpan(began=began, ended=ended) for began, ended in found)


def begin_of(enrolled_on: date) -> datetime:
    """An instant before the day of enrolment, in whatever zone that is."""
    return datetime.combine(enrolled_on, time(), UTC) - timedelta(days=1)
