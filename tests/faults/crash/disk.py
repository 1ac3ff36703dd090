"""A disk that loses power: from the calls that a program made, the folders that it may find afterwards.

Until a file is synced, each of its writes may be on the disk or not, in any order, and a write may be torn between sectors.
For the names in a folder there are two worlds. In `ext4` they reach the disk in order, and the sync of a new or a grown file
takes all earlier ones along. In `strict` (POSIX and no more) a name is sure only after a sync of its own folder. Nothing
here knows SQLite. A controller that lies about a flush is not modelled: no program can survive that by itself.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

SECTOR: Final = 512
"""What a disk writes whole or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Bytes put into a file at an offset."""

    name: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """A file cut or extended to `size`; `grows_only` for room set aside, which never cuts."""

    name: str
    size: int
    grows_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """A file or a folder whose sync has returned. `content_only` is fdatasync: names are taken along only where it must."""

    name: str
    content_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A new, empty file or folder."""

    name: str
    is_folder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """A name that goes."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """A name that takes the place of another."""

    name: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Nothing on the disk: the program says where it is."""

    text: str


Call = Write | Resize | Sync | Create | Remove | Rename | Mark


class World(StrEnum):
    """How names reach the disk."""

    EXT4 = "ext4"
    STRICT = "strict"


class Way(StrEnum):
    """What becomes of what was not synced."""

    DROPPED = "dropped"
    KEPT = "kept"
    HALF = "half"
    TORN = "torn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file's bytes; beyond `content` it is zeros up to `size`."""

    content: bytes
    size: int


Folder = Mapping[str, Stored | None]
"""What is found after the power is back: by name, None for a folder."""


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    size: int = 0
    unsynced: list[Write | Resize] = field(default_factory=list)
    has_grown: bool = True
    volatile_size: int = 0

    def settle(self) -> None:
        for change in self.unsynced:
            self.size = _apply(self.durable, self.size, change)
        self.unsynced.clear()
        self.has_grown = False

    def left(self, way: Way, rng: random.Random) -> Stored:
        if way is Way.DROPPED or not self.unsynced:
            return Stored(content=bytes(self.durable), size=self.size)
        content, size = bytearray(self.durable), self.size
        for change in self.unsynced:
            for part in _parts(change, way, rng):
                size = _apply(content, size, part)
        return Stored(content=bytes(content), size=size)


def _apply(content: bytearray, size: int, change: Write | Resize) -> int:
    """Change `content`, and return the size that the file now has."""
    if isinstance(change, Write):
        end = change.offset + len(change.content)
        content.extend(bytes(max(0, end - len(content))))
        content[change.offset : end] = change.content
    elif not change.grows_only:
        del content[change.size :]
    return _size_after(size, change)


def _size_after(size: int, change: Write | Resize) -> int:
    if isinstance(change, Write):
        return max(size, change.offset + len(change.content))
    return max(size, change.size) if change.grows_only else change.size


