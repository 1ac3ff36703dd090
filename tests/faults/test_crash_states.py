"""The instrument of ring D3: the disk forgets what a disk may forget and nothing else, and the kernel's calls are read right.

The ring itself runs in the campaign (`homevigil faults`).
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from unit.gateway.samples import reading

from faults.crash import kernel
from faults.crash.disk import (
    SECTOR,
    Call,
    Create,
    Disk,
    Folder,
    Mark,
    Remove,
    Rename,
    Resize,
    Stored,
    Sync,
    Way,
    World,
    Write,
    fingerprint,
    lay_out,
)
from faults.crash.plans import KINDS, draw
from faults.crash.steps import Keep, Open, Promises, Receive, Settle
from vitals.envelope import encode_reading

DIE = random.Random(1)


def _after(*calls: Call, world: World = World.EXT4, way: Way = Way.DROPPED, at_first: Folder | None = None) -> Folder:
    disk = Disk(at_first or {})
    for call in calls:
        disk.make(call)
    return disk.after_power_cut(world, way, DIE)


NEW = (Create(name="f"), Write(name="f", offset=0, content=b"abc"))


def test_what_is_not_synced_may_be_gone_with_its_name() -> None:
    assert _after(*NEW) == {}
    assert _after(*NEW, way=Way.KEPT) == {"f": Stored(content=b"abc", size=3)}


def test_a_synced_file_has_its_bytes_and_on_ext4_its_name_too() -> None:
    synced = (*NEW, Sync(name="f", content_only=True))
    assert _after(*synced) == {"f": Stored(content=b"abc", size=3)}
    assert _after(*synced, world=World.STRICT) == {}, "POSIX promises a name only for the sync of its folder"
    assert _after(*synced, Sync(name=".", content_only=True), world=World.STRICT).keys() == {"f"}


def test_a_folder_that_was_not_synced_takes_its_files_with_it() -> None:
    calls = (
        Create(name="d", is_folder=True),
        Create(name="d/f"),
        Sync(name="d/f", content_only=False),
        Sync(name="d", content_only=False),
    )
    assert _after(*calls, world=World.STRICT) == {}
    assert _after(*calls, Sync(name=".", content_only=False), world=World.STRICT).keys() == {"d", "d/f"}


def test_the_sync_of_an_overwritten_file_takes_no_names_along() -> None:
    at_first = {"old": Stored(content=b"xyz", size=3)}
    overwritten = (*NEW, Write(name="old", offset=0, content=b"XYZ"), Sync(name="old", content_only=True))
    assert _after(*overwritten, at_first=at_first) == {"old": Stored(content=b"XYZ", size=3)}


def test_a_removed_file_may_come_back_as_it_was_and_a_rename_is_whole() -> None:
    at_first = {"old": Stored(content=b"xyz", size=3)}
    assert _after(Remove(name="old"), at_first=at_first) == at_first
    moved = (Rename(name="old", to="new"),)
    left = {frozenset(_after(*moved, at_first=at_first, way=Way.HALF)) for _ in range(40)}
    assert left == {frozenset({"old"}), frozenset({"new"})}


def test_a_torn_write_is_whole_in_each_sector() -> None:
    at_first = {"f": Stored(content=b"-" * 4 * SECTOR, size=4 * SECTOR)}
    torn = Write(name="f", offset=100, content=b"+" * 3 * SECTOR)
    found = set()
    for _ in range(100):
        left = _after(torn, at_first=at_first, way=Way.TORN)["f"]
        assert left is not None
        sectors = [left.content[at : at + SECTOR] for at in range(0, 4 * SECTOR, SECTOR)]
        assert sectors[0] in (b"-" * SECTOR, b"-" * 100 + b"+" * (SECTOR - 100))
        assert all(len(set(sector)) == 1 for sector in sectors[1:3])
        found.add(tuple("+" in sector.decode() for sector in sectors))
    assert len(found) > 8, "sectors are torn apart, one by one"


def test_a_file_is_cut_and_grown_in_the_order_of_the_calls() -> None:
    calls = (
        *NEW,
        Resize(name="f", size=1),
        Resize(name="f", size=4),
        Resize(name="f", size=2, grows_only=True),
        Sync(name="f", content_only=True),
    )
    assert _after(*calls) == {"f": Stored(content=b"a", size=4)}


def test_equal_folders_are_recognised_and_laid_out(tmp_path: Path) -> None:
    folder: Folder = {"d": None, "d/f": Stored(content=b"ab", size=5)}
    lay_out(folder, tmp_path)
    assert (tmp_path / "d/f").read_bytes() == b"ab\0\0\0"
    assert fingerprint(folder) != fingerprint({"d": None, "d/f": Stored(content=b"ab", size=6)})


needs_strace = pytest.mark.skipif(kernel.why_not() is not None, reason=str(kernel.why_not()))


def _record(tmp_path: Path, program: str) -> list[Call]:
    root = tmp_path / "root"
    root.mkdir()
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "marks")]
    return kernel.record(command, told=b"", environment=os.environ, root=root, marks=tmp_path / "marks", at_first={})


@needs_strace
def test_every_call_to_a_file_is_read_from_the_kernel(tmp_path: Path) -> None:
    program = """
