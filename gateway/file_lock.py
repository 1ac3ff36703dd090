"""One gateway process to an outbox file: a lock that the kernel drops when its holder dies, however it dies."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from gateway.errors import OutboxBusyError


class FileLock:
    """Held from construction to `release`. Two gateways must never number readings in one file."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            os.close(self._fd)
            raise OutboxBusyError(f"{path} is in use by another gateway process; stop that one first") from e

    def release(self) -> None:
        os.close(self._fd)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of this file now."""
    if not path.exists():
        return False
    try:
        FileLock(path).release()
    except OutboxBusyError:
        return True
    return False


def make_directory(directory: Path) -> None:
    """Make the folder and what is missing above it, each name durable: a power cut could take a folder with all that is in it."""
    directory = directory.absolute()
    if not directory.parent.exists():
        make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    with suppress(PermissionError):  # above a folder that somebody else made for us we may have nothing to read
        sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Without it a power cut may bring back the directory of before: a file that was never made."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
