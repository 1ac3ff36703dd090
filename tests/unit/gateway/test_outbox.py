"""The outbox on a real file: what it keeps, what it refuses, and that only a receipt confirms."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from unit.gateway.samples import METER, NOW, evidence, reading

from gateway.errors import OutboxBusyError, OutboxFullError, OutboxVersionError
from gateway.file_lock import is_locked
from gateway.outbox import KEPT_AFTER_RECEIPT, Outbox, read_counts
from gateway.outbox_bounds import (
    LAST_ROOM,
    LAST_ROOM_OF_ONE,
    MAX_QUARANTINED,
    MAX_QUARANTINED_OF_ONE,
    MAX_QUARANTINED_OF_STRANGERS,
    MAX_REMEMBERED,
)
from gateway.outbox_rows import MeterMemory, Unbelieved
from vitals.envelope import Receipt, Rejection, decode_stored_reading, encode_reading


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    with Outbox(path, now=NOW) as outbox:
        yield outbox


def _receipt(outbox: Outbox, upto: int = 0, **more: object) -> Receipt:
    return Receipt(**({"epoch": outbox.epoch, "upto": upto} | more))  # type: ignore[arg-type]


def _aside(outbox: Outbox, raw: bytes = b"\x16\x00", reason: str = "frame_length") -> bool:
    return outbox.set_aside(reason=reason, detail="two", meter_id=METER, characteristic="2a35", raw=raw, now=NOW)


def test_readings_are_numbered_densely_from_one(outbox: Outbox) -> None:
    assert [outbox.keep(reading(n)) for n in range(4)] == [1, 2, 3, 4]


def test_a_repeated_reading_is_kept_once_and_uses_no_number(outbox: Outbox) -> None:
    assert outbox.keep(reading(1)) == 1
    assert outbox.keep(reading(1)) is None
    assert outbox.keep(reading(2)) == 2


def test_what_was_kept_is_what_is_sent(outbox: Outbox) -> None:
    outbox.keep(reading(1))
    (row,) = outbox.unconfirmed(10)
    assert row.seq == 1
    assert decode_stored_reading(row.body) == reading(1)


def test_readings_are_there_after_closing_and_opening(path: Path) -> None:
    with Outbox(path, now=NOW) as first:
        first.keep(reading(1))
    with Outbox(path, now=NOW) as second:
        assert second.epoch == first.epoch
        assert [row.seq for row in second.unconfirmed(10)] == [1]
        assert second.keep(reading(2)) == 2


def test_another_file_has_another_epoch(outbox: Outbox, tmp_path: Path) -> None:
    with Outbox(tmp_path / "other.sqlite", now=NOW) as other:
        assert other.epoch != outbox.epoch
        assert len(other.epoch) == 16


def test_the_file_is_written_as_measured_to_lose_nothing(outbox: Outbox) -> None:
    pragma = {name: outbox._db.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert pragma == {"journal_mode": "wal", "synchronous": 2}


def test_a_receipt_confirms_up_to_its_watermark(outbox: Outbox) -> None:
    for n in range(5):
        outbox.keep(reading(n))
    assert outbox.apply(_receipt(outbox, 3), now=NOW) == 3
    assert [row.seq for row in outbox.unconfirmed(10)] == [4, 5]


def test_a_receipt_confirms_what_it_names_beyond_the_watermark(outbox: Outbox) -> None:
    for n in range(5):
        outbox.keep(reading(n))
    assert outbox.apply(_receipt(outbox, 1, extra=(3, 5)), now=NOW) == 3
    assert [row.seq for row in outbox.unconfirmed(10)] == [2, 4]


def test_a_rejected_reading_is_kept_with_its_reason_and_not_sent_again(outbox: Outbox) -> None:
    for n in range(2):
        outbox.keep(reading(n))
    rejected = _receipt(outbox, 2, rejected=(Rejection(seq=1, reason="unknown_meter"),))
    assert outbox.apply(rejected, now=NOW) == 2
    assert outbox.unconfirmed(10) == []
    counts = outbox.counts()
    assert (counts.kept, counts.confirmed, counts.rejected) == (2, 1, 1)
    body, reason = outbox._db.execute("select body, rejected_reason from reading where seq = 1").fetchone()
    assert reason == "unknown_meter"
    assert decode_stored_reading(body) == reading(0)


def test_a_refusal_that_a_watermark_has_overtaken_still_counts(outbox: Outbox) -> None:
    outbox.keep(reading(1))
    outbox.apply(_receipt(outbox, 1), now=NOW)
    refusal = _receipt(outbox, 0, rejected=(Rejection(seq=1, reason="unknown_meter"),))
    assert outbox.apply(refusal, now=NOW) == 1
    counts = outbox.counts()
    assert (counts.confirmed, counts.rejected, counts.answered) == (0, 1, 1)
    assert outbox.apply(refusal, now=NOW) == 0


def test_the_same_receipt_twice_changes_nothing(outbox: Outbox) -> None:
    outbox.keep(reading(1))
    assert outbox.apply(_receipt(outbox, 1), now=NOW) == 1
    assert outbox.apply(_receipt(outbox, 1), now=NOW) == 0


def test_an_older_receipt_unconfirms_nothing(outbox: Outbox) -> None:
    for n in range(3):
        outbox.keep(reading(n))
    outbox.apply(_receipt(outbox, 3), now=NOW)
    outbox.apply(_receipt(outbox, 1), now=NOW)
    assert outbox.counts().unconfirmed == 0


@pytest.mark.parametrize(
    "named",
    [
        {"epoch": "0123456789abcdef", "upto": 1},
        {"upto": 2},
        {"upto": 0, "extra": (2,)},
        {"upto": 1, "extra": (9_000,)},
        {"upto": 1, "rejected": (Rejection(seq=2, reason="range"),)},
        {"upto": 1, "missing": ((1, 2),)},
    ],
    ids=[
        "another epoch",
        "future watermark",
        "future extra",
        "right watermark, future extra",
        "future rejection",
        "future span",
    ],
)
def test_a_receipt_that_cannot_be_about_these_readings_is_ignored_and_counted(
    outbox: Outbox, named: dict[str, object]
) -> None:
    outbox.keep(reading(1))
    assert outbox.apply(Receipt(**({"epoch": outbox.epoch} | named)), now=NOW) == 0  # type: ignore[arg-type]
    assert outbox.counts().unconfirmed == 1
    assert outbox.counts().ignored_receipts == 1
    is_ours = "epoch" not in named
    assert (outbox.counts().beyond > 1) is is_ours
    outbox.apply(Receipt(epoch=outbox.epoch, upto=1), now=NOW)
    assert outbox.counts().beyond == 0


def test_a_full_outbox_refuses_loudly_and_overwrites_nothing(path: Path) -> None:
    with Outbox(path, now=NOW, max_unconfirmed=2) as outbox:
        outbox.keep(reading(1))
        outbox.keep(reading(2))
        with pytest.raises(OutboxFullError, match="check the network"):
            outbox.keep(reading(3))
        assert [row.seq for row in outbox.unconfirmed(10)] == [1, 2]


def test_a_full_outbox_still_knows_a_repeat_and_takes_readings_again_after_a_receipt(path: Path) -> None:
    with Outbox(path, now=NOW, max_unconfirmed=1) as outbox:
        outbox.keep(reading(1))
        assert outbox.keep(reading(1)) is None
        outbox.apply(_receipt(outbox, 1), now=NOW)
        assert outbox.keep(reading(2)) == 2


def test_a_confirmed_body_goes_after_thirty_days_and_not_before(outbox: Outbox) -> None:
    for n in range(2):
        outbox.keep(reading(n))
    outbox.apply(_receipt(outbox, 1), now=NOW)
    assert outbox.purge(now=NOW + KEPT_AFTER_RECEIPT - timedelta(seconds=1)) == 0
    assert outbox.purge(now=NOW + KEPT_AFTER_RECEIPT + timedelta(seconds=1)) == 1
    assert [row.seq for row in outbox.unconfirmed(10)] == [2]


def test_a_body_confirmed_while_the_box_believed_it_was_1970_is_not_thirty_days_old(outbox: Outbox) -> None:
    outbox.keep(reading(1))
    outbox.apply(_receipt(outbox, 1), now=NOW - timedelta(days=20_000))
    assert outbox.purge(now=NOW + timedelta(days=1)) == 0
    assert outbox.purge(now=NOW + timedelta(days=31)) == 1


def test_a_purged_reading_is_still_known_as_a_repeat(outbox: Outbox) -> None:
    outbox.keep(reading(1))
    outbox.apply(_receipt(outbox, 1), now=NOW)
    outbox.purge(now=NOW + timedelta(days=31))
    assert outbox.keep(reading(1)) is None
    assert (outbox.knows(reading(1).reading_id), outbox.knows(reading(2).reading_id)) == (True, False)
    assert outbox.keep(reading(2)) == 2


def test_an_unconfirmed_or_rejected_body_is_never_purged(outbox: Outbox) -> None:
    outbox.keep(reading(1))
    outbox.keep(reading(2))
    outbox.reject(2, "oversize")
    assert outbox.purge(now=NOW + timedelta(days=3650)) == 0


def test_a_file_of_a_newer_build_is_refused_and_left_as_it_is(path: Path) -> None:
    Outbox(path, now=NOW).close()
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 3")
    db.close()
    before = path.read_bytes()
    with pytest.raises(OutboxVersionError, match="install the newer build again"):
        Outbox(path, now=NOW)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not SQLite at all, only words that go on for longer than a header " * 4, None])
def test_a_file_that_is_no_outbox_is_refused_and_left_as_it_is(path: Path, content: bytes | None) -> None:
    path.parent.mkdir()
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("create table diary (entry text)")
        db.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(OutboxVersionError, match="not an outbox"):
        Outbox(path, now=NOW)
    assert path.read_bytes() == before


def test_a_creation_that_was_cut_short_starts_anew(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Outbox(path, now=NOW) as outbox:
        assert outbox.keep(reading(1)) == 1


def test_one_process_to_an_outbox(outbox: Outbox, path: Path) -> None:
    assert is_locked(path)
    with pytest.raises(OutboxBusyError, match="stop that one first"):
        Outbox(path, now=NOW)
    outbox.keep(reading(1))  # the first one is not disturbed


def test_a_closed_outbox_is_free_again(path: Path) -> None:
    assert not is_locked(path)
    Outbox(path, now=NOW).close()
    assert not is_locked(path)


def test_a_frame_set_aside_twice_is_kept_once_and_counted(outbox: Outbox) -> None:
    assert _aside(outbox)
    assert not _aside(outbox)
    assert _aside(outbox, reason="flags")
    assert outbox.counts().quarantined == 2
    times = outbox._db.execute("select times from quarantine where reason = 'frame_length'").fetchone()[0]
    assert times == 2


def test_the_quarantine_has_a_bound(outbox: Outbox) -> None:
    rows = [("range", "", f"M{n % 100}", "2a35", n.to_bytes(4, "big"), "t", "t") for n in range(MAX_QUARANTINED)]
    outbox._db.execute("begin")
    outbox._db.executemany(
        "insert into quarantine (reason, detail, meter_id, characteristic, raw, first_at, last_at) values (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    outbox._db.execute("commit")
    assert not _aside(outbox, raw=b"one more")
    assert outbox.counts().quarantined == MAX_QUARANTINED


def test_strangers_cannot_fill_the_quarantine_whatever_they_call_themselves(outbox: Outbox) -> None:
    rows = [("range", "", f"M{n}", "2a35", b"x", "t", "t") for n in range(MAX_QUARANTINED_OF_STRANGERS)]
    outbox._db.execute("begin")
    outbox._db.executemany(
        "insert into quarantine (reason, detail, meter_id, characteristic, raw, first_at, last_at) values (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    outbox._db.execute("commit")
    assert not _aside(outbox, raw=b"of nobody we know")
    outbox.remember(MeterMemory(meter_id=METER), now=NOW)
    assert _aside(outbox, raw=b"of a meter that was read")


def _flood(outbox: Outbox, readings: int) -> None:
    """Somebody else's readings wait, in one transaction."""
    body = encode_reading(msgspec.structs.replace(reading(1), meter_id="F0:00:00:00:00:66"))
    rows = [(seq, seq.to_bytes(16, "big"), body, "t") for seq in range(1, readings + 1)]
    outbox._db.execute("begin")
    outbox._db.executemany("insert into reading (seq, reading_id, body, kept_at) values (?, ?, ?, ?)", rows)
    outbox._db.execute("commit")


