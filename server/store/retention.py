"""What is over is counted and removed, by clock (`sql/retention.sql`). How long each is kept is said in `people.retention`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("retention")


def lock(conn: Connection) -> bool:
    """False if somebody else is at it; else nobody else is until the transaction ends."""
    row = conn.execute(_SQL["lock"]).fetchone()
    return row is not None and bool(row[0])


def last_run(conn: Connection) -> datetime | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: datetime | None = cursor.execute(_SQL["last_run"]).fetchone()
    return found


def note_run(conn: Connection, *, removed: Mapping[str, int], destroyed: int, now: datetime) -> None:
    conn.execute(_SQL["note_run"], {"now": now, "removed": Jsonb(dict(removed)), "destroyed": destroyed})


def count(conn: Connection, clock: str, *, before: datetime, now: datetime) -> int:
    """How many rows of this clock are over."""
    row = conn.execute(_SQL[f"count_{clock}"], {"before": before, "now": now}).fetchone()
    assert row is not None
    return int(row[0])


def remove(conn: Connection, clock: str, *, before: datetime, now: datetime) -> int:
    """How many rows went."""
    return conn.execute(_SQL[f"remove_{clock}"], {"before": before, "now": now}).rowcount
