"""Which meter to read next, and which to leave in peace. Pure: the caller tells what happened and when.

An advertisement is a chance, not a presence: it grows stale within seconds. So a meter that has just been left is not heard for
a moment, one that had nothing new is asked less and less often, and one that fails waits longer each time.

A home is full of other people's: a neighbour's scale, somebody's sensor that has its own phone. What was tried in vain comes
after everybody else, and one at a time, so that a cuff that advertises for five seconds still finds a worker; what has never
given anything in several tries is a stranger, and asked rarely. Silence makes it new again: somebody may have pressed its button.

However many there are, and even if each has a name that was never heard before: a meter that has given something is read before
them and is not forgotten for them, and where there is one, everybody else leaves a worker free for it. One that does not end
until it is cut off waits like those that were tried in vain, whatever it gives.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.backoff import Backoff
from vitals.gatt.link import Advertisement

STALE_S: Final = 15.0
"""A meter not heard for so long has probably gone to sleep again. A controller may tell of each meter only once in a scan, which
Linux begins anew every 10.24 s (DISCOV_LE_TIMEOUT in net/bluetooth)."""
SETTLE_S: Final = 1.0
"""After a session many meters advertise for a moment longer, and then sleep."""
RESTED_STALE_S: Final = 2.0
"""A meter that was read, and heard only while it was left in peace, has probably gone to sleep again after so long; if it has
not, it is heard again."""
AFTER_RECORDS_S: Final = 1.0
"""A second measurement of the same sitting comes within a minute or two and must be live."""
AFTER_NOTHING: Final = Backoff(first_s=5.0, longest_s=30.0)
"""A meter that advertises without anything new: its battery is worth more than our curiosity."""
AFTER_FAILURE: Final = Backoff(first_s=2.0, longest_s=60.0)
STRANGE_AFTER: Final = 8
"""Sessions without a record, counted from the first, that make a stranger (engineering choice: pairing takes one or two)."""
AFTER_STRANGER: Final = Backoff(first_s=60.0, longest_s=900.0)
NEW_AFTER_S: Final = 60.0
"""What has been silent for so long and is heard again was switched on by somebody; who advertises all the time is heard every
few seconds."""
MAX_METERS: Final = 128
"""Meters followed at a time; a home has a few. Beyond it the one heard longest ago is forgotten, of those that have given nothing
first."""
AWAITED: Final = 8
"""As many people as the pairing desk has room for."""


class _Turn(IntEnum):
    """In which order they are read."""

    FRIEND = 1
    """Has given something, or somebody stands beside it and waits."""
    NEW = 2
    LAST = 3
    """Tried in vain, or without an end."""


@dataclass(slots=True)
class _Meter:
    advertisement: Advertisement
    heard_s: float
    is_waiting: bool = True
    is_busy: bool = False
    deaf_until_s: float = 0.0
    rest_until_s: float = 0.0
    failures: int = 0
    empty_sessions: int = 0
    tries: int = 0
    """Sessions since it was new, while it has given nothing at all."""
    has_given: bool = False
    is_awaited: bool = False
    was_endless: bool = False

    @property
    def turn(self) -> _Turn:
        if self.is_awaited:
            return _Turn.FRIEND
        if self.is_in_vain or self.was_endless:
            return _Turn.LAST
        return _Turn.FRIEND if self.has_given else _Turn.NEW

    @property
    def is_in_vain(self) -> bool:
        """Whether it was tried, and has never given a record: it may wait."""
        return self.tries > 0 and not self.has_given

    @property
    def fresh_for_s(self) -> float:
        """How long its last advertisement is worth a connection. One that fails is heard while it rests, for as long as it has
        something to give."""
        return RESTED_STALE_S if self.heard_s < self.rest_until_s and not self.failures else STALE_S

    @property
    def is_stranger(self) -> bool:
        return self.tries >= STRANGE_AFTER and not self.has_given


class Rota:
    """The meters in the air. Times are seconds of one monotonic clock."""

    def __init__(self, friends: Iterable[str] = (), *, workers: int = 2) -> None:
        """`friends`: addresses of meters that have given something before, in upper case. `workers`: as many are read at once."""
        self._workers = workers
        self._meters: dict[str, _Meter] = {}
        self._friends = frozenset(friends)
        self._awaited: deque[str] = deque(maxlen=AWAITED)

    def heard(self, advertisement: Advertisement, now_s: float) -> None:
        """A meter advertises; whether and when to read it is decided here."""
        meter = self._meters.get(advertisement.address)
        if meter is None:
            self._make_room()
            meter_id = advertisement.address.upper()
            self._meters[advertisement.address] = _Meter(
                advertisement, now_s, has_given=meter_id in self._friends, is_awaited=meter_id in self._awaited
            )
            return
        if meter.is_busy or now_s < meter.deaf_until_s:
            return
        if meter.is_in_vain and now_s - max(meter.heard_s, meter.deaf_until_s) >= NEW_AFTER_S:
            meter.tries = meter.failures = meter.empty_sessions = 0
            meter.rest_until_s = min(meter.rest_until_s, now_s)
        meter.advertisement, meter.heard_s, meter.is_waiting = advertisement, now_s, True

    def next_due(self, now_s: float) -> Advertisement | None:
        """The meter to read now, by its turn and then the longest waiting first; it is busy until `ended`."""
        for meter in sorted(self._allowed(), key=lambda m: (m.turn, m.heard_s)):
            if meter.rest_until_s > now_s:
                continue
            meter.is_waiting = False
            if now_s - meter.heard_s <= meter.fresh_for_s:
                meter.is_busy = True
                return meter.advertisement
        return None

    def _allowed(self) -> list[_Meter]:
        """Those that wait, without those that would take the last worker from a friend, or try in vain beside another."""
        meters = self._meters.values()
        has_friend = bool(self._friends) or any(m.turn is _Turn.FRIEND for m in meters)
        busy = [m.turn for m in meters if m.is_busy and m.turn is not _Turn.FRIEND]
        is_full = len(busy) >= max(1, self._workers - has_friend)
        return [
            m
            for m in meters
            if m.is_waiting and not m.is_busy
            if m.turn is _Turn.FRIEND or not (is_full or (m.turn is _Turn.LAST and _Turn.LAST in busy))
        ]

    def ended(
        self,
        address: str,
        now_s: float,
        *,
        failed: bool,
        new_records: int,
        endless: bool = False,
        fraction: float = 1.0,
        wanted_rest_s: float | None = None,
    ) -> None:
        """The session with this meter is over. `endless`: it was cut off because it would not end. `fraction` in [0, 1]
        spreads the rest after a failure; `wanted_rest_s` is for one that is there all the time and seldom has something new."""
        meter = self._meters[address]
        assert meter.is_busy, address
        meter.is_busy = meter.is_awaited = False
        meter.was_endless = endless
        if address.upper() in self._awaited:
            self._awaited.remove(address.upper())
        meter.deaf_until_s = now_s + SETTLE_S
        meter.failures = meter.failures + 1 if failed else 0
        meter.empty_sessions = 0 if failed or new_records else meter.empty_sessions + 1
        meter.has_given |= new_records > 0
        meter.tries = 0 if meter.has_given else meter.tries + 1
        if meter.is_stranger and wanted_rest_s is None:
            rest_s = AFTER_STRANGER.delay_s(meter.tries - STRANGE_AFTER + 1, fraction)
        elif failed:
            rest_s = AFTER_FAILURE.delay_s(meter.failures, fraction)
        elif wanted_rest_s is not None:
            rest_s = wanted_rest_s
        elif new_records:
            rest_s = AFTER_RECORDS_S
        else:
            rest_s = AFTER_NOTHING.delay_s(meter.empty_sessions)
        meter.rest_until_s = now_s + rest_s

    def hurry(self, meter_id: str) -> None:
        """Let this meter rest no longer, and be the next one; somebody waits for it."""
        if meter_id not in self._awaited:
            self._awaited.append(meter_id)
        for address, meter in self._meters.items():
            if address.upper() == meter_id:
                meter.rest_until_s, meter.is_awaited = 0.0, True

    def wake_in_s(self, now_s: float) -> float | None:
        """Seconds until a waiting meter has rested; None if nobody waits whose turn it can be before another's session ends."""
        rests = [m.rest_until_s - now_s for m in self._allowed()]
        return max(0.0, min(rests)) if rests else None

    def failures(self, address: str) -> int:
        """Failed sessions in a row."""
        return self._meters[address].failures

    def _make_room(self) -> None:
        if len(self._meters) < MAX_METERS:
            return
        idle = [(m.has_given, m.heard_s, address) for address, m in self._meters.items() if not m.is_busy]
        if idle:
            del self._meters[min(idle)[2]]