def test_a_meter_that_floods_a_box_without_network_leaves_room_to_the_others(path: Path) -> None:
    bound = LAST_ROOM + LAST_ROOM_OF_ONE
    with Outbox(path, now=NOW, max_unconfirmed=bound) as outbox:
        _flood(outbox, bound - LAST_ROOM)
        with pytest.raises(OutboxFullError, match="for the others"):
            outbox.keep(msgspec.structs.replace(reading(2), meter_id="F0:00:00:00:00:66"))
        assert outbox.keep(reading(3)) == bound - LAST_ROOM + 1
        assert outbox.givers() == {METER, "F0:00:00:00:00:66"}


def test_one_meter_has_all_the_room_there_is_until_the_last(path: Path) -> None:
    bound = LAST_ROOM + LAST_ROOM_OF_ONE + 1
    with Outbox(path, now=NOW, max_unconfirmed=bound) as outbox:
        _flood(outbox, LAST_ROOM_OF_ONE)
        assert outbox.keep(msgspec.structs.replace(reading(2), meter_id="F0:00:00:00:00:66")) == LAST_ROOM_OF_ONE + 1


def test_what_is_remembered_of_meters_has_a_bound_and_the_oldest_goes(outbox: Outbox) -> None:
    for n in range(MAX_REMEMBERED + 3):
        outbox.remember(MeterMemory(meter_id=f"M{n}", highest_sequence=n), now=NOW + timedelta(seconds=n))
    assert len(outbox.remembered()) == MAX_REMEMBERED
    assert outbox.recall("M2").highest_sequence is None
    assert outbox.recall("M3").highest_sequence == 3
    settings = outbox._db.execute("select count(*) from setting").fetchone()[0]
    assert settings == MAX_REMEMBERED


