"""How long what is kept, by which law or for which purpose, and carrying it out: every night, once, and never against a hold.

A clock is of rows that say something of somebody and have served. The clinical record has a clock of its own for each patient who
is to be erased (`people.erasure`); the audit has none, for its chain would break, and it names people by number alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from server.people import erasure
from server.people.erasure_proof import Where, prove, traces_of
from server.store import audit
from server.store import erasure as erasure_store
from server.store import retention as store
from server.store.postgres import Connection, Pool, in_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Rows of one kind, how long they are kept after their end, and the law or purpose that says so."""

    name: str
    keeps: timedelta
    source: str


HALF_A_YEAR: Final = timedelta(days=184)
"""Six calendar months are at most 184 days."""

CLOCKS: Final = (
    Clock(
        name="patient_links",
        keeps=HALF_A_YEAR,
        source="after their end: Cybersecurity Law, article 21 (3), logs of access for six months at least; PIPL, article 19,"
        " no longer than the purpose needs",
    ),
    Clock(
        name="bulk_exports",
        keeps=HALF_A_YEAR,
        source="who asked for which export, after its end: Cybersecurity Law, article 21 (3); the audit has it for good",
    ),
    Clock(
        name="diagnoses",
        keeps=timedelta(days=90),
        source="what a box said of itself and of the air around it: PIPL, article 19; no law wants it (engineering choice)",
    ),
    Clock(
        name="invitations",
        keeps=timedelta(days=7),
        source="after their end: PIPL, article 19; no law wants them, and the audit has who was invited",
    ),
    Clock(
        name="record_codes",
        keeps=timedelta(0),
        source="after a quarter of an hour: PIPL, article 19; the audit has who gave one",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was removed, by clock; who was destroyed; where a trace of one of them was left. Of a dry run: what would be."""

    removed: Mapping[str, int]
    destroyed: Sequence[int]
    left: Mapping[int, Sequence[str]]


def rehearse(conn: Connection, *, now: datetime) -> Report:
    """What a run would do."""
    removed = {each.name: store.count(conn, each.name, before=now - each.keeps, now=now) for each in CLOCKS}
    return Report(removed=removed, destroyed=erasure_store.list_over(conn, now=now), left={})


def carry_out(pool: Pool, *, folders: Sequence[Path] = (), actor: str, now: datetime) -> Report | None:
    """Remove what is over and destroy whom the law does not have kept any longer, each with proof; None if another is at it."""
    destroyed = in_transaction(pool, lambda conn: erasure_store.list_over(conn, now=now))
    left = {each: found for each in destroyed if (found := _destroy(pool, each, folders, actor=actor, now=now))}

    def work(conn: Connection) -> Report | None:
        if not store.lock(conn):
            return None
        removed = {each.name: store.remove(conn, each.name, before=now - each.keeps, now=now) for each in CLOCKS}
        store.note_run(conn, removed=removed, destroyed=len(destroyed), now=now)
        audit.note(
            conn,
            actor=actor,
            act="retention.run",
            at=now,
            detail={"removed": removed, "destroyed": list(destroyed), "left": len(left)},
        )
        return Report(removed=removed, destroyed=destroyed, left=left)

    return in_transaction(pool, work)


def _destroy(pool: Pool, patient_id: int, folders: Sequence[Path], *, actor: str, now: datetime) -> Sequence[str]:
    """Where a trace is left."""

    def work(conn: Connection) -> Sequence[str]:
        if erasure_store.lock(conn, patient_id) != "restricted":
            return ()  # another process was first
        traces = traces_of(conn, patient_id)
        erasure.destroy(conn, patient_id, actor=actor, now=now)
        return prove(conn, patient_id, traces, Where(folders=folders), actor=actor, now=now).places

    return in_transaction(pool, work)
