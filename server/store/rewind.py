"""Which numbers of an outbox are not here, and how often they have been asked for again.

Every function runs inside the caller's transaction. Whether to ask is decided elsewhere (`server.rewind`).
"""

from dataclasses import dataclass

from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql

SQL = load_sql("rewind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How many answered readings were not here when last asked for, how often that was, and how many have been given up."""

    lost: int = 0
    asked: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is here of the numbers 1 to the highest given: how many, up to which all, and in how many spans the others lie."""

    upto: int
    here: int
    spans: int
    lost: int
    asked: int
    given_up: int

    @property
    def before(self) -> Asked:
        return Asked(lost=self.lost, asked=self.asked, given_up=self.given_up)


NOTHING = Standing(upto=0, here=0, spans=1, lost=0, asked=0, given_up=0)
"""Of an outbox that was never heard of: one span, all of it."""


def standing(conn: Connection, gateway_id: str, epoch: str, *, kept: int) -> Standing:
    """Of the numbers 1 to `kept` (at least 1)."""
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        wanted = {"gateway_id": gateway_id, "epoch": epoch, "kept": kept}
        return cursor.execute(SQL["standing"], wanted).fetchone() or NOTHING


def missing_spans(
    conn: Connection, gateway_id: str, epoch: str, *, kept: int, skip: int, limit: int
) -> tuple[tuple[int, int], ...]:
    """Inclusive spans of the numbers 1 to `kept` that are not here, ascending."""
    wanted = {"gateway_id": gateway_id, "epoch": epoch, "kept": kept, "skip": skip, "limit": limit}
    return tuple((low, high) for low, high in conn.execute(SQL["missing"], wanted))


def forget_beyond(conn: Connection, gateway_id: str, epoch: str, *, kept: int) -> bool:
    """Forget the numbers above `kept`; whether there were any."""
    wanted = {"gateway_id": gateway_id, "epoch": epoch, "kept": kept}
    return conn.execute(SQL["forget_beyond"], wanted).rowcount > 0


def note(conn: Connection, gateway_id: str, epoch: str, asked: Asked) -> None:
    """Remember what has been asked for."""
    row = {"gateway_id": gateway_id, "epoch": epoch}
    conn.execute(SQL["note"], row | {"lost": asked.lost, "asked": asked.asked, "given_up": asked.given_up})
