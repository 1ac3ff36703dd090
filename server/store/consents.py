"""What each patient has agreed to, by purpose: append-only, the last word counts. Statements are in `sql/consents.sql`.

What follows is done by the database in the same transaction (migration `consent`): without consent to care nobody judges, nobody
is told and what is queued is cancelled; given again, what was missed is judged from the day of the withdrawal on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("consents")

How = Literal["before", "enrolment", "paper", "clinic", "link"]
Standing = Literal["active", "paused", "restricted", "destroyed"]


class Purpose(StrEnum):
    """What for. Each is asked for by itself (PIPL, articles 14, 23 and 29; GDPR, article 7)."""

    CARE = "care"
    """Readings are watched, and the clinic is told."""
    REMINDERS = "reminders"
    """The patient is reminded at the times of the plan."""
    CHANNELS = "channels"
    """Messages to the patient go through other companies: text messages, e-mail, chat."""
    RESEARCH = "research"
    """The record may be in an export without names."""


AT_ENROLMENT: Final = (Purpose.CARE, Purpose.REMINDERS, Purpose.CHANNELS)
"""What whoever enrols a patient states has been agreed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What was said about a purpose, how, when, and who wrote it down. `text_version`: of our text; None: of another."""

    purpose: str
    is_given: bool
    text_version: int | None
    how: str
    said_at: datetime
    recorded_by: str


def add(conn: Connection, patient_id: int, word: Word) -> None:
    """The last word from now on."""
    row = {name: getattr(word, name) for name in Word.__slots__}
    conn.execute(_SQL["add"], row | {"patient_id": patient_id})


def allows(conn: Connection, patient_id: int, purpose: Purpose) -> bool:
    """Whether the last word was yes. Where nothing was ever said, it is no."""
    row = conn.execute(_SQL["allows"], {"patient_id": patient_id, "purpose": purpose.value}).fetchone()
    return row is not None and bool(row[0])


def last_words(conn: Connection, patient_id: int) -> Sequence[Word]:
    with conn.cursor(row_factory=class_row(Word)) as cursor:
        return cursor.execute(_SQL["last"], {"patient_id": patient_id}).fetchall()


def history(conn: Connection, patient_id: int) -> Sequence[Word]:
    """All that was ever said, the oldest first."""
    with conn.cursor(row_factory=class_row(Word)) as cursor:
        return cursor.execute(_SQL["history"], {"patient_id": patient_id}).fetchall()


def lock(conn: Connection, patient_id: int) -> Standing | None:
    """How the patient stands, which nobody else changes until the transaction ends; None if there is no such patient."""
    row = conn.execute(_SQL["lock"], {"patient_id": patient_id}).fetchone()
    return None if row is None else row[0]
