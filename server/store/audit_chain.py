"""Rows of the chain over the audit and the other ledgers: what waits, links, seals, anchors. Nothing here computes a hash.

Which tables are sealed is itself a table (`audit_ledger`); a migration that makes a new ledger says `select audit_keep(…)`. Every
function runs inside the caller's transaction. Statements are in `sql/audit_chain.sql`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import set_json_loads

from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("audit_chain")

READINGS: Final = "reading"
"""The ledger whose links are of many rows each."""

RAW: Final = "raw."
"""How the columns of a reading's frames are told from its own, in a shape."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A table whose rows are sealed. `patient`: whose a row `t` is, in SQL, as the migration that made the
    table has said it; `columns`: as they are now; `key_types`: of `key_columns`, in PostgreSQL's words."""

    ledger: str
    key_columns: list[str]
    patient: str
    is_mutable: bool
    is_keyed: bool
    columns: list[str]
    key_types: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What waits to be sealed: a row by its key, or, of readings, some by their members."""

    due_id: int
    ledger: str
    key: str
    patient_id: int | None
    members: list[str] | None
    is_nobodys: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of the chain, as it is stored."""

    seq: int
    ledger: str
    key: str
    patient_id: int | None
    of_patient: int | None
    shape: int
    digest: bytes
    hash: bytes
    members: list[str] | None
    parts: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Links that were sealed together, `first_seq` to `last_seq`."""

    seal: int
    at: datetime
    first_seq: int
    last_seq: int
    root: bytes
    head: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the chain ends: the last seal and link, with their hashes."""

    seal: int
    seq: int
    head: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What is shown to somebody outside of the seals `first_seal` to `last_seal`."""

    anchor: int
    at: datetime
    first_seal: int
    last_seal: int
    statement: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What `notary` answered to an anchor."""

    anchor: int
    notary: str
    received_at: datetime
    receipt: bytes


def try_lock(conn: Connection) -> bool:
    """Whether this transaction is the one that seals."""
    row = conn.execute(_SQL["lock"]).fetchone()
    return row is not None and bool(row[0])


def list_ledgers(conn: Connection) -> dict[str, Ledger]:
    with conn.cursor(row_factory=class_row(Ledger)) as cursor:
        return {each.ledger: each for each in cursor.execute(_SQL["ledgers"])}


def list_due(conn: Connection, *, limit: int) -> Sequence[Due]:
    """The oldest first."""
    with conn.cursor(row_factory=class_row(Due)) as cursor:
        return cursor.execute(_SQL["due"], {"limit": limit}).fetchall()


def forget_due(conn: Connection, due_ids: Iterable[int]) -> None:
    conn.execute(_SQL["forget_due"], {"due_ids": list(due_ids)})


def waiting(conn: Connection) -> set[tuple[str, str]]:
    """Ledger and key (of a reading: its member) of all that is not sealed yet."""
    found: set[tuple[str, str]] = set()
    for ledger, key, members in conn.execute(_SQL["is_waiting"]):
        found |= {(ledger, each) for each in (members or [key])}
    return found


def find_head(conn: Connection) -> Head | None:
    with conn.cursor(row_factory=class_row(Head)) as cursor:
        return cursor.execute(_SQL["head"]).fetchone()


def patient_heads(conn: Connection, patient_ids: Iterable[int]) -> dict[int, int]:
    """How many links there are of each patient."""
    return dict(conn.execute(_SQL["patient_heads"], {"patient_ids": sorted(patient_ids)}).fetchall())


def keys_of(conn: Connection, fresh: Mapping[int, bytes]) -> dict[int, bytes | None]:
    """The keys of these patients; who has none gets the one that is offered. None: it was destroyed."""
    conn.execute(_SQL["make_keys"], {"patient_ids": list(fresh), "keys": list(fresh.values())})
    return dict(conn.execute(_SQL["keys"], {"patient_ids": list(fresh)}).fetchall())


def list_keys(conn: Connection) -> dict[int, bytes | None]:
    return dict(conn.execute(_SQL["all_keys"]).fetchall())


def destroy_key(conn: Connection, patient_id: int, *, now: datetime) -> None:
    """From now on no digest about this patient can be computed or guessed; the chain over them stays."""
    conn.execute(_SQL["destroy_key"], {"patient_id": patient_id, "now": now})


def list_keys_of(conn: Connection, patient_ids: Iterable[int]) -> dict[int, bytes | None]:
    """The keys of these patients; nothing for who has none."""
    return dict(conn.execute(_SQL["keys"], {"patient_ids": sorted(patient_ids)}).fetchall())


