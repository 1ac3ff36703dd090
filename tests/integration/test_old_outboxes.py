"""A gateway several versions old is upgraded with readings in its outbox: none is lost, altered or sent twice.

`tests/golden/outboxes` are files that the code of that time has written (the first of the repository, with version 1 of the
schema, and the first with version 2), as SQL, with a row in every state: 1 confirmed and its body gone, 2 refused by the server,
3 confirmed, 4 and 6 to 9 waiting, 5 put aside for its size, 10 waiting for a clock.
"""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from integration.test_gateway_process import gateway
from unit.gateway.far_end import far_end
from unit.gateway.samples import METER, NOW, reading

from gateway.outbox import Outbox, read_counts
from gateway.outbox_file import SCHEMA_VERSION
from homevigil.embedded.broker import EmbeddedBroker
from vitals.envelope import decode_stored_reading

GOLDEN = Path(__file__).parents[1] / "golden" / "outboxes"
GLUCOMETER = "F0:00:00:20:00:01"
SENT = {4, 5, 6, 7, 8, 9, 10}
"""What the server has not answered yet; what was put aside for its size is tried again at every start."""


@pytest.fixture(params=sorted(GOLDEN.glob("*.sql")), ids=lambda file: file.stem)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file as the power has left it: what was written last lies in its journal."""
    lived, left = tmp_path / "lived.sqlite", tmp_path / "outbox.sqlite"
    with closing(sqlite3.connect(lived, isolation_level=None)) as db:
        db.execute("pragma journal_mode = wal")
        db.executescript(request.param.read_text())
        for suffix in ("", "-wal"):
            shutil.copy(f"{lived}{suffix}", f"{left}{suffix}")
    assert Path(f"{left}-wal").stat().st_size > 0
    return left


def bodies(path: Path) -> dict[int, tuple[bytes, bytes | None]]:
    """By number: id and body of every reading."""
    with closing(sqlite3.connect(path)) as db:
        return {seq: (key, body) for seq, key, body in db.execute("select seq, reading_id, body from reading")}


def test_every_row_of_an_old_file_is_there_and_as_it_was(path: Path) -> None:
    shutil.copytree(path.parent, path.parent / "before")
    before = bodies(path.parent / "before" / path.name)
    with Outbox(path, now=NOW) as outbox:
        counts = outbox.counts()
        assert (counts.kept, counts.unconfirmed, counts.held, counts.confirmed, counts.rejected) == (10, 6, 1, 2, 2)
        assert [row.seq for row in outbox.unconfirmed(100)] == [4, 6, 7, 8, 9]
        (held,) = outbox.held(100)
        assert (held.seq, held.unbelieved.boot_id, held.unbelieved.since_boot_s) == (10, "boot-1", 12.5)
        memory = outbox.recall(GLUCOMETER)
        assert (memory.highest_sequence, memory.about, memory.battery_percent) == (9, {"manufacturer": "ACME"}, 80)
        assert outbox.setting("remembered") == "by an old build"
        assert outbox.keep(reading(1)) is None, "a repeat is known though its body is gone"
        again = {"reason": "frame_length", "detail": "two bytes", "meter_id": METER, "characteristic": "2a35"}
        assert not outbox.set_aside(**again, raw=b"\x16\x00", now=NOW)
        assert outbox.keep(reading(20)) == 11
    after = bodies(path)
    assert {seq: row for seq, row in after.items() if seq != 11} == before
    assert [seq for seq, (_, body) in before.items() if body is None] == [1]
    assert {
        seq for seq, (key, body) in before.items() if body and decode_stored_reading(body).reading_id.bytes != key
    } == set()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("pragma user_version").fetchone() == (SCHEMA_VERSION,)


def test_the_gateway_of_today_sends_what_an_old_one_has_kept_and_all_of_it_once(
    path: Path, mosquitto: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    kept = {seq: body for seq, (_, body) in bodies(path).items() if body}
    with far_end(mosquitto.host, mosquitto.port) as far:
        with gateway(path.parent, mosquitto):
            stored = far.until_stored(len(SENT), within_s=30)
            until = time.monotonic() + 30
            while read_counts(path).unconfirmed:
                assert time.monotonic() < until
                time.sleep(0.02)
        (seqs,) = far.seqs.values()
        assert seqs == SENT
        waited = {seq: decode_stored_reading(kept[seq]) for seq in SENT}
        as_kept = {each.reading_id: each for seq, each in waited.items() if seq != 10}
        assert {each.reading_id: each for each in stored if each.reading_id != waited[10].reading_id} == as_kept
        (dated,) = [each for each in stored if each.reading_id == waited[10].reading_id]
        assert (dated.measurement, dated.raw) == (waited[10].measurement, waited[10].raw)
    assert (read_counts(path).kept, read_counts(path).confirmed) == (10, 9)
