"""What the outbox remembers besides readings: meters and settings. What a card has changed, or another
build has left, is not known."""

import json
import sqlite3
from datetime import datetime
from typing import Final

import msgspec

from gateway.outbox_rows import MeterMemory
from gateway.sessions.clock_memory import ClockMemory

CLOCK_OF: Final = "clock of "
"""Before a meter's id, the name of the setting with what is remembered of its clock: builds before it leave it alone."""


def all_remembered(db: sqlite3.Connection) -> list[tuple[MeterMemory, datetime]]:
    """Every meter, and when it was last read, newest first."""
    query = (
        "select meter_id, highest_sequence, about, battery_percent, last_read_at from meter"
        " where last_read_at is not null order by last_read_at desc"
    )
    found = []
    for meter_id, highest, about, battery, read_at in db.execute(query):
        memory = MeterMemory(
            meter_id=meter_id, highest_sequence=highest, about=about_of(about), battery_percent=battery
        )
        try:
            found.append((memory, datetime.fromisoformat(read_at)))
        except ValueError:
            continue
    return found


def about_of(text: str) -> dict[str, str]:
    """What a meter has said of itself."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def setting_of(db: sqlite3.Connection, name: str) -> str | None:
    row = db.execute("select value from setting where name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def clock_of(db: sqlite3.Connection, meter_id: str) -> ClockMemory:
    """How a meter's clock was left."""
    text = setting_of(db, CLOCK_OF + meter_id)
    if text is None:
        return ClockMemory()
    try:
        return msgspec.json.decode(text, type=ClockMemory)
    except ValueError:
        return ClockMemory()
