"""Disk space set aside while there is some, so that a full disk can still keep a reading and take a receipt.

On a full disk SQLite cannot even note what the server has confirmed: a full outbox could never drain itself. Two files stand
ready; the first may be given up for keeping, the last only for draining.
"""

import os
from pathlib import Path
from typing import Final

PART_BYTES: Final = 4 * 1024 * 1024
"""One part: several thousand readings, or the journal of several thousand receipts."""


class SpareRoom:
    """The two files beside the outbox."""

    def __init__(self, outbox: Path) -> None:
        self._for_keeping = Path(f"{outbox}.spare-1")
        self._for_draining = Path(f"{outbox}.spare-2")

    @property
    def is_used(self) -> bool:
        """Whether the disk has been full and some part is still missing."""
        return not (_is_whole(self._for_keeping) and _is_whole(self._for_draining))

    @property
    def was_here(self) -> bool:
        """Whether an outbox has been used at this place."""
        return self._for_keeping.exists() or self._for_draining.exists()

    def set_aside(self) -> None:
        """Make what is missing, the part for draining first; a disk that is still full leaves it for later."""
        for part in (self._for_draining, self._for_keeping):
            if not _is_whole(part) and not _fill(part):
                return

    def give_up(self, *, to_drain: bool) -> bool:
        """Free one part; False if none is left for this purpose."""
        for part in (self._for_keeping, self._for_draining) if to_drain else (self._for_keeping,):
            if part.exists():
                part.unlink()
                return True
        return False


def _is_whole(part: Path) -> bool:
    return part.exists() and part.stat().st_size == PART_BYTES


def _fill(part: Path) -> bool:
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, PART_BYTES)
    except OSError:
        part.unlink()
        return False
    finally:
        os.close(fd)
    return True
