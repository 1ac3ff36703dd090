"""What `keep` has returned is there after `kill -9`, and a full disk neither loses nor overwrites nor jams."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from unit.gateway.samples import NOW, reading

from gateway.errors import OutboxFullError
from gateway.outbox import Outbox, read_counts
from gateway.spare_room import PART_BYTES
from vitals.envelope import Receipt, decode_stored_reading
from vitals.errors import UnavailableError

KEEPER = """
import itertools, sys
from pathlib import Path
from gateway.outbox import Outbox, read_counts
from unit.gateway.samples import NOW, reading
outbox = Outbox(Path(sys.argv[1]), now=NOW)
for nth in itertools.count(int(sys.argv[2])):
    seq = outbox.keep(reading(nth))
    print(f"kept {nth} {seq}", flush=True)
"""


def _keep_until_killed(path: Path, first: int, after: int) -> dict[int, int]:
    """A child keeps readings from `first` on and is killed in the middle, after at least `after`; what it said it had kept."""
    tests = str(Path(__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, str(Path(tests).parent)])}
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(path), str(first)], stdout=subprocess.PIPE, env=environment, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    said = [re.fullmatch(r"kept (\d+) (\d+)\n", line) for line in lines]
    return {int(match[1]): int(match[2]) for match in said if match}


@pytest.mark.parametrize("after", [1, 7, 60])
def test_nothing_that_keep_has_returned_is_lost_to_kill_9(tmp_path: Path, after: int) -> None:
    path = tmp_path / "outbox.sqlite"
    kept: dict[int, int] = {}
    for _ in range(3):
        kept |= _keep_until_killed(path, first=len(kept) and max(kept) + 5, after=after)
    with Outbox(path, now=NOW) as outbox:
        there = {row.seq: decode_stored_reading(row.body) for row in outbox.unconfirmed(100_000)}
    assert {seq: reading(nth) for nth, seq in kept.items()}.items() <= there.items()
    assert sorted(there) == list(range(1, len(there) + 1))


def test_a_killed_gateway_keeps_its_epoch(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    _keep_until_killed(path, first=0, after=1)
    with Outbox(path, now=NOW) as first:
        epoch = first.epoch
    _keep_until_killed(path, first=1000, after=1)
    with Outbox(path, now=NOW) as again:
        assert again.epoch == epoch


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB beyond the spare room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = 2 * PART_BYTES + 8 * 1024 * 1024
    mount = shutil.which("mount", path="/usr/bin:/bin:/usr/sbin")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)], capture_output=True, check=False
    )
    if not done or done.returncode:
        pytest.skip("cannot mount a small tmpfs; to run this: be root, in a container with CAP_SYS_ADMIN")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(disk: Path) -> None:
    """Somebody else's file takes what is left of the disk."""
    with (disk / "somebody-elses.log").open("ab", buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError:
            pass


def _keep_until_refused(outbox: Outbox, first: int) -> int:
    """The number after the last reading that was kept."""
    for nth in range(first, first + 100_000):
        try:
            outbox.keep(reading(nth))
        except OutboxFullError:
            return nth
    raise AssertionError("the disk was never full")


def test_a_full_disk_still_keeps_some_then_refuses_and_drains_and_keeps_again(small_disk: Path) -> None:
    with Outbox(small_disk / "outbox.sqlite", now=NOW) as outbox:
        outbox.keep(reading(0))
        _fill(small_disk)
        end = _keep_until_refused(outbox, 1)
        assert end > 1000, "the first part of the spare room is for keeping"
        assert outbox.counts().disk_is_full

        there = [decode_stored_reading(row.body).reading_id for row in outbox.unconfirmed(100_000)]
        assert there == [reading(nth).reading_id for nth in range(end)], "nothing kept before was touched"

        assert outbox.apply(Receipt(epoch=outbox.epoch, upto=end), now=NOW) == end, "the last part is for draining"
        assert outbox.counts().unconfirmed == 0

        (small_disk / "somebody-elses.log").unlink()
        outbox.keep(reading(end))
        outbox.purge(now=NOW)
        assert not outbox.counts().disk_is_full, "spare room is set aside again once there is room"


def test_a_gateway_that_starts_on_a_full_disk_keeps_and_drains(small_disk: Path) -> None:
    path = small_disk / "outbox.sqlite"
    with Outbox(path, now=NOW) as outbox:
        outbox.keep(reading(0))
    _fill(small_disk)
    with Outbox(path, now=NOW) as again:  # there is no room even for the index of the journal
        assert again.counts().disk_is_full
        assert again.keep(reading(1)) == 2
        assert again.apply(Receipt(epoch=again.epoch, upto=2), now=NOW) == 2


def test_a_power_cut_while_the_outbox_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    """SQLite switches to its journal through a transaction; half of it must not lock the gateway out for ever."""
    making, found = tmp_path / "making.sqlite", tmp_path / "outbox.sqlite"
    with closing(sqlite3.connect(making, isolation_level=None)) as db:
        db.execute("pragma cache_size = 1")
        db.execute("begin")
        db.execute("create table half (made blob)")
        db.executemany("insert into half values (?)", [(bytes(4000),)] * 20)
        shutil.copy(making, found)
        shutil.copy(f"{making}-journal", f"{found}-journal")
    with pytest.raises(UnavailableError):
        read_counts(found)
    with Outbox(found, now=NOW) as outbox:
        assert outbox.keep(reading(0)) == 1


def test_what_a_full_disk_held_is_there_after_a_restart(small_disk: Path) -> None:
    path = small_disk / "outbox.sqlite"
    with Outbox(path, now=NOW) as outbox:
        _fill(small_disk)
        end = _keep_until_refused(outbox, 0)
    with Outbox(path, now=NOW) as again:
        assert len(again.unconfirmed(100_000)) == end
