"""Small disks that can be filled to the last byte: a tmpfs each, mounted for one trial."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

MNT_DETACH: Final = 2
BLOCK: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """A file system of its own in `folder`."""

    folder: Path

    def fill(self, *, but: int = 0) -> None:
        """Leave `but` bytes free, whoever else writes meanwhile."""
        self.empty()
        with self._ballast.open("wb") as file:
            while (free := self.free() - but) >= BLOCK:
                self._take(file.fileno(), free // BLOCK * BLOCK)

    def free(self) -> int:
        facts = os.statvfs(self.folder)
        return facts.f_bavail * facts.f_frsize

    def _take(self, fd: int, size: int) -> None:
        while size >= BLOCK:
            try:
                os.posix_fallocate(fd, os.fstat(fd).st_size, size)
            except OSError:
                size //= 2
            else:
                return

    def empty(self) -> None:
        """Take the ballast away: what a person does who frees some space."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """A disk of `size` bytes mounted at `folder`, which is made, until the context ends. Raises OSError where that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    _call("mount", b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={size},mode=0711".encode())
    try:
        yield SmallDisk(folder=folder)
    finally:
        _call("umount2", str(folder).encode(), MNT_DETACH)
        with suppress(OSError):
            folder.rmdir()


@cache
def why_not() -> str | None:
    """Why no small disk can be mounted here, or None."""
    folder = Path(tempfile.mkdtemp(prefix="homevigil-"))
    try:
        with small_disk(folder / "disk", 1 << 20):
            return None
    except OSError as e:
        return f"a small disk to fill cannot be mounted ({e.strerror}): run as root, in a container with --cap-add SYS_ADMIN"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _call(name: str, *arguments: bytes | int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, name):
        raise OSError(0, f"this system has no {name}")
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
