"""A process whose wall clock is wrong, and is stepped while it runs: libfaketime between it and the C library.

Only the wall clock is wrong: seconds since boot, timeouts and the times of files stay those of the kernel. Not for programs that
call `time.sleep`: libfaketime 0.9.10 answers it with an error when it leaves the monotonic clock alone. Ours wait for events.
"""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

LIBRARY: Final = "/usr/lib/*/faketime/libfaketime.so.1"


def why_not() -> str | None:
    """Why no clock can be made wrong here, or None."""
    return None if _library() else "libfaketime is not installed (Debian: faketime)"


@dataclass(slots=True, kw_only=True)
class WrongClock:
    """The wall clock of one process over all its lives, off by `off_by`. `file` is its own."""

    file: Path
    off_by: timedelta = field(default_factory=timedelta)

    def __post_init__(self) -> None:
        self.step(self.off_by)

    def step(self, off_by: timedelta) -> None:
        """Set it, from one reading of the clock to the next."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{off_by.total_seconds():+.0f}\n")
        new.replace(self.file)
        self.off_by = off_by

    @property
    def environment(self) -> dict[str, str]:
        library = _library()
        assert library is not None, "asked before: why_not"
        return {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # its cure for an old glibc makes threads that wait for Python's lock spin
            "NO_FAKE_STAT": "1",
        }


def forget(pid: int) -> None:
    """Remove what libfaketime leaves in shared memory of a process that was killed."""
    for path in _left_by(pid):
        path.unlink(missing_ok=True)


def _left_by(pid: int) -> Iterator[Path]:
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        yield Path("/dev/shm") / name  # where it puts them


def _library() -> str | None:
    found = sorted(glob.glob(LIBRARY))  # noqa: PTH207  # a pattern from the root
    return next((path for path in found if os.access(path, os.R_OK)), None)
