"""The only place in this room that reads the clock of this machine, and asks for its zone."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def now() -> datetime:
    return datetime.now(UTC)


def now_ns() -> int:
    """Nanoseconds since 1970: the same clock in every process of this machine, so that a journey can be timed across them."""
    return time.time_ns()


def zone_here() -> str:
    """The name of this machine's zone, by TZ or /etc/localtime; UTC where neither says one."""
    target = Path("/etc/localtime").resolve().as_posix()
    for name in (os.environ.get("TZ", ""), target.partition("/zoneinfo/")[2]):
        try:
            if name:
                return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return "UTC"