def test_one_meter_cannot_fill_the_quarantine(outbox: Outbox) -> None:
    for n in range(MAX_QUARANTINED_OF_ONE):
        assert _aside(outbox, raw=n.to_bytes(4, "big"))
    assert not _aside(outbox, raw=b"one more")
    assert not _aside(outbox, raw=(0).to_bytes(4, "big")), "seen before: counted"
    assert outbox.set_aside(
        reason="range", detail="", meter_id="another", characteristic="2a35", raw=b"one more", now=NOW
    )


def test_a_held_reading_waits_for_its_time_and_is_then_sent(outbox: Outbox) -> None:
    unbelieved = Unbelieved(boot_id="boot-1", since_boot_s=12.5, evidence=evidence())
    assert outbox.keep(reading(1), unbelieved=unbelieved) == 1
    assert outbox.unconfirmed(10) == []
    (held,) = outbox.held(10)
    assert (held.seq, held.reading, held.unbelieved) == (1, reading(1), unbelieved)

    later = reading(1, at=NOW + timedelta(hours=1))
    outbox.settle(1, later)
    assert outbox.held(10) == []
    assert decode_stored_reading(outbox.unconfirmed(10)[0].body) == later


def test_a_receipt_cannot_confirm_what_is_held(outbox: Outbox) -> None:
    outbox.keep(reading(1), unbelieved=Unbelieved(boot_id="b", since_boot_s=1.0, evidence=evidence()))
    assert outbox.apply(_receipt(outbox, 1), now=NOW) == 0
    assert outbox.counts().held == 1


def test_a_meter_is_remembered(outbox: Outbox) -> None:
    assert outbox.recall(METER) == MeterMemory(meter_id=METER)
    memory = MeterMemory(meter_id=METER, highest_sequence=7, about={"model": "HV-GL1"}, battery_percent=87)
    outbox.remember(memory, now=NOW)
    assert outbox.recall(METER) == memory


def test_a_setting_is_remembered(outbox: Outbox) -> None:
    assert outbox.setting("zone") is None
    outbox.set_setting("zone", "Asia/Shanghai")
    outbox.set_setting("zone", "Asia/Urumqi")
    assert outbox.setting("zone") == "Asia/Urumqi"


def test_the_counts_can_be_read_while_a_gateway_runs(outbox: Outbox, path: Path) -> None:
    outbox.keep(reading(1))
    assert read_counts(path) == outbox.counts()


def test_every_reading_is_in_exactly_one_count(outbox: Outbox) -> None:
    for n in range(6):
        outbox.keep(reading(n))
    outbox.apply(_receipt(outbox, 2, extra=(5,), rejected=(Rejection(seq=4, reason="range"),)), now=NOW)
    counts = outbox.counts()
    assert counts.kept == counts.unconfirmed + counts.confirmed + counts.rejected == 6