import os, sys
root, marks = sys.argv[1:]
marks = os.open(marks, os.O_WRONLY | os.O_CREAT)
os.mkdir(f"{root}/d")
f = os.open(f"{root}/d/f, \\"x\\"", os.O_RDWR | os.O_CREAT)
os.pwrite(f, b'\\0"\\n,<>', 7)
os.write(marks, b'{"said": "once"}')
os.fdatasync(f)
os.posix_fallocate(f, 0, 4096)
os.ftruncate(f, 9)
os.rename(f"{root}/d/f, \\"x\\"", f"{root}/g")
os.fsync(os.open(root, os.O_RDONLY))
os.unlink(f"{root}/g")
os.open(f"{root}/d/outbox-shm", os.O_RDWR | os.O_CREAT)
"""
    name = 'd/f, "x"'
    assert _record(tmp_path, program) == [
        Create(name="d", is_folder=True),
        Create(name=name),
        Write(name=name, offset=7, content=b'\0"\n,<>'),
        Mark(text='{"said": "once"}'),
        Sync(name=name, content_only=True),
        Resize(name=name, size=4096, grows_only=True),
        Resize(name=name, size=9),
        Rename(name=name, to="g"),
        Sync(name=".", content_only=False),
        Remove(name="g"),
    ]


@needs_strace
@pytest.mark.parametrize(
    "change",
    ["os.write(f, b'x')", "os.link(sys.argv[1] + '/f', sys.argv[1] + '/g')", "open(sys.argv[1] + '/f', 'w')"],
)
def test_a_call_that_cannot_be_rebuilt_ends_the_recording(tmp_path: Path, change: str) -> None:
    program = f"import os, sys; f = os.open(sys.argv[1] + '/f', os.O_RDWR | os.O_CREAT); {change}"
    with pytest.raises(AssertionError):
        _record(tmp_path, program)


@needs_strace
def test_a_gateway_that_falls_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _record(tmp_path, "raise SystemExit(3)")


def test_a_promise_follows_what_was_done() -> None:
    promises = Promises()
    promises.after(Open())
    promises.after(Keep(5, is_held=True))
    promises.after(Keep(6))
    items = promises.after(Receive(upto=2))
    key = reading(6).reading_id.bytes
    assert items["reading", 2] == (key, encode_reading(reading(6)), False, True, None)
    assert items["reading", 1][2:] == (True, False, None), "a receipt cannot confirm what is held"
    assert promises.after(Keep(6)) == items, "a repeat is nothing new"
    assert promises.after(Settle())["reading", 1][2:] == (False, False, None)
    assert promises.after(Receive(upto=0, missing=((1, 2),)))["reading", 2][2:] == (False, False, None)


def test_every_kind_of_workload_is_drawn_the_same_from_the_same_die() -> None:
    plans = [draw(number, random.Random(7), length=8) for number in range(len(KINDS))]
    assert len({plan.name for plan in plans}) == len(KINDS) >= 5
    assert plans == [draw(number, random.Random(7), length=8) for number in range(len(KINDS))]
