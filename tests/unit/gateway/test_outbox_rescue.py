"""A card that damages the outbox: nothing is deleted, what can be read is sent, and the box goes on collecting."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from unit.gateway.samples import METER, NOW, evidence, reading

from gateway.errors import OutboxVersionError
from gateway.outbox import Outbox
from gateway.outbox_rows import MeterMemory, Unbelieved
from vitals.envelope import Receipt, decode_stored_reading

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An outbox of 300 readings of which the clinic has ten."""
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, now=NOW) as outbox:
        for nth in range(300):
            outbox.keep(reading(nth))
        outbox.apply(Receipt(epoch=outbox.epoch, upto=10), now=NOW)
        outbox.remember(MeterMemory(meter_id=METER, about={"model": "x"}), now=NOW)
        outbox.set_setting("config", "kept")
    return path


def _damage(path: Path, page: int) -> bytes:
    content = bytearray(path.read_bytes())
    content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    path.write_bytes(content)
    return bytes(content)


def _bodies_page(path: Path) -> int:
    """A page in the middle of the file on which readings lie."""
    content = path.read_bytes()
    pages = [n for n in range(1, len(content) // PAGE) if b"measured_at" in content[n * PAGE : (n + 1) * PAGE]]
    return pages[len(pages) // 2]


def test_a_damaged_page_costs_the_readings_that_lay_on_it_and_nothing_else(path: Path) -> None:
    damaged = _damage(path, _bodies_page(path))
    with Outbox(path, now=NOW) as outbox:
        rows = outbox.unconfirmed(1000)
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), "a new epoch, dense from one"
        assert 270 <= len(rows) < 290
        found = [decode_stored_reading(row.body) for row in rows]
        assert found == [reading for reading in map(reading, range(10, 300)) if reading in found]
        assert outbox.recall(METER).about == {"model": "x"}
        assert outbox.setting("config") == "kept"
        assert outbox.keep(reading(1000)) == len(rows) + 1
    assert path.with_name("outbox.sqlite.damaged-1").read_bytes() == damaged


def test_a_file_whose_first_page_is_lost_is_known_by_what_lies_beside_it(path: Path) -> None:
    _damage(path, 0)
    with Outbox(path, now=NOW) as outbox:
        assert outbox.keep(reading(1000)) == 1
    assert path.with_name("outbox.sqlite.damaged-1").exists()


def test_a_second_damage_does_not_overwrite_what_the_first_has_left(path: Path) -> None:
    for _ in range(2):
        _damage(path, 0)
        Outbox(path, now=NOW).close()
    assert path.with_name("outbox.sqlite.damaged-2").exists()


def test_a_file_that_is_no_outbox_is_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "letters.txt"
    path.write_text("Dear Anna, " * 1000)
    with pytest.raises(OutboxVersionError, match="not been touched"):
        Outbox(path, now=NOW)
    assert [each.name for each in tmp_path.iterdir() if "damaged" in each.name] == []


def _spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


def test_a_held_reading_that_the_card_has_changed_is_not_sent_with_a_time_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, now=NOW) as outbox:
        for nth in (1, 2):
            outbox.keep(reading(nth), unbelieved=Unbelieved(boot_id="b", since_boot_s=1.0, evidence=evidence()))
    _spoil(path, "update reading set held = x'7b22' where seq = 1")
    with Outbox(path, now=NOW) as outbox:
        assert [one.seq for one in outbox.held(10)] == [2]
        assert outbox.unconfirmed(10) == []
        assert outbox.counts().unsendable == 1
        outbox.readmit()
        assert [one.seq for one in outbox.held(10)] == [2]
        assert outbox.unconfirmed(10) == []


def test_what_is_remembered_of_a_meter_and_was_changed_is_not_known(path: Path) -> None:
    _spoil(path, "update meter set about = '{\"mod'")
    _spoil(path, "update setting set value = '{' where name like 'clock of %'")
    _spoil(path, "update reading set body = x'7bff' where seq = 20")
    with Outbox(path, now=NOW) as outbox:
        assert outbox.recall(METER).about == {}
        assert [memory.about for memory, _ in outbox.remembered()] == [{}]
        assert outbox.givers() == {METER}