def span_of(conn: Connection, *, since: datetime, until: datetime) -> tuple[int, int] | None:
    """The first and the last link that were sealed from `since` to before `until`; None if none was."""
    row = conn.execute(_SQL["span"], {"since": since, "until": until}).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def seals_of(conn: Connection, seqs: Sequence[int]) -> dict[int, Seal]:
    """The seals in which these links lie, by number, in order."""
    with conn.cursor(row_factory=class_row(Seal)) as cursor:
        return {each.seal: each for each in cursor.execute(_SQL["seals_of"], {"seqs": list(seqs)})}


def newest_of(conn: Connection, ledger: str, keys: Iterable[str]) -> dict[str, int]:
    """The newest link of each of these rows."""
    return dict(conn.execute(_SQL["newest"], {"ledger": ledger, "keys": sorted(keys)}).fetchall())


def list_shapes(conn: Connection) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Ledger and columns by the shape's number."""
    return {number: (ledger, tuple(columns)) for number, ledger, columns in conn.execute(_SQL["shapes"])}


def shape_of(conn: Connection, ledger: Ledger) -> tuple[int, tuple[str, ...]]:
    """The number of a ledger's columns as they are now, and which those are."""
    columns = list(ledger.columns)
    if ledger.ledger == READINGS:
        columns += [RAW + name for (name,) in conn.execute(_SQL["raw_columns"])]
    wanted = (ledger.ledger, tuple(columns))
    for _ in range(2):
        found = next((number for number, each in list_shapes(conn).items() if each == wanted), None)
        if found is not None:
            return found, wanted[1]
        conn.execute(_SQL["add_shape"], {"ledger": ledger.ledger, "columns": columns})
    raise AssertionError("a shape that was just written is not there")


def fetch_rows(conn: Connection, ledger: Ledger, keys: Iterable[str]) -> dict[str, Row]:
    """The rows that there are of these keys; numbers in JSON keep all of their digits."""
    parts = [key.split("/") for key in keys]
    names = [sql.Identifier(name) for name in ledger.key_columns]
    columns = {f"c{at}": [each[at] for each in parts] for at in range(len(names))}
    casts = [sql.SQL(f"%(c{at})s::text[]::{kind}[]") for at, kind in enumerate(ledger.key_types)]
    statement = sql.SQL(
        "select t.*, concat_ws('/', {key}) as audit_key from {table} t join unnest({casts}) as w ({names}) on {same}"
    )
    composed = statement.format(
        key=sql.SQL(", ").join(sql.SQL("t.{}").format(name) for name in names),
        table=sql.Identifier(ledger.ledger),
        casts=sql.SQL(", ").join(casts),
        names=sql.SQL(", ").join(names),
        same=sql.SQL(" and ").join(sql.SQL("t.{0} = w.{0}").format(name) for name in names),
    )
    return {row.pop("audit_key"): row for row in _rows(conn, composed, columns)}


def fetch_readings(conn: Connection, wanted: Iterable[tuple[int, str]]) -> dict[str, tuple[Row | None, Row | None]]:
    """Of patients and members: the readings that there are and their frames, by member."""
    keys = [(patient_id, *member.split("/")) for patient_id, member in wanted]
    if not keys:
        return {}
    patient_ids, kinds, instants, reading_ids = map(list, zip(*keys, strict=True))
    values = {"patient_ids": patient_ids, "kinds": kinds, "instants": instants, "reading_ids": reading_ids}
    readings = {row["reading_id"]: row for row in _rows(conn, _SQL["readings"], values)}
    raws = {row["reading_id"]: row for row in _rows(conn, _SQL["raws"], {"reading_ids": reading_ids})}
    return {
        f"{kind}/{instant}/{text}": (readings.get(UUID(str(text))), raws.get(UUID(str(text))))
        for kind, instant, text in zip(kinds, instants, reading_ids, strict=True)
    }


def _rows(conn: Connection, statement: sql.Composed | bytes, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        set_json_loads(_exactly, cursor)
        yield from cursor.execute(statement, values)


_DECODER: Final = json.JSONDecoder(parse_float=Decimal)


def _exactly(text: str | bytes) -> Any:
    return _DECODER.decode(text if isinstance(text, str) else text.decode())


def look_at_one_instant(conn: Connection) -> None:
    """All that this transaction reads from now on is of one instant; it writes nothing. To be said first."""
    conn.execute(_SQL["snapshot"])


def unlinked(conn: Connection, ledger: Ledger, *, limit: int) -> list[str]:
    """Keys of rows (members of readings) that are in no link and wait for none: nobody wrote them by the product's way."""
    if ledger.ledger == READINGS:
        names: sql.Composable = sql.SQL("audit_member(t.kind, t.measured_at, t.reading_id)")
        known = sql.SQL("select m from {chain} l, unnest(l.members) m where l.ledger = {ledger}")
    else:
        key = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in ledger.key_columns)
        names = sql.SQL("concat_ws('/', {})").format(key)
        known = sql.SQL("select l.key from {chain} l where l.ledger = {ledger}")
    seen = [
        known.format(chain=sql.Identifier(each), ledger=sql.Literal(ledger.ledger))
        for each in ("audit_link", "audit_due")
    ]
    statement = sql.SQL(
        "select k from (select {names} as k from {table} t where not exists (select from patient p"
        " where p.is_watchdog and p.patient_id = {patient})) r"
        " where not exists (select from ({known}) s (k) where s.k = r.k) order by k limit {limit}"
    )
    composed = statement.format(
        names=names,
        table=sql.Identifier(ledger.ledger),
        patient=sql.SQL(ledger.patient),
        known=sql.SQL(" union all ").join(seen),
        limit=sql.Literal(limit),
    )
    return [key for (key,) in conn.execute(composed)]


