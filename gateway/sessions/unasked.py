"""The part of a session with a meter that sends by itself as soon as it is listened to: subscribe, and take what it has.

Such a meter confirms nothing and often drops the link when it is done. That is its normal end, not an error.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from gateway.sessions.commands import MeterRecord, Script, keep, look, set_aside, subscribe, wait
from gateway.sessions.harvest import NAMELESS
from gateway.sessions.meter_clock import MeterClock
from gateway.timing import FIRST_YEAR, READING_TOGETHER, Evidence
from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime
from vitals.gatt.link import Disconnected, Notified
from vitals.reading import Measurement

FIRST_WITHIN_S: Final = 15.0
"""Meters begin to send within a few seconds; a slow one looks into its memory first."""
QUIET_S: Final = 3.0
"""So long after the last record the meter has no more; between stored records the slowest known leave about a second."""

JUST_NOW: Final = timedelta(minutes=5)
"""A cuff connects as soon as it has measured; what is older on its clock may be of the time before that began anew."""
DAYS_OFF: Final = timedelta(days=2)
"""No clock that is right shows a time so far from UTC, in whatever zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one frame says.

    `is_clock_set` is False where the meter itself says that nobody has set its clock, `is_stored` is True where it says that the
    measurement is an old one. `meter_time` names the measurement where that is another time than the display showed. `lasting` is
    what `MeterRecord` has of that name.
    """

    measurement: Measurement
    date_time: DateTime | None
    user_slot: int | None = None
    is_clock_set: bool = True
    is_stored: bool = False
    meter_time: str | None = None
    lasting: bytes | None = None

    @property
    def told_time(self) -> str | None:
        """The time that names the measurement, as the meter said it."""
        return self.meter_time or (None if self.date_time is None else self.date_time.iso)


Decode = Callable[[bytes], Sent | None]
"""What a frame says; None where nothing has been measured yet. Raises `MalformedError`."""
UNFINISHED: Final = "unfinished"
"""Why the last frame on the way to a result is set aside when none came: somebody may want to know how far it got."""


def collect(characteristic: str, decode: Decode, clock: MeterClock | None) -> Script[bool]:
    """Keep every record until the meter is quiet; whether the link is still there."""
    yield from subscribe(characteristic)
    return (yield from listen(characteristic, decode, clock, first_within_s=FIRST_WITHIN_S))


def listen(characteristic: str, decode: Decode, clock: MeterClock | None, *, first_within_s: float) -> Script[bool]:
    """The same on a link that is subscribed already. The first record to come by itself is of just now; if the meter's clock has
    jumped, or cannot be read, only if no other follows."""
    dump = _Dump(characteristic, decode, clock)
    now = (yield from look()).at
    silent_until = now + timedelta(seconds=first_within_s)
    while True:
        heard = yield from wait(max(0.0, (silent_until - now).total_seconds()))
        now = heard.at
        match heard.event:
            case None | Disconnected():
                yield from dump.finish()
                return heard.event is None
            case Notified(characteristic=each, value=raw) if each == characteristic:
                yield from dump.take(raw, now)
                silent_until = now + timedelta(seconds=QUIET_S if dump.has_result else first_within_s)
            case Notified():
                # Not a record: the pressure of a cuff that inflates, a read that the stack also reports as a change of value, an
                # answer that comes late. It says nothing of when a record will come, so the silence goes on.
                pass


@dataclass(slots=True)
class _Dump:
    """What one connection has brought of one characteristic."""

    characteristic: str
    decode: Decode
    clock: MeterClock | None
    has_result: bool = False
    on_the_way: bytes = b""
    alone: MeterRecord | None = None
    last: MeterRecord | None = None
    is_out_of_order: bool = False

    def take(self, raw: bytes, at: datetime) -> Script[None]:
        try:
            sent = self.decode(raw)
        except MalformedError as e:
            self.has_result = True
            yield from set_aside(self.characteristic, raw, e.reason, e.message)
            return
        if sent is None:
            self.on_the_way = b"" if self.has_result else raw
            return
        is_first, self.has_result, self.on_the_way = not self.has_result, True, b""
        record = _record(self.characteristic, raw, sent, at, self.clock, is_live=is_first)
        if self.clock is not None and self.clock.has_left_overs:
            yield from keep(_stored(record))
        elif is_first and (record.evidence.has_jumped or self._may_be_old(record.evidence)):
            self.alone = record
            yield from keep(_stored(record), "provisional")
        elif self.alone is not None and self.alone.raw == record.raw:
            if not has_name(record):  # sent twice, or two that nothing tells apart: in no case one of the days before
                yield from keep(record)
        else:
            yield from self._release()
            self.is_out_of_order |= self._goes_back(record)
            yield from keep(_of_any_line(record) if self.is_out_of_order else record)
        self.last = record

    def _may_be_old(self, evidence: Evidence) -> bool:
        """Whether nothing but the order of sending says that this is of just now. A time that cannot be stays live, and is
        doubted as such: of an orphan nobody would be told, however high it is."""
        if self.clock is not None:
            return self.clock.left is not None and self.clock.left.wall is not None
        wall = evidence.meter_wall
        return not evidence.is_stamped or (wall is not None and wall.year >= FIRST_YEAR)

    def finish(self) -> Script[None]:
        if self.alone is not None:
            yield from keep(replace(self.alone, is_just_taken=_is_just_taken(self.alone.evidence)))
        if self.on_the_way:
            yield from set_aside(self.characteristic, self.on_the_way, UNFINISHED, "no result came after this")

    def _release(self) -> Script[None]:
        """Another record has come: the first was not of just now."""
        if self.alone is not None:
            first, self.alone = self.alone, None
            yield from keep(_stored(first))

    def _goes_back(self, record: MeterRecord) -> bool:
        """Whether the time stamps of a clock that is days off do not ascend as the records were sent: then it was reset between
        them. A clock that is about right was right, and its meter sends the newest first."""
        if self.last is None or self.last.raw == record.raw or self.clock is None:
            return False
        if abs(self.clock.meter - self.clock.at.replace(tzinfo=None)) < DAYS_OFF:
            return False
        before, now = self.last.evidence.meter_wall, record.evidence.meter_wall
        return before is not None and now is not None and now <= before


def take(
    characteristic: str,
    raw: bytes,
    decode: Decode,
    *,
    received_at: datetime,
    clock: MeterClock | None,
    is_live: bool,
    comes_again: bool = False,
) -> Script[None]:
    """Keep one frame; one that cannot be decoded is set aside with its reason. One on the way to a result is nothing yet.
    `comes_again`: it will be sent at the next visit too, so one that nothing tells from another is set aside."""
    try:
        sent = decode(raw)
    except MalformedError as e:
        yield from set_aside(characteristic, raw, e.reason, e.message)
        return
    if sent is None:
        return
    record = _record(characteristic, raw, sent, received_at, clock, is_live=is_live)
    if comes_again and not has_name(record):
        yield from set_aside(characteristic, raw, *NAMELESS)
    else:
        yield from keep(record)


def has_name(record: MeterRecord) -> bool:
    """Whether the meter's own time tells this record from another."""
    return record.meter_time is not None and not record.evidence.has_dead_clock


