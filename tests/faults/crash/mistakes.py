"""Mistakes that somebody could make in the outbox and that no test without a power cut would notice."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway import file_lock, outbox
from gateway.outbox import Outbox
from vitals.envelope import encode_reading
from vitals.reading import Reading


def sync_normal() -> None:
    _open_then("pragma synchronous = normal")


def sync_off() -> None:
    _open_then("pragma synchronous = off")


def journal_in_memory() -> None:
    _open_then("pragma journal_mode = delete", "pragma journal_mode = memory")


def folder_not_synced() -> None:
    file_lock.sync_directory = lambda _: None  # type: ignore[assignment]


def answers_before_commit() -> None:
    """Every fifth transaction commits what the four before it have said was done."""
    begun = 0

    @contextmanager
    def transaction(db: sqlite3.Connection) -> Iterator[None]:
        nonlocal begun
        if not db.in_transaction:
            db.execute("begin immediate")
        yield
        begun += 1
        if begun % 5 == 0:
            db.execute("commit")

    outbox.transaction = transaction


def body_in_a_second_commit() -> None:
    keep: Callable[..., int | None] = Outbox.keep

    def in_two(self: Outbox, reading: Reading, **held: Any) -> int | None:
        encode = outbox.encode_reading
        outbox.encode_reading = lambda _: b""  # type: ignore[assignment]
        try:
            seq = keep(self, reading, **held)
        finally:
            outbox.encode_reading = encode
        if seq is not None:
            query = "update reading set body = ? where seq = ?"
            self._write(lambda db: db.execute(query, (encode_reading(reading), seq)), may_drain=False)
        return seq

    Outbox.keep = in_two  # type: ignore[method-assign]


def settles_by_delete_and_insert() -> None:
    def settle(self: Outbox, seq: int, reading: Reading) -> None:
        self._write(lambda db: db.execute("delete from reading where seq = ?", (seq,)), may_drain=True)
        row = (seq, reading.reading_id.bytes, encode_reading(reading), outbox.instant_text(reading.received_at))
        query = "insert into reading (seq, reading_id, body, kept_at) values (?, ?, ?, ?)"
        self._write(lambda db: db.execute(query, row), may_drain=True)

    Outbox.settle = settle  # type: ignore[method-assign]


def _open_then(*pragmas: str) -> None:
    opened = outbox.open_file

    def open_and_spoil(path: Path, now: datetime) -> sqlite3.Connection:
        db = opened(path, now)
        for pragma in pragmas:
            db.execute(pragma).fetchall()
        return db

    outbox.open_file = open_and_spoil
