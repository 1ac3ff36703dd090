"""The only place in the gateway that reads a clock, and where it is decided what time it is.

A Raspberry Pi has no battery-backed clock: until somebody has told it the time, its wall clock may say anything, and what it
says looks like a time. So it counts only while the kernel says that NTP keeps it right. Otherwise the time is the server's,
asked for with every status and carried on by the seconds since boot, which nobody sets. With neither, readings wait.
"""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, Self

RELEASED_AT: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""No clock of a running gateway or server can rightly be before the day when this build was made."""
OUTLIVED_AT: Final = RELEASED_AT + timedelta(days=30 * 366)
"""Nor after this: no box runs for so long without an upgrade. A server that told the last second of the year 9999 would otherwise
end us one second later, at every start."""
LONGEST_ROUND_S: Final = 30.0
"""An answer that took longer is not heeded: it may have been given at either end of that time. A round trip takes some 50 ms;
what takes minutes has waited for a connection. Half of it is the error at worst, an eighth of two minutes."""
DRIFT: Final = 1e-4
"""Seconds by which an answer becomes less sure with every second: twice what the crystal of a Raspberry Pi is off at worst."""
DIFFERS: Final = timedelta(minutes=5)
"""Of two clocks that both should be right. The same distance makes a reading one from the future (`gateway.timing`)."""

_TIME_ERROR: Final = 5
"""What adjtimex(2) returns while the kernel's clock is not synchronised."""
_SIZE_OF_TIMEX: Final = 256
"""struct timex is 208 bytes on 64-bit Linux; zeroed, it asks for the state and changes nothing."""


def _wall() -> datetime:
    return datetime.now(UTC)


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@cache
def _libc() -> ctypes.CDLL:
    """Opened once: each opening leaves classes behind that only a full collection finds."""
    return ctypes.CDLL(None)


def _is_synchronised() -> bool:
    state = int(_libc().adjtimex(ctypes.create_string_buffer(_SIZE_OF_TIMEX)))
    return 0 <= state < _TIME_ERROR


class Witness(StrEnum):
    """Who vouches for the time."""

    NTP = "ntp"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """What time it is: `now`, aware, in UTC, and who vouches for it. Without a witness it is only what the wall clock says.

    `differs_by`: the wall clock minus the server's, if the server has told; None otherwise.
    """

    now: datetime
    witness: Witness | None
    differs_by: timedelta | None = None


def tell(wall: datetime, told: datetime | None, *, is_synchronised: bool) -> Time:
    """What time it is, by the wall clock and by what the server has `told`. Pure.

    NTP is believed first: it is asked all the time, and its servers are many.
    """
    differs_by = None if told is None else wall - told
    if is_synchronised and wall >= RELEASED_AT:
        return Time(now=wall, witness=Witness.NTP, differs_by=differs_by)
    if told is not None:
        return Time(now=told, witness=Witness.SERVER, differs_by=differs_by)
    return Time(now=wall, witness=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The server's clock showed `at` somewhen between two moments of this boot, given in seconds since it."""

    at: datetime
    asked_s: float
    heard_s: float

    def now(self, since_boot_s: float) -> datetime:
        """The server's clock by now, if it was read half-way."""
        return self.at + timedelta(seconds=since_boot_s - (self.asked_s + self.heard_s) / 2)

    def within_s(self, since_boot_s: float) -> float:
        """By how much `now` may be off, either way."""
        return (self.heard_s - self.asked_s) / 2 + DRIFT * (since_boot_s - self.heard_s)

    def or_rather(self, newer: Self) -> Self:
        """The surer of the two. If both cannot be true, the server's clock has been set: the newer one."""
        apart_s = abs((newer.now(newer.heard_s) - self.now(newer.heard_s)).total_seconds())
        ours_s, theirs_s = self.within_s(newer.heard_s), newer.within_s(newer.heard_s)
        return newer if theirs_s <= ours_s or apart_s > ours_s + theirs_s else self


@dataclass(slots=True, kw_only=True)
class Clock:
    """The box's clocks; tests and simulations give their own functions.

    `wall`: the wall clock, aware, in UTC, right or not. `since_boot_s`: seconds since this boot, suspend included, never set.
    `boot_id`: names this boot; two values of `since_boot_s` compare only within one boot. `is_synchronised`: whether the kernel
    says that something (NTP) keeps its clock right; False where it cannot say.
    """

    wall: Callable[[], datetime] = _wall
    since_boot_s: Callable[[], float] = _since_boot_s
    boot_id: Callable[[], str] = _boot_id
    is_synchronised: Callable[[], bool] = _is_synchronised
    _answer: Answer | None = field(default=None, init=False)

    def time(self) -> Time:
        """What time it is, and who says so."""
        told = None if self._answer is None else self._answer.now(self.since_boot_s())
        return tell(self.wall(), told, is_synchronised=self.is_synchronised())

    def now(self) -> datetime:
        """What time it is, as far as that is known."""
        return self.time().now

    def is_believable(self) -> bool:
        """Whether anybody vouches for `now`."""
        return self.time().witness is not None

    def question(self) -> str:
        """What the server is to send back with its time: when it was asked, in this boot, whatever process hears the answer."""
        return f"{self.boot_id()} {self.since_boot_s():.6f}"

    def learn(self, question: str, at: datetime) -> bool:
        """Take note that the server has answered `question` with `at`; False if nothing follows from that: the question is of
        another boot, the answer took too long, or the server's clock cannot be right."""
        boot_id, _, asked = question.rpartition(" ")
        heard_s = self.since_boot_s()
        try:
            asked_s = float(asked)
        except ValueError:
            return False
        if boot_id != self.boot_id() or not 0 <= heard_s - asked_s <= LONGEST_ROUND_S:
            return False
        if not RELEASED_AT <= at < OUTLIVED_AT:
            return False
        answer = Answer(at=at, asked_s=asked_s, heard_s=heard_s)
        self._answer = answer if self._answer is None else self._answer.or_rather(answer)
        return True

    def timeline(self, *, is_believed: bool) -> "Timeline":
        """The instants of a session that begins now."""
        return Timeline(clock=self, began_at=self.now(), began_s=self.since_boot_s(), is_believed=is_believed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The instants of one session with a meter, counted from its beginning. If the time becomes known in the middle of it, they
    go on as they began: what was read together is compared together, and `is_believed` is the judgement of all of it."""

    clock: Clock
    began_at: datetime
    began_s: float
    is_believed: bool

    def now(self) -> datetime:
        """By the seconds since boot; nobody sets those."""
        return self.began_at + timedelta(seconds=self.clock.since_boot_s() - self.began_s)
