"""Which meter to read next, and which to leave in peace. Pure: the caller tells what happened and when.

An advertisement is a chance, not a presence: it grows stale within seconds. So a meter that has just been left is not heard for
a moment, one that had nothing new is asked less and less often, and one that fails waits longer each time.

A home is full of other people's: a neighbour's scale, somebody's sensor that has its own phone. What was tried in vain comes
after everybody else, and one at a time, so that a cuff that advertises for five seconds still finds a worker; what has never
given anything in several tries is a stranger, and asked rarely. Silence makes it new again: somebody may have pressed its button.
"""

from dataclasses import dataclass
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
"""Meters followed at a time; a home has a few. Beyond it the one heard longest ago is forgotten."""


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

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}

    def heard(self, advertisement: Advertisement, now_s: float) -> None:
        """A meter advertises; whether and when to read it is decided here."""
        meter = self._meters.get(advertisement.address)
        if meter is None:
            self._make_room()
            self._meters[advertisement.address] = _Meter(advertisement, now_s)
            return
        if meter.is_busy or now_s < meter.deaf_until_s:
            return
        if meter.is_in_vain and now_s - max(meter.heard_s, meter.deaf_until_s) >= NEW_AFTER_S:
            meter.tries = meter.failures = meter.empty_sessions = 0
            meter.rest_until_s = min(meter.rest_until_s, now_s)
        meter.advertisement, meter.heard_s, meter.is_waiting = advertisement, now_s, True

    def next_due(self, now_s: float) -> Advertisement | None:
        """The meter to read now, longest waiting first, those that were tried in vain last and one at a time; it is busy until
        `ended`."""
        due = [m for m in self._meters.values() if m.is_waiting and not m.is_busy and m.rest_until_s <= now_s]
        is_trying = any(m.is_busy and m.is_in_vain for m in self._meters.values())
        for meter in sorted(due, key=lambda m: (m.is_in_vain, m.heard_s)):
            if is_trying and meter.is_in_vain:
                break
            meter.is_waiting = False
            if now_s - meter.heard_s <= meter.fresh_for_s:
                meter.is_busy = True
                return meter.advertisement
        return None

    def ended(
        self,
        address: str,
        now_s: float,
        *,
        failed: bool,
        new_records: int,
        fraction: float = 1.0,
        wanted_rest_s: float | None = None,
    ) -> None:
        """The session with this meter is over. `fraction` in [0, 1] spreads the rest after a failure; `wanted_rest_s` is for one
        that is there all the time and has something new only now and then."""
        meter = self._meters[address]
        assert meter.is_busy, address
        meter.is_busy = False
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
        """Let this meter rest no longer; somebody waits for it."""
        for address, meter in self._meters.items():
            if address.upper() == meter_id:
                meter.rest_until_s = 0.0

    def wake_in_s(self, now_s: float) -> float | None:
        """Seconds until a waiting meter has rested; None if nobody waits."""
        rests = [m.rest_until_s - now_s for m in self._meters.values() if m.is_waiting and not m.is_busy]
        return max(0.0, min(rests)) if rests else None

    def failures(self, address: str) -> int:
        """Failed sessions in a row."""
        return self._meters[address].failures

    def _make_room(self) -> None:
        idle = [(meter.heard_s, address) for address, meter in self._meters.items() if not meter.is_busy]
        if len(self._meters) >= MAX_METERS and idle:
            del self._meters[min(idle)[1]]
