"""Wishes to erase somebody, what became of them, what was found afterwards, and codes for a record of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec
from psycopg.rows import class_row

from server.store import vault
from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("erasure_requests")

Decision = Literal["confirmed", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One wish; `decision` None: it waits for a second person."""

    request_id: int
    patient_id: int
    reason: str
    asked_by: int
    asked_by_login: str
    asked_by_name: str
    asked_at: datetime
    decision: Decision | None
    decided_by_name: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was found when traces were looked for. `places`: where one was left. `unreached`: what was not looked at, and why."""

    patient_id: int
    looked_at: datetime
    traces: int
    tables: int
    files: int
    broker_stores: int
    places: Sequence[str]
    unreached: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Somebody kept under seal (`destroyed_at` None) or gone, with the last proof; None: nobody has looked.

    `is_looked_for`: a search waits, or is on its way.
    """

    patient_id: int
    reason: str
    asked_by: str
    second: str
    restricted_at: datetime
    keep_until: datetime
    destroyed_at: datetime | None
    is_looked_for: bool
    looked_at: datetime | None
    traces: int | None
    tables: int | None
    files: int | None
    broker_stores: int | None
    places: Sequence[str] | None
    unreached: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is to be looked for, of whom, and who wanted it."""

    search_id: int
    patient_id: int
    asked_by: str
    traces: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldInForce:
    hold_id: int
    made_by: str
    made_at: datetime
    until: datetime


def ask(conn: Connection, patient_id: int, *, reason: str, by: int, now: datetime) -> int | None:
    """The request's number; None if one of this patient waits already."""
    row = conn.execute(_SQL["ask"], {"patient_id": patient_id, "reason": reason, "by": by, "now": now}).fetchone()
    return None if row is None else int(row[0])


def find(conn: Connection, request_id: int) -> Request | None:
    """Locked until the transaction ends."""
    with conn.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(_SQL["request"], {"request_id": request_id}).fetchone()


def decide(conn: Connection, request_id: int, decision: Decision, *, by: int, now: datetime) -> None:
    conn.execute(_SQL["decide"], {"request_id": request_id, "decision": decision, "by": by, "now": now})


def list_requests(
    conn: Connection, *, limit: int, user_id: int | None = None, patient_id: int | None = None
) -> Sequence[Request]:
    """Those that wait first, then the newest. `user_id`: of whom this user sees."""
    values = {"user_id": user_id, "patient_id": patient_id, "limit": limit}
    with conn.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(_SQL["requests"], values).fetchall()


def list_erased(conn: Connection, *, limit: int) -> Sequence[Erased]:
    with conn.cursor(row_factory=class_row(Erased)) as cursor:
        return cursor.execute(_SQL["erased"], {"limit": limit}).fetchall()


def note_proof(conn: Connection, proof: Proof) -> None:
    row = {name: getattr(proof, name) for name in Proof.__slots__}
    conn.execute(_SQL["note_proof"], row | {"places": list(proof.places), "unreached": list(proof.unreached)})


def add_search(conn: Connection, patient_id: int, *, traces: Sequence[bytes], by: str, now: datetime) -> None:
    """To be looked for by the server's loop; what is looked for is sealed with a key that goes with the search."""
    row = conn.execute(_SQL["add_search"], {"patient_id": patient_id, "by": by, "now": now}).fetchone()
    assert row is not None
    sealed = _safe(conn, row[0]).seal(msgspec.msgpack.encode(list(traces)), _place(row[0]))
    conn.execute(_SQL["seal_search"], {"search_id": row[0], "traces": sealed})


def take_search(conn: Connection) -> Search | None:
    """The oldest that nobody is at, locked until the transaction ends: a search that is cut off is taken again."""
    row = conn.execute(_SQL["take_search"]).fetchone()
    if row is None:
        return None
    search_id, patient_id, asked_by, sealed = row
    traces = msgspec.msgpack.decode(_safe(conn, search_id).open(sealed, _place(search_id)), type=list[bytes])
    return Search(search_id=search_id, patient_id=patient_id, asked_by=asked_by, traces=traces)


def end_search(conn: Connection, search_id: int, *, now: datetime) -> None:
    """With its key: what was looked for can be read by nobody any more, from no backup of this database either."""
    conn.execute(_SQL["end_search"], {"search_id": search_id, "holder": _holder(search_id), "now": now})


def _safe(conn: Connection, search_id: int) -> vault.Safe:
    return vault.safes(conn, {_holder(search_id): None})[_holder(search_id)]


def _holder(search_id: int) -> str:
    return f"search:{search_id}"


def _place(search_id: int) -> str:
    return f"erasure_search.traces/{search_id}"


def holds_of(conn: Connection, patient_id: int, *, now: datetime) -> Sequence[HoldInForce]:
    """The patient's holds that are in force, the first to end first."""
    with conn.cursor(row_factory=class_row(HoldInForce)) as cursor:
        return cursor.execute(_SQL["holds_of"], {"patient_id": patient_id, "now": now}).fetchall()


def give_code(conn: Connection, patient_id: int, *, code_hash: bytes, by: int, ends_at: datetime) -> None:
    """The patient's code from now on; an earlier one ends."""
    conn.execute(_SQL["give_code"], {"patient_id": patient_id, "code_hash": code_hash, "by": by, "ends_at": ends_at})


def try_code(conn: Connection, patient_id: int, *, tries: int, now: datetime) -> tuple[bytes, int] | None:
    """The hash of the code in force and who gave it; None if there is none, or if it has been tried too often."""
    row = conn.execute(_SQL["try_code"], {"patient_id": patient_id, "tries": tries, "now": now}).fetchone()
    return None if row is None else (bytes(row[0]), int(row[1]))


def end_code(conn: Connection, patient_id: int) -> None:
    conn.execute(_SQL["end_code"], {"patient_id": patient_id})
