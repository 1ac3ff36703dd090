"""Programs of other houses, and what they have asked for as a whole. Who they are is proved in `people.programs`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("programs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program in force: its public keys, and the account in whose name it reads."""

    program_id: str
    user_id: int
    keys: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProgram:
    """A program as it is listed; `keys`: how many it has."""

    program_id: str
    login: str
    is_active: bool
    added_at: datetime
    removed_at: datetime | None
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkExport:
    """What was asked for as a whole: resources of these kinds that changed from `since` on and before `until`."""

    export_id: UUID
    user_id: int
    kinds: Sequence[str]
    since: datetime | None
    until: datetime
    ends_at: datetime


def add_program(conn: Connection, program_id: str, *, login: str, keys: Mapping[str, Any], now: datetime) -> int | None:
    """The id of its account, or `None` if there is no such account. A name that is there gets these keys instead."""
    row = {"program_id": program_id, "login": login, "keys": Jsonb(dict(keys)), "now": now}
    found = conn.execute(_SQL["add_program"], row).fetchone()
    return None if found is None else int(found[0])


def remove_program(conn: Connection, program_id: str, *, now: datetime) -> bool:
    """False if there is none in force."""
    return conn.execute(_SQL["remove_program"], {"program_id": program_id, "now": now}).fetchone() is not None


def list_programs(conn: Connection) -> Sequence[ListedProgram]:
    with conn.cursor(row_factory=class_row(ListedProgram)) as cursor:
        return cursor.execute(_SQL["list_programs"]).fetchall()


def find_program(conn: Connection, program_id: str) -> Program | None:
    with conn.cursor(row_factory=class_row(Program)) as cursor:
        return cursor.execute(_SQL["find_program"], {"program_id": program_id}).fetchone()


def use_assertion(conn: Connection, program_id: str, *, jti: str, ends_at: datetime, now: datetime) -> bool:
    """False if it has been used before."""
    conn.execute(_SQL["forget_assertions"], {"now": now})
    row = {"program_id": program_id, "jti": jti, "ends_at": ends_at}
    return conn.execute(_SQL["use_assertion"], row).fetchone() is not None


def add_export(conn: Connection, export: BulkExport) -> None:
    row = {
        "export_id": export.export_id,
        "user_id": export.user_id,
        "kinds": list(export.kinds),
        "since": export.since,
        "until": export.until,
        "ends_at": export.ends_at,
    }
    conn.execute(_SQL["add_export"], row)


def find_export(conn: Connection, export_id: UUID, *, user_id: int, now: datetime) -> BulkExport | None:
    """One's own, while it is good."""
    with conn.cursor(row_factory=class_row(BulkExport)) as cursor:
        row = {"export_id": export_id, "user_id": user_id, "now": now}
        return cursor.execute(_SQL["find_export"], row).fetchone()


def end_export(conn: Connection, export_id: UUID, *, user_id: int, now: datetime) -> bool:
    row = {"export_id": export_id, "user_id": user_id, "now": now}
    return conn.execute(_SQL["end_export"], row).fetchone() is not None
