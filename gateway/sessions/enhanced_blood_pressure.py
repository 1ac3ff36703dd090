"""The part of a session that is about an enhanced cuff (Blood Pressure Service 1.1: 0x2B34 and 0x2B36 beside 0x2A35).

One inflation has up to three faces in such a cuff: the classic frame, the enhanced one, and the stored record that contains one
of them. Only one is looked at, so that no inflation is ever two readings: the records where the cuff keeps any, else the enhanced
frames that it sends by itself, else the classic ones. A cuff whose control point refuses every report is taken for one without.

A record's number is its user's own: number 4 of one user may be newer than number 9 of another, and of a user who has not
measured yet there is no number to go on from. So everything is asked for each time, by the combined report, which says how
many records it sent. If fewer have come, it is asked for once more; if the numbers still differ, its answer is set aside for
a person to see. A cuff keeps a few hundred at most, and repeats are known by their id. Numbers that begin again at 0 (after
65,535) need no care then.

What is kept of a record is the measurement in it, in its own bytes; the segments around it have done their work when the record
is whole and its sum right. The pressure of a cuff that still inflates (0x2A36, 0x2B35) is not subscribed to: it is no
measurement.

A cuff that keeps its users apart is asked for the records of whoever is open (`shared_meter`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from gateway.sessions import blood_pressure, record_access, unasked
from gateway.sessions.commands import MeterRecord, Script, keep, read, set_aside, subscribe
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.quirk_frames import decode_as
from gateway.sessions.quirks import Frames
from gateway.sessions.unasked import Sent
from gateway.timing import Evidence
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import Feature
from vitals.gatt.blood_pressure_record import BloodPressureRecord, RecordSegment
from vitals.gatt.date_time import DateTime
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement
from vitals.gatt.link import LinkError
from vitals.gatt.record_access import RecordAccess

SEGMENTS_MAX: Final = 64
"""More of one record are not joined: the counter of segments has six bits, and a measurement fits into two."""
_SOURCES: Final = (uuids.BLOOD_PRESSURE_RECORD,)


def is_offered(characteristics: frozenset[str]) -> bool:
    """Whether this cuff has anything enhanced to look at."""
    return _keeps_records(characteristics) or uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT in characteristics


def collect(characteristics: frozenset[str], clock: MeterClock | None, frames: Frames = "standard") -> Script[bool]:
    """Keep every inflation by one of its faces; whether the link is still there.

    Raises `LinkError` if a report does not complete; what came until then has been kept, and will be asked for again.
    """
    feature = yield from _feature(characteristics)
    if _keeps_records(characteristics) and (yield from _report(feature, clock, frames)):
        return True
    if uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT in characteristics:
        decoded = partial(decode, feature=feature, has_clock=clock is not None)
        return (yield from unasked.collect(uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT, decoded, clock))
    if uuids.BLOOD_PRESSURE_MEASUREMENT in characteristics:
        return (yield from blood_pressure.collect(clock, frames))
    raise LinkError("the cuff refuses to report its records, and sends nothing by itself")


def decode(raw: bytes, *, feature: Feature | None = None, has_clock: bool = False) -> Sent:
    """An enhanced measurement that the cuff sent by itself; raises `MalformedError`."""
    frame = EnhancedBloodPressureMeasurement.from_bytes(raw)
    wall = _wall(frame, feature, has_clock=has_clock)
    stamp = wall or frame.base_time
    return Sent(
        measurement=frame.to_measurement(),
        date_time=None if stamp is None else DateTime.of(stamp),
        user_slot=frame.user_slot,
        is_clock_set=wall is not None,
        meter_time=frame.meter_time,
    )


@dataclass(slots=True)
class _Joining:
    """One report: the segments of the record that is under way, and how many records have come."""

    feature: Feature | None
    clock: MeterClock | None
    frames: Frames
    segments: list[RecordSegment] = field(default_factory=list)
    whole: int = 0
    broken: int = 0

    def take(self, characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        try:
            segment = RecordSegment.from_bytes(raw)
        except MalformedError as e:
            self.broken += 1
            yield from set_aside(characteristic, raw, e.reason, e.message)
            return
        if (segment.is_first and self.segments) or len(self.segments) >= SEGMENTS_MAX:
            yield from self._join(at)  # it was never finished, which joining finds out
        self.segments.append(segment)
        if segment.is_last:
            yield from self._join(at)

    def finish(self, at: datetime) -> Script[None]:
        """A last segment that has not come never will."""
        if self.segments:
            yield from self._join(at)

    def _join(self, at: datetime) -> Script[None]:
        segments, self.segments = self.segments, []
        is_sealed = self.feature is not None and bool(self.feature & Feature.E2E_CRC)
        try:
            record = BloodPressureRecord.joined(segments, is_sealed=is_sealed)
            kept = self._record(record, at)
        except MalformedError as e:
            self.broken += 1
            raw = b"".join(map(bytes, segments))
            yield from set_aside(uuids.BLOOD_PRESSURE_RECORD, raw, e.reason, e.message)
            return
        self.whole += 1
        yield from keep(kept)

    def _record(self, record: BloodPressureRecord, at: datetime) -> MeterRecord:
        match f"{record.uuid:04x}":
            case uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT as contained:
                sent: Sent | None = decode(record.value, feature=self.feature, has_clock=self.clock is not None)
            case uuids.BLOOD_PRESSURE_MEASUREMENT as contained:
                sent = decode_as(self.frames, contained, blood_pressure.decode)(record.value)
            case other:
                raise MalformedError(
                    "record_kind", f"a record of {other}, which is no measurement that is known here", record
                )
        if sent is None:
            raise MalformedError("record_kind", "a record of what was shown on the way to a result", record)
        clock = self.clock
        return MeterRecord(
            characteristic=contained,
            raw=record.value,
            measurement=sent.measurement,
            evidence=Evidence(
                received_at=at,
                is_stamped=sent.date_time is not None,
                meter_wall=sent.date_time.naive if sent.date_time is not None and sent.is_clock_set else None,
                clock_meter=None if clock is None else clock.meter,
                clock_at=None if clock is None else clock.at,
                is_externally_set=clock is not None and clock.is_externally_set,
                has_jumped=clock is not None and clock.has_jumped,
                left=None if clock is None else clock.left,
            ),
            user_slot=sent.user_slot,
            sequence=record.sequence,
            meter_time=sent.told_time,
        )


def _report(feature: Feature | None, clock: MeterClock | None, frames: Frames) -> Script[bool]:
    """Keep every record; False if the cuff refuses to report any."""
    for characteristic in (*_SOURCES, uuids.RECORD_ACCESS):
        yield from subscribe(characteristic)
    for request in (RecordAccess.combined_all(), RecordAccess.report_all()):
        for _ in range(2):
            joining = _Joining(feature, clock, frames)
            answer = yield from record_access.report(request, _SOURCES, joining.take)
            yield from joining.finish(answer.at)
            is_whole = answer.number is None or answer.number <= joining.whole + joining.broken
            if answer.code not in record_access.ENDED or (is_whole and not joining.broken):
                break
        if answer.code in record_access.CANNOT:
            continue
        if answer.code not in record_access.ENDED:
            raise LinkError(f"the meter ended its report with code {answer.code}")
        if not is_whole:  # twice in a row: it counts otherwise than we do, and next time everything is asked for again
            why = f"it says that it sent {answer.number} records, and {joining.whole} came"
            yield from set_aside(uuids.RECORD_ACCESS, answer.raw, "record_count", why)
        return True
    return False


def _keeps_records(characteristics: frozenset[str]) -> bool:
    return {uuids.BLOOD_PRESSURE_RECORD, uuids.RECORD_ACCESS} <= characteristics


def _feature(characteristics: frozenset[str]) -> Script[Feature | None]:
    """What the cuff can do; None if it does not say, or not so that it can be read."""
    if uuids.BLOOD_PRESSURE_FEATURE not in characteristics:
        return None
    try:
        return Feature.parse((yield from read(uuids.BLOOD_PRESSURE_FEATURE)).value)
    except (LinkError, MalformedError):
        return None  # a link that is gone shows itself at the next step


def _wall(frame: EnhancedBloodPressureMeasurement, feature: Feature | None, *, has_clock: bool) -> datetime | None:
    """What the cuff's display showed, the only time that may be held against its clock.

    A base time alone is that only of a cuff that has one clock and lets us read it: it may be UTC, and then it is hours off on a
    wall. Of any other cuff it is the name of a reading and says no time.
    """
    if frame.user_facing_time is not None:
        return frame.user_facing_time
    has_one_clock = feature is not None and not feature & Feature.USER_FACING_TIME
    return frame.base_time if has_one_clock and has_clock else None
