"""The part of a session that is about a meter which only shows what it sees: one reading a visit, of a stretch that is steady.

Every second is a frame, none has a time, and a finger just put in and one about to be taken out are among them. So it watches
until the meter has had time to settle, looks for the last stretch in which the frames were good and agreed, and keeps the one in
its middle exactly as it was sent. No mean is made: a reading is decodable from its bytes. Who takes the finger out early leaves
the last such stretch; a finger that never lies still has given nothing, and that is no failure.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from gateway.sessions import unasked
from gateway.sessions.commands import Script, set_aside, subscribe, wait
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.unasked import Decode
from vitals.errors import MalformedError
from vitals.gatt.link import Disconnected, Notified

FRAMES: Final = 8
"""A stretch: with one a second, as long as the average that such a meter shows, and longer than the five seconds for which the
NHS wants a number unchanged (COVID Oximetry @home, patient leaflet; the length is an engineering choice)."""
WATCH_S: Final = 90.0
"""How long a meter is watched; then somebody else may need the worker (engineering choice)."""
REST_S: Final = 600.0
"""After a reading. A finger that is left in is no new measurement every minute (engineering choice)."""
SET_ASIDE_AT_MOST: Final = 3
"""Frames a visit that cannot be decoded and are set aside: the fortieth of a stream says what the first has said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What is shown as `characteristic`.

    `numbers`: those of a frame that the meter stands by, exactly as sent, the one by which frames agree first; None for a frame
    that does not count. `agree_within`: between the highest and the lowest of that number. `settles`: after so many frames.
    """

    characteristic: str
    numbers: Callable[[bytes], tuple[Decimal, ...] | None]
    decode: Decode
    agree_within: Decimal
    settles: int = FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How a visit ended. `was_steady`: one frame was kept."""

    is_linked: bool
    was_steady: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Good:
    raw: bytes
    at: datetime
    numbers: tuple[Decimal, ...]


def collect(stream: Stream, clock: MeterClock | None) -> Script[Watched]:
    """Watch until what is shown is settled and steady, and keep one frame of the last steady stretch."""
    watched = _Watch(stream)
    now = (yield from subscribe(stream.characteristic)).at
    until = now + timedelta(seconds=WATCH_S)
    is_linked = True
    while is_linked and now < until and not watched.is_over:
        heard = yield from wait((until - now).total_seconds())
        now = heard.at
        match heard.event:
            case Disconnected():
                is_linked = False
            case Notified(characteristic=each, value=raw) if each == stream.characteristic:
                yield from watched.take(raw, now)
            case _:
                pass
    if (kept := watched.middle) is not None:
        yield from unasked.take(
            stream.characteristic, kept.raw, stream.decode, received_at=kept.at, clock=clock, is_live=True
        )
    return Watched(is_linked=is_linked, was_steady=kept is not None)


@dataclass(slots=True)
class _Watch:
    """One visit: what has been shown, and the middle of the last steady stretch."""

    stream: Stream
    shown: int = 0
    unread: int = 0
    in_a_row: deque[_Good] = field(default_factory=lambda: deque(maxlen=FRAMES))
    middle: _Good | None = None

    @property
    def is_over(self) -> bool:
        return self.shown >= self.stream.settles and self._is_steady

    @property
    def _is_steady(self) -> bool:
        numbers = [each.numbers[0] for each in self.in_a_row]
        return len(numbers) == FRAMES and max(numbers) - min(numbers) <= self.stream.agree_within

    def take(self, raw: bytes, at: datetime) -> Script[None]:
        self.shown += 1
        try:
            numbers = self.stream.numbers(raw)
        except MalformedError as e:
            numbers, self.unread = None, self.unread + 1
            if self.unread <= SET_ASIDE_AT_MOST:
                yield from set_aside(self.stream.characteristic, raw, e.reason, e.message)
        if numbers is None:
            self.in_a_row.clear()
            return
        self.in_a_row.append(_Good(raw=raw, at=at, numbers=numbers))
        if self._is_steady:
            self.middle = _middle(self.in_a_row)


def _middle(in_a_row: deque[_Good]) -> _Good:
    """The lower median by the numbers in their order; of equal ones the earliest."""
    return sorted(in_a_row, key=lambda each: each.numbers)[(FRAMES - 1) // 2]
