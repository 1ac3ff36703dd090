"""After the server has been set back: what it asks for again waits again, exactly that, and the counts stay exact."""

import logging
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from unit.gateway.samples import NOW, evidence, reading

from gateway.errors import OutboxFullError
from gateway.outbox import KEPT_AFTER_RECEIPT, Outbox, read_counts
from gateway.outbox_receipts import AT_A_TIME, confirmed_spans
from gateway.outbox_rows import Unbelieved
from vitals.envelope import Receipt, Rejection, decode_stored_reading

Spans = tuple[tuple[int, int], ...]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    """Ten readings, all confirmed but the fourth, which the server has refused."""
    with Outbox(path, now=NOW) as outbox:
        for nth in range(1, 11):
            outbox.keep(reading(nth))
        outbox.apply(
            Receipt(epoch=outbox.epoch, upto=10, rejected=(Rejection(seq=4, reason="unknown_meter"),)), now=NOW
        )
        yield outbox


def asked_again(outbox: Outbox, *missing: tuple[int, int], upto: int = 0) -> int:
    return outbox.apply(Receipt(epoch=outbox.epoch, upto=upto, missing=missing), now=NOW)


def waiting(outbox: Outbox) -> list[int]:
    return [row.seq for row in outbox.unconfirmed(100_000)]


def test_what_the_server_has_lost_waits_again_unaltered_and_in_order(outbox: Outbox) -> None:
    assert asked_again(outbox, (2, 3), (8, 8)) == 3
    rows = outbox.unconfirmed(10)
    assert [row.seq for row in rows] == [2, 3, 8]
    assert [decode_stored_reading(row.body) for row in rows] == [reading(n) for n in (2, 3, 8)]


def test_a_reading_that_the_server_had_refused_is_offered_again(outbox: Outbox) -> None:
    assert asked_again(outbox, (4, 4)) == 1
    assert waiting(outbox) == [4]
    counts = outbox.counts()
    assert (counts.rejected, counts.confirmed, counts.rewound, counts.answered) == (0, 9, 1, 9)


def test_what_is_both_confirmed_and_missing_is_missing(path: Path) -> None:
    with Outbox(path, now=NOW) as outbox:
        for nth in range(1, 9):
            outbox.keep(reading(nth))
        rejected = (Rejection(seq=7, reason="range"), Rejection(seq=6, reason="range"))
        receipt = Receipt(epoch=outbox.epoch, upto=5, extra=(7, 8), rejected=rejected, missing=((2, 3), (7, 7)))
        outbox.apply(receipt, now=NOW)
        assert waiting(outbox) == [2, 3, 7]
        assert outbox.counts().answered == 5
        assert outbox.counts().rewound == 0, "they had never been answered"


@pytest.mark.parametrize(
    ("upto", "missing", "spans"),
    [
        (0, (), []),
        (9, (), [(1, 9)]),
        (9, ((1, 9),), []),
        (9, ((4, 5),), [(1, 3), (6, 9)]),
        (9, ((1, 1), (9, 9)), [(2, 8)]),
        (9, ((8, 20), (30, 40)), [(1, 7)]),
        (9, ((10, 12),), [(1, 9)]),
        (9, ((2, 3), (4, 5)), [(1, 1), (6, 9)]),
    ],
)
def test_the_watermark_confirms_up_to_it_but_for_the_missing(
    upto: int, missing: Spans, spans: list[tuple[int, int]]
) -> None:
    assert list(confirmed_spans(Receipt(epoch="f" * 16, upto=upto, missing=missing))) == spans


def test_what_has_been_asked_for_again_is_confirmed_by_the_next_receipt(outbox: Outbox) -> None:
    asked_again(outbox, (1, 10))
    assert outbox.apply(Receipt(epoch=outbox.epoch, upto=10), now=NOW) == 10
    counts = outbox.counts()
    assert (counts.confirmed, counts.unconfirmed, counts.rewound) == (10, 0, 0)