def _parts(change: Write | Resize, way: Way, rng: random.Random) -> Iterator[Write | Resize]:
    """What is left of one change that was not synced."""
    if way is Way.KEPT or (way is Way.HALF and rng.random() < 0.5):
        yield change
    elif way is Way.TORN and isinstance(change, Resize):
        if rng.random() < 0.5:
            yield change
    elif way is Way.TORN:
        at, end = change.offset, change.offset + len(change.content)
        while at < end:
            to = min(end, (at // SECTOR + 1) * SECTOR)
            if rng.random() < 0.5:
                yield Write(
                    name=change.name, offset=at, content=change.content[at - change.offset : to - change.offset]
                )
            at = to


_Names = dict[str, int | None]
"""Which file a name is; None for a folder."""


@dataclass(frozen=True, slots=True)
class _NameChange:
    name: str
    file: int | None
    is_gone: bool = False
    renamed_to: str | None = None


class Disk:
    """Calls in, folders out. Names are paths relative to the root, which itself is always there."""

    def __init__(self, at_first: Folder) -> None:
        self._files: list[_File] = []
        self._names: _Names = {}
        for name, stored in at_first.items():
            self._names[name] = None if stored is None else self._new_file(stored)
        self._durable: dict[World, _Names] = {world: dict(self._names) for world in World}
        self._unsynced: dict[World, list[_NameChange]] = {world: [] for world in World}

    def make(self, call: Call) -> None:
        """What the program did next."""
        match call:
            case Write() | Resize():
                self._change(call)
            case Sync():
                self._sync(call)
            case Create():
                if call.name not in self._names:
                    self._rename(_NameChange(call.name, None if call.is_folder else self._new_file()))
            case Remove():
                self._rename(_NameChange(call.name, None, is_gone=True))
            case Rename():
                self._rename(_NameChange(call.name, self._names[call.name], renamed_to=call.to))
            case Mark():
                pass

    def after_power_cut(self, world: World, way: Way, rng: random.Random) -> dict[str, Stored | None]:
        """What is there when the power comes back. Only HALF and TORN throw the die."""
        names = dict(self._durable[world])
        for change in self._names_left(world, way, rng):
            _apply_name(names, change)
        there: dict[str, Stored | None] = {}
        for name in sorted(names):
            file = names[name]
            if all(str(parent) in there for parent in PurePosixPath(name).parents if str(parent) != "."):
                there[name] = None if file is None else self._files[file].left(way, rng)
        return there

    def _new_file(self, stored: Stored | None = None) -> int:
        if stored is None:
            self._files.append(_File())
        else:
            size = stored.size
            self._files.append(_File(bytearray(stored.content), size, has_grown=False, volatile_size=size))
        return len(self._files) - 1

    def _file(self, name: str) -> _File:
        file = self._names[name]
        assert file is not None, f"{name} is a folder"
        return self._files[file]

    def _change(self, call: Write | Resize) -> None:
        file = self._file(call.name)
        size = _size_after(file.volatile_size, call)
        file.has_grown |= size != file.volatile_size
        file.volatile_size = size
        file.unsynced.append(call)

    def _sync(self, call: Sync) -> None:
        if call.name == "." or self._names[call.name] is None:
            self._sync_names(World.EXT4)
            self._sync_names(World.STRICT, folder=call.name)
            return
        file = self._file(call.name)
        if file.has_grown or not call.content_only:
            self._sync_names(World.EXT4)
        file.settle()

    def _rename(self, change: _NameChange) -> None:
        _apply_name(self._names, change)
        for unsynced in self._unsynced.values():
            unsynced.append(change)

    def _sync_names(self, world: World, *, folder: str | None = None) -> None:
        waiting = []
        for change in self._unsynced[world]:
            if folder is None or str(PurePosixPath(change.name).parent) == folder:
                _apply_name(self._durable[world], change)
            else:
                waiting.append(change)
        self._unsynced[world] = waiting

    def _names_left(self, world: World, way: Way, rng: random.Random) -> Sequence[_NameChange]:
        unsynced = self._unsynced[world]
        if way is Way.DROPPED:
            return ()
        if way is Way.KEPT:
            return unsynced
        if world is World.EXT4:
            return unsynced[: rng.randint(0, len(unsynced))]
        return [change for change in unsynced if rng.random() < 0.5]


def _apply_name(names: _Names, change: _NameChange) -> None:
    if change.is_gone or change.renamed_to is not None:
        names.pop(change.name, None)
    if change.renamed_to is not None:
        names[change.renamed_to] = change.file
    elif not change.is_gone:
        names[change.name] = change.file


def fingerprint(folder: Folder) -> bytes:
    """Equal for equal folders."""
    digest = hashlib.blake2b(digest_size=16)
    for name, stored in sorted(folder.items()):
        digest.update(f"{name}|{stored and (stored.size, len(stored.content))}|".encode())
        digest.update(b"" if stored is None else stored.content)
    return digest.digest()


def lay_out(folder: Folder, root: Path) -> None:
    """Make the files under `root`, which is empty."""
    for name, stored in sorted(folder.items()):
        path = root / name
        if stored is None:
            path.mkdir()
            continue
        with path.open("wb") as file:
            file.write(stored.content)
            file.truncate(stored.size)
