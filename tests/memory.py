"""Folders in memory for databases that need not outlive their test.

A fresh database is some thousand small files: on disk, making and dropping one costs 0.18 s of processor time, in memory 0.03,
and the suite makes more than a thousand. Where memory has no room, the disk serves.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from homevigil.embedded.postgres import temporary_folder

MEMORY: Final = Path("/dev/shm")
ROOM_BYTES: Final = 4 << 30
"""Many times what all clusters of a run hold at once; a container's usual 64 MB are too few for one."""

IN_LITTLE_ROOM: Final = ("-c", "max_wal_size=128MB", "-c", "min_wal_size=32MB")
"""Left to itself, a server keeps a gigabyte of log."""


def folder_in_memory() -> Path:
    """A new folder, short enough for sockets and open to be passed through, in memory if there is room."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM_BYTES or not os.access(MEMORY, os.W_OK):
        return temporary_folder()
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"homevigil-of-{os.getpid()}-", dir=MEMORY))
    folder.chmod(0o711)  # the server runs as another account where we are root
    return folder


def _sweep() -> None:
    """Remove what killed processes have left: nothing else gives their memory back."""
    for left in MEMORY.glob("homevigil-of-*-*"):
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
