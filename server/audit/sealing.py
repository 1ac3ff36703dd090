"""Links what was committed into the chain: every row once, none passed over, in batches that are whole or not at all.

Writers never wait for it. Whoever writes a row of a ledger notes it in `audit_due` in the same transaction, so that a row that
commits late is found when it commits. What is sealed is what the database holds at that moment, read back from it.
"""

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from server import clock
from server.audit.proofs import (
    NOTHING,
    digest_readings,
    digest_row,
    hash_link,
    hash_seal,
    merkle_root,
    spell_row,
)
from server.store import audit_chain as store
from server.store.audit_chain import RAW, READINGS, Due, Ledger, Link, Row, Seal
from server.store.postgres import Connection, Pool, in_transaction
from vitals.errors import UnavailableError

log = structlog.get_logger()

EVERY_S: Final = 1.0
BATCH: Final = 2000
"""Rows of `audit_due` in one transaction: under a second of work, so that nobody's vacuum waits for it."""

Keys = Mapping[int, bytes | None]
Shape = tuple[int, tuple[str, ...]]


def keep_sealing(pool: Pool, stop: threading.Event) -> None:
    """Seal until `stop` is set. Any number of processes may do so at once; one of them does."""
    while not stop.is_set():
        try:
            sealed = in_transaction(pool, lambda conn: seal(conn, now=clock.now()))
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=EVERY_S)
            sealed = None
        if sealed is None or sealed.last_seq - sealed.first_seq < BATCH // 2:
            stop.wait(EVERY_S)


def seal_all(pool: Pool) -> int:
    """Seal what waits, batch by batch; how many links that made. What another process seals meanwhile is not counted."""
    links = 0
    while (sealed := in_transaction(pool, lambda conn: seal(conn, now=clock.now()))) is not None:
        links += sealed.last_seq - sealed.first_seq + 1
    return links


def seal(conn: Connection, *, now: datetime, limit: int = BATCH) -> Seal | None:
    """Seal the oldest of what waits; None if nothing does, or if somebody else is at it."""
    if not store.try_lock(conn):
        return None
    due = store.list_due(conn, limit=limit)
    if not due:
        return None
    store.forget_due(conn, [each.due_id for each in due])
    entries = _entries(conn, [each for each in due if not each.is_nobodys])
    if not entries:
        return None
    head = store.find_head(conn)
    links = _links(conn, entries, seq=head.seq if head else 0, previous=head.head if head else NOTHING)
    sealed = Seal(
        seal=head.seal + 1 if head else 1,
        at=now,
        first_seq=links[0].seq,
        last_seq=links[-1].seq,
        root=merkle_root([link.hash for link in links]),
        head=links[-1].hash,
        hash=NOTHING,
    )
    sealed = replace(sealed, hash=hash_seal(head.hash if head else NOTHING, sealed))
    store.add_links(conn, links)
    store.add_seal(conn, sealed)
    return sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What becomes one link."""

    ledger: str
    key: str
    patient_id: int | None
    shape: int
    digest: bytes
    members: list[str] | None = None
    parts: bytes | None = None


def _entries(conn: Connection, due: Sequence[Due]) -> list[_Entry]:
    """What was noted twice is sealed once; a patient's readings together; in the order in which they were noted."""
    ledgers = store.list_ledgers(conn)
    patients = {each.patient_id for each in due if each.patient_id is not None and ledgers[each.ledger].is_keyed}
    keys = store.keys_of(conn, {each: secrets.token_bytes(32) for each in sorted(patients)})
    found: dict[tuple[str, str, int | None], list[Due]] = {}
    for each in due:
        found.setdefault((each.ledger, each.key, each.patient_id), []).append(each)
    shapes = {name: store.shape_of(conn, ledgers[name]) for name in sorted({each.ledger for each in due})}
    rows = {
        name: store.fetch_rows(conn, ledgers[name], {each.key for each in due if each.ledger == name})
        for name in shapes
        if name != READINGS
    }
    readings = store.fetch_readings(conn, _wanted(due))
    return [
        _readings_entry(patient_id, of_it, shapes[name], keys, readings)
        if name == READINGS
        else _row_entry(ledgers[name], key, patient_id, shapes[name], keys, rows[name].get(key))
        for (name, key, patient_id), of_it in found.items()
        if not (ledgers[name].is_keyed and patient_id is not None and keys[patient_id] is None)
    ]


def _wanted(due: Sequence[Due]) -> list[tuple[int, str]]:
    return [
        (each.patient_id, member)
        for each in due
        if each.patient_id is not None
        for member in sorted(each.members or ())
    ]


def _row_entry(ledger: Ledger, key: str, patient_id: int | None, shape: Shape, keys: Keys, row: Row | None) -> _Entry:
    number, columns = shape
    secret = keys[patient_id] if ledger.is_keyed and patient_id is not None else None
    digest = digest_row(spell_row(ledger.ledger, row, columns), secret)
    return _Entry(ledger=ledger.ledger, key=key, patient_id=patient_id, shape=number, digest=digest)


def _readings_entry(
    patient_id: int | None,
    due: Sequence[Due],
    shape: Shape,
    keys: Keys,
    readings: Mapping[str, tuple[Row | None, Row | None]],
) -> _Entry:
    assert patient_id is not None, "a reading is somebody's"
    secret = keys[patient_id]
    assert secret is not None, "who was forgotten has no readings to be sealed"
    members = sorted({member for each in due for member in each.members or ()})
    parts = b"".join(part_of(*readings[member], shape[1], secret) for member in members)
    return _Entry(
        ledger=READINGS,
        key="",
        patient_id=patient_id,
        shape=shape[0],
        digest=digest_readings(members, parts),
        members=members,
        parts=parts,
    )


def part_of(reading: Row | None, raw: Row | None, columns: Sequence[str], key: bytes) -> bytes:
    """The two digests of a reading: of what it says, and of the frames as they came."""
    own = [name for name in columns if not name.startswith(RAW)]
    theirs = [name.removeprefix(RAW) for name in columns if name.startswith(RAW)]
    spelled = spell_row(READINGS, reading, own), spell_row("reading_raw", raw, theirs)
    return b"".join(digest_row(each, key) for each in spelled)


def _links(conn: Connection, entries: Sequence[_Entry], *, seq: int, previous: bytes) -> list[Link]:
    heads = store.patient_heads(conn, {each.patient_id for each in entries if each.patient_id is not None})
    links: list[Link] = []
    for place, each in enumerate(entries, start=seq + 1):
        if each.patient_id is not None:
            heads[each.patient_id] = heads.get(each.patient_id, 0) + 1
        link = Link(
            seq=place,
            ledger=each.ledger,
            key=each.key,
            patient_id=each.patient_id,
            of_patient=None if each.patient_id is None else heads[each.patient_id],
            shape=each.shape,
            digest=each.digest,
            hash=NOTHING,
            members=each.members,
            parts=each.parts,
        )
        previous = hash_link(previous, link)
        links.append(replace(link, hash=previous))
    return links
