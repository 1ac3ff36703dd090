"""Follows a reading from the air to the people, by what the database says of it. Reads only; changes nothing.

The instants are the database's own (`stored_at`, `judged_at`, `sent_at`), not the times at which we looked.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import class_row, dict_row

from homevigil.demo.meters import Indicated
from server.store.vault import open_envelope
from vitals.errors import UnavailableError

LOOK_AGAIN_S: Final = 0.02

STORED = """
    select r.reading_id, r.patient_id, r.stored_at, r.systolic_mmhg, r.diastolic_mmhg, r.pulse_bpm, r.glucose_mmol_l, w.raw
    from reading r join reading_frames w using (reading_id)
    where r.meter_id = %(meter_id)s and r.measured_at > %(at)s::timestamptz - interval '1 day'"""

WAITING = """
    select count(*) from due
    where due_at <= clock_timestamp() and (%(patient_id)s::bigint is null or patient_id = %(patient_id)s::bigint)"""

ACCOUNT = """
    select coalesce(sum(received), 0)::int as received, coalesce(sum(stored), 0)::int as stored,
           coalesce(sum(repeated), 0)::int as repeated, coalesce(sum(quarantined), 0)::int as quarantined
    from gateway_account"""

EPISODES = """
    select episode_id, patient_id, rule_id, rule_version, first_day, last_day, judged_at, sentence
    from episode
    where patient_id = %(patient_id)s and judged_at >= %(at)s
    order by judged_at desc"""

PUSHES = """
    select recipient, channel, sent_at, text from push
    where episode_id = %(episode_id)s and state = 'sent' and sent_at is not null
    order by sent_at"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    reading_id: UUID
    patient_id: int
    stored_at: datetime
    systolic_mmhg: float | None
    diastolic_mmhg: float | None
    pulse_bpm: float | None
    glucose_mmol_l: float | None

    @property
    def in_words(self) -> str:
        if self.glucose_mmol_l is not None:
            return f"{self.glucose_mmol_l:.1f} mmol/L"
        if self.systolic_mmhg is None or self.diastolic_mmhg is None:
            return "no value"
        pulse = "" if self.pulse_bpm is None else f" pulse {self.pulse_bpm:.0f}"
        return f"{self.systolic_mmhg:.0f}/{self.diastolic_mmhg:.0f} mmHg{pulse}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    episode_id: UUID
    patient_id: int
    rule_id: str
    rule_version: int
    first_day: Any
    last_day: Any
    judged_at: datetime
    sentence: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    recipient: str
    channel: str
    sent_at: datetime
    text: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """received = stored + repeated + quarantined."""

    received: int
    stored: int
    repeated: int
    quarantined: int


class Follower:
    """Looks at the server's database through a connection of its own. `check_alive` raises when waiting has no sense."""

    def __init__(self, database_url: str, *, check_alive: Callable[[], None] = lambda: None) -> None:
        self._conn = psycopg.connect(database_url, autocommit=True)
        self._check_alive = check_alive

    def close(self) -> None:
        self._conn.close()

    def stored(self, frame: Indicated, *, deadline: float) -> Stored:
        """The row of the frame; waits until `deadline` (monotonic). Raises `UnavailableError`."""
        with self._conn.cursor(row_factory=dict_row) as cursor:
            while True:
                for row in cursor.execute(STORED, {"meter_id": frame.meter_id, "at": frame.at}).fetchall():
                    if open_envelope(row.pop("raw"), "reading_raw.raw", row["reading_id"]) == frame.raw:
                        return Stored(**row)
                self.pause(deadline, f"the frame that {frame.meter} sent was not stored")

    def judged(self, patient_id: int | None, *, deadline: float) -> None:
        """Wait until nothing is due for the patient (or for anybody)."""
        while self.waiting(patient_id):
            self.pause(deadline, "what is due was not judged")

    def pause(self, deadline: float, otherwise: str) -> None:
        """Before looking again; raises `UnavailableError` with `otherwise` when it is too late, or a part has ended."""
        self._check_alive()
        if time.monotonic() > deadline:
            raise UnavailableError(otherwise)
        time.sleep(LOOK_AGAIN_S)

    def waiting(self, patient_id: int | None = None) -> int:
        """How many due rows wait for a judge."""
        row = self._conn.execute(WAITING, {"patient_id": patient_id}).fetchone()
        return int(row[0]) if row else 0

    def alerts(self, patient_id: int, *, since: datetime) -> list[Alert]:
        """The patient's episodes that a judge found at `since` or later, newest first."""
        with self._conn.cursor(row_factory=class_row(Alert)) as cursor:
            return cursor.execute(EPISODES, {"patient_id": patient_id, "at": since}).fetchall()

    def told(self, episode_id: UUID) -> list[Told]:
        """The pushes of the episode that have reached their recipient."""
        with self._conn.cursor(row_factory=class_row(Told)) as cursor:
            return cursor.execute(PUSHES, {"episode_id": episode_id}).fetchall()

    def open_alerts(self) -> tuple[int, int]:
        """(open alerts, patients who have one)."""
        query = "select count(*), count(distinct patient_id) from episode where state in ('active', 'acknowledged', 'snoozed')"
        row = self._conn.execute(query).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def account(self) -> Account:
        with self._conn.cursor(row_factory=class_row(Account)) as cursor:
            row = cursor.execute(ACCOUNT).fetchone()
        assert row is not None
        return row

    def engine(self) -> tuple[str, str | None]:
        """PostgreSQL's version, and TimescaleDB's where it is there."""
        row = self._conn.execute(
            "select current_setting('server_version'), (select extversion from pg_extension where extname = 'timescaledb')"
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def owners(self) -> dict[str, int]:
        """Which patient each bound meter belongs to."""
        return dict(
            self._conn.execute("select meter_id, patient_id from meter_binding where valid_to is null").fetchall()
        )

    def owes(self, episode_id: UUID | None = None) -> bool:
        """Whether a push (of the episode, or any) still waits for its turn, which has come."""
        query = """
            select 1 from push
            where state = 'pending' and due_at <= clock_timestamp()
              and (%(episode_id)s::uuid is null or episode_id = %(episode_id)s::uuid)"""
        return self._conn.execute(query, {"episode_id": episode_id}).fetchone() is not None