def test_to_be_asked_twice_changes_nothing_and_is_told_once(outbox: Outbox) -> None:
    with capture_logs() as told:
        assert asked_again(outbox, (2, 3)) == 2
        assert asked_again(outbox, (2, 3)) == 0
    assert [line for line in told if line["event"] == "rewound"] == [
        {"event": "rewound", "epoch": outbox.epoch, "readings": 2, "spans": 1, "log_level": "warning"}
    ]


def test_a_reading_whose_bytes_are_gone_stays_as_it_is_and_is_counted_as_forgotten(outbox: Outbox) -> None:
    outbox.keep(reading(11))
    later = NOW + KEPT_AFTER_RECEIPT + timedelta(seconds=1)
    outbox.apply(Receipt(epoch=outbox.epoch, upto=11), now=later)
    assert outbox.purge(now=later) == 9
    assert outbox.counts().forgotten == 9
    assert asked_again(outbox, (1, 11)) == 2, "the refused one and the young one"
    assert waiting(outbox) == [4, 11]
    assert (outbox.counts().answered, outbox.counts().forgotten) == (9, 9)


def test_a_rewound_reading_that_is_confirmed_again_is_remembered_for_thirty_days_more(outbox: Outbox) -> None:
    asked_again(outbox, (1, 1))
    later = NOW + timedelta(days=20)
    outbox.apply(Receipt(epoch=outbox.epoch, upto=10), now=later)
    outbox.purge(now=later + KEPT_AFTER_RECEIPT - timedelta(seconds=1))
    assert asked_again(outbox, (1, 10)) == 2
    assert waiting(outbox) == [1, 4]


def test_a_reading_that_was_refused_here_is_not_what_the_server_has_lost(outbox: Outbox) -> None:
    outbox.keep(reading(11))
    outbox.reject(11, "oversize")
    assert asked_again(outbox, (1, 11)) == 10
    assert 11 not in waiting(outbox)
    counts = outbox.counts()
    assert (counts.rejected, counts.unsendable, counts.answered) == (1, 1, 0)


def test_what_was_refused_here_can_be_let_wait_again_and_what_the_server_refused_cannot(outbox: Outbox) -> None:
    outbox.keep(reading(11))
    outbox.reject(11, "cuts_connection")
    assert outbox.readmit() == 1
    assert waiting(outbox) == [11]
    assert outbox.counts().rejected == 1
    assert outbox.readmit() == 0


def test_a_reading_that_waits_for_a_clock_is_not_touched(outbox: Outbox) -> None:
    outbox.keep(reading(11), unbelieved=Unbelieved(boot_id="b", since_boot_s=1.0, evidence=evidence()))
    assert asked_again(outbox, (11, 11)) == 0
    assert outbox.counts().held == 1


def test_readings_of_another_life_are_not_asked_for_here(outbox: Outbox) -> None:
    assert outbox.apply(Receipt(epoch="f" * 16, upto=0, missing=((1, 2),)), now=NOW) == 0
    assert waiting(outbox) == []


def test_new_readings_are_kept_while_more_than_the_bound_wait_again(path: Path) -> None:
    with Outbox(path, now=NOW, max_unconfirmed=5) as outbox:
        for nth in range(20):
            outbox.keep(reading(nth))
            outbox.apply(Receipt(epoch=outbox.epoch, upto=nth + 1), now=NOW)
        asked_again(outbox, (1, 20))
        for nth in range(20, 25):
            outbox.keep(reading(nth))
        with pytest.raises(OutboxFullError):
            outbox.keep(reading(25))
        assert waiting(outbox) == list(range(1, 26))
        outbox.apply(Receipt(epoch=outbox.epoch, upto=20), now=NOW)
        with pytest.raises(OutboxFullError):
            outbox.keep(reading(25))
        outbox.apply(Receipt(epoch=outbox.epoch, upto=21), now=NOW)
        assert outbox.keep(reading(25)) == 26