def add_links(conn: Connection, links: Sequence[Link]) -> None:
    plain = [link for link in links if link.members is None]
    names = ("seq", "ledger", "key", "patient_id", "of_patient", "shape", "digest", "hash", "parts")
    conn.execute(_SQL["add_links"], {name: [getattr(link, name) for link in plain] for name in names})
    many = [{name: getattr(link, name) for name in (*names, "members")} for link in links if link.members is not None]
    if many:
        with conn.cursor() as cursor:
            cursor.executemany(_SQL["add_reading_link"], many)


def add_seal(conn: Connection, seal: Seal) -> None:
    conn.execute(_SQL["add_seal"], {name: getattr(seal, name) for name in Seal.__slots__})


def list_links(conn: Connection, *, after: int, limit: int) -> Sequence[Link]:
    """So many links after `after`, in order."""
    with conn.cursor(row_factory=class_row(Link)) as cursor:
        return cursor.execute(_SQL["links"], {"after": after, "limit": limit}).fetchall()


def links_of_patient(conn: Connection, patient_id: int, *, first_seq: int, last_seq: int) -> Sequence[Link]:
    with conn.cursor(row_factory=class_row(Link)) as cursor:
        values = {"patient_id": patient_id, "first_seq": first_seq, "last_seq": last_seq}
        return cursor.execute(_SQL["links_of_patient"], values).fetchall()


def link_hashes(conn: Connection, *, first_seq: int, last_seq: int) -> list[bytes]:
    found = conn.execute(_SQL["link_hashes"], {"first_seq": first_seq, "last_seq": last_seq})
    return [each for _, each in found]


def list_seals(
    conn: Connection, *, first_seal: int = 1, last_seal: int | None = None, limit: int | None = None
) -> Sequence[Seal]:
    """In order, at most `limit` of them."""
    with conn.cursor(row_factory=class_row(Seal)) as cursor:
        values = {"first_seal": first_seal, "last_seal": last_seal, "limit": limit}
        return cursor.execute(_SQL["seals"], values).fetchall()


def seal_before(conn: Connection, at: datetime) -> Seal | None:
    with conn.cursor(row_factory=class_row(Seal)) as cursor:
        return cursor.execute(_SQL["seal_before"], {"at": at}).fetchone()


def list_anchors(conn: Connection, *, first: int = 1) -> Sequence[Anchor]:
    with conn.cursor(row_factory=class_row(Anchor)) as cursor:
        return cursor.execute(_SQL["anchors"], {"first": first}).fetchall()


def last_anchor(conn: Connection) -> Anchor | None:
    with conn.cursor(row_factory=class_row(Anchor)) as cursor:
        return cursor.execute(_SQL["last_anchor"]).fetchone()


def add_anchor(conn: Connection, anchor: Anchor) -> None:
    conn.execute(_SQL["add_anchor"], {name: getattr(anchor, name) for name in Anchor.__slots__})


def unreceipted(conn: Connection, notary: str, *, since: datetime, limit: int) -> Sequence[Anchor]:
    """Anchors made after `since` for which `notary` has not answered."""
    with conn.cursor(row_factory=class_row(Anchor)) as cursor:
        return cursor.execute(_SQL["unreceipted"], {"notary": notary, "since": since, "limit": limit}).fetchall()


def add_receipt(conn: Connection, receipt: Receipt) -> None:
    conn.execute(_SQL["add_receipt"], {name: getattr(receipt, name) for name in Receipt.__slots__})


def list_receipts(conn: Connection, *, first: int = 1) -> Sequence[Receipt]:
    with conn.cursor(row_factory=class_row(Receipt)) as cursor:
        return cursor.execute(_SQL["receipts"], {"first": first}).fetchall()


def unanchored_since(conn: Connection) -> datetime | None:
    """When the oldest seal was made that nobody outside has answered for; None: there is none."""
    row = conn.execute(_SQL["unanchored"]).fetchone()
    assert row is not None
    since: datetime | None = row[0]
    return since