def _record(
    characteristic: str, raw: bytes, sent: Sent, received_at: datetime, clock: MeterClock | None, *, is_live: bool
) -> MeterRecord:
    evidence = Evidence(
        received_at=received_at,
        is_stamped=sent.date_time is not None,
        meter_wall=sent.date_time.naive if sent.date_time is not None and sent.is_clock_set else None,
        clock_meter=None if clock is None else clock.meter,
        clock_at=None if clock is None else clock.at,
        is_externally_set=clock is not None and clock.is_externally_set,
        is_live=is_live and not sent.is_stored,
        has_jumped=clock is not None and clock.has_jumped,
        left=None if clock is None else clock.left,
    )
    return MeterRecord(
        characteristic=characteristic,
        raw=raw,
        measurement=sent.measurement,
        evidence=evidence,
        user_slot=sent.user_slot,
        meter_time=sent.told_time,
        lasting=sent.lasting,
    )


def _is_just_taken(evidence: Evidence) -> bool:
    """Whether a record that came alone was taken a moment ago, by a clock that has begun anew since the last session."""
    if not evidence.has_jumped or evidence.clock_meter is None or evidence.meter_wall is None:
        return False
    return timedelta(0) <= evidence.clock_meter - evidence.meter_wall + READING_TOGETHER <= JUST_NOW


def _stored(record: MeterRecord) -> MeterRecord:
    return replace(record, evidence=msgspec.structs.replace(record.evidence, is_live=False))


def _of_any_line(record: MeterRecord) -> MeterRecord:
    return replace(record, evidence=msgspec.structs.replace(record.evidence, has_jumped=True))