def test_a_long_rewind_is_made_in_parts_and_complete(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    count = 2 * AT_A_TIME + 1
    with Outbox(path, now=NOW) as outbox:
        for nth in range(count):
            outbox.keep(reading(nth))
        assert asked_again(outbox, upto=count) == count
        assert asked_again(outbox, (1, count)) == count
        assert waiting(outbox) == list(range(1, count + 1))


def test_a_rewind_survives_closing_and_opening(path: Path) -> None:
    with Outbox(path, now=NOW) as outbox:
        for nth in range(3):
            outbox.keep(reading(nth))
        asked_again(outbox, upto=3)
        asked_again(outbox, (2, 3))
        before = outbox.counts()
        assert read_counts(path) == before
    with Outbox(path, now=NOW) as again:
        assert again.counts() == before
        assert waiting(again) == [2, 3]


VERSION_1 = """
create table life (epoch text not null, created_at text not null) strict;
create table reading (
    seq             integer primary key,
    reading_id      blob not null unique,
    body            blob,
    kept_at         text not null,
    held            blob,
    confirmed_at    text,
    rejected_reason text
) strict;
create index reading_unconfirmed on reading (seq) where confirmed_at is null and rejected_reason is null;
create index reading_held on reading (seq) where held is not null;
create index reading_rejected on reading (seq) where rejected_reason is not null;
create index reading_purgeable on reading (confirmed_at) where confirmed_at is not null and body is not null;
create table quarantine (
    quarantine_id  integer primary key,
    reason         text not null,
    detail         text not null,
    meter_id       text not null,
    characteristic text not null,
    raw            blob not null,
    first_at       text not null,
    last_at        text not null,
    times          integer not null default 1,
    unique (meter_id, characteristic, reason, raw)
) strict;
create table meter (
    meter_id         text primary key,
    highest_sequence integer,
    about            text not null default '{}',
    battery_percent  integer,
    last_read_at     text
) strict;
create table setting (name text primary key, value text not null) strict;
insert into life values ('0123456789abcdef', '2026-01-01T00:00:00.000000+00:00');
pragma application_id = 1213027911;
pragma user_version = 1;
"""
"""The file as 0.1.0 made it."""


def test_an_outbox_of_version_1_is_brought_up_to_date_with_all_that_is_in_it(path: Path, outbox: Outbox) -> None:
    old = path.with_name("old.sqlite")
    bodies = dict(outbox._db.execute("select seq, body from reading"))
    ids = dict(outbox._db.execute("select seq, reading_id from reading"))
    at = "2026-11-21T00:00:00.000000+00:00"
    states = {1: (at, None), 2: (None, "unknown_meter"), 3: (None, "oversize"), 4: (None, None)}
    with sqlite3.connect(old) as db:
        db.executescript(VERSION_1)
        for seq, state in states.items():
            row = (seq, ids[seq], bodies[seq], at, *state)
            db.execute(
                "insert into reading (seq, reading_id, body, kept_at, confirmed_at, rejected_reason) values (?,?,?,?,?,?)",
                row,
            )
    db.close()
    with Outbox(old, now=NOW) as upgraded:
        assert upgraded.epoch == "0123456789abcdef"
        counts = upgraded.counts()
        assert (counts.kept, counts.unconfirmed, counts.confirmed, counts.rejected) == (4, 1, 1, 2)
        assert (counts.unsendable, counts.answered, counts.forgotten) == (1, 2, 0)
        assert waiting(upgraded) == [4]
        assert asked_again(upgraded, (1, 4)) == 2
        assert waiting(upgraded) == [1, 2, 4]
        new = {
            row for (row,) in upgraded._db.execute("select sql from sqlite_schema where type = 'index' and sql > ''")
        }
    made = {row for (row,) in outbox._db.execute("select sql from sqlite_schema where type = 'index' and sql > ''")}
    assert {" ".join(sql.split()).replace('"', "") for sql in new} == {" ".join(sql.split()) for sql in made}
