"""The only place in the gateway that reads a clock.

A Raspberry Pi has no battery-backed clock: until the network has told it the time it may say anything. So the wall clock
comes with a judgement (`is_believable`), and with a count of seconds since boot that nobody sets.
"""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

RELEASED_AT: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""No clock of a running gateway can rightly be before the day when this build was made."""

_TIME_ERROR: Final = 5
"""What adjtimex(2) returns while the kernel's clock is not synchronised."""
_SIZE_OF_TIMEX: Final = 256
"""struct timex is 208 bytes on 64-bit Linux; zeroed, it asks for the state and changes nothing."""


_STEP: Final = timedelta(minutes=1)
"""How far a clock that is being steered may go back without being doubted."""


def _now() -> datetime:
    return datetime.now(UTC)


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _is_synchronised() -> bool:
    libc = ctypes.CDLL(None)
    state = int(libc.adjtimex(ctypes.create_string_buffer(_SIZE_OF_TIMEX)))
    return 0 <= state < _TIME_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The box's clocks; tests and simulations give their own functions.

    `now`: the wall clock, aware, in UTC. `since_boot_s`: seconds since this boot, suspend included, never set. `boot_id`:
    names this boot; two values of `since_boot_s` compare only within one boot. `is_synchronised`: whether the kernel says
    that something (NTP) keeps its clock right; False where it cannot say.
    """

    now: Callable[[], datetime] = _now
    since_boot_s: Callable[[], float] = _since_boot_s
    boot_id: Callable[[], str] = _boot_id
    is_synchronised: Callable[[], bool] = _is_synchronised

    def is_believable(self, floor: datetime | None) -> bool:
        """Whether the wall clock can be believed now; see the function of this name."""
        return is_believable(self.now(), floor, synchronised=self.is_synchronised())

    def timeline(self, *, is_believed: bool) -> "Timeline":
        """The instants of a session that begins now."""
        return Timeline(clock=self, began_at=self.now(), began_s=self.since_boot_s(), is_believed=is_believed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The instants of one session with a meter. If the wall clock is set in the middle of it (the network has told the time),
    they go on as they began: what was read together is compared together, and `is_believed` is the judgement of all of it."""

    clock: Clock
    began_at: datetime
    began_s: float
    is_believed: bool

    def now(self) -> datetime:
        """The wall clock, or where it would be by now had it not been set."""
        wall, steady = self.clock.now(), self.began_at + timedelta(seconds=self.clock.since_boot_s() - self.began_s)
        return wall if abs(wall - steady) <= _STEP else steady


def is_believable(now: datetime, floor: datetime | None, *, synchronised: bool) -> bool:
    """Whether `now` can be the time. `floor` is the newest instant that the outbox knows.

    A synchronised clock outvotes the floor: otherwise one leap into the future would make every later instant unbelievable.
    """
    if now < RELEASED_AT:
        return False
    return synchronised or floor is None or now >= floor - _STEP
