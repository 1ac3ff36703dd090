"""The part of a session that is about a glucose sensor that is worn (0x181F): ask for what it has measured since the last visit.

A visit, not a watch. Such a sensor measures every one to five minutes for two weeks, keeps several hundred records at least
(CGMS 1.0.2 section 3.9) and would stay connected for ever; a gateway has two workers for a whole home. So it reads what is
stored, hangs up, and comes back after `REST_S`. What the sensor tells meanwhile by itself is taken as it comes.

Time is placed by offsets, as `vitals.gatt.cgm_session` says: a record's age is the sensor's present offset minus its own. The
present is not believed of a session that is over, because nothing says that its minutes go on being counted.

A record is named by the session's start and its offset, so nothing is kept before the start is known. Where nobody has told
the sensor the time yet, the gateway does, once, as the specification wants of every client (3.4.1); the sensor computes its
start from that and nothing is cleared. A start that is there is never touched, a session never started or stopped, no record
deleted, no calibration asked for: what a finger-stick calibrates is no reading, and the control point (0x2AAC) is not even
subscribed to.

A session is recognised by when it began on our clock: its present offset before now. It keeps the name of its first visit,
even if somebody makes the sensor compute another start later, which the specification forbids (3.4.5) and a phone beside us
may do; all would be read a second time otherwise. A new session begins again at offset 0, on our clock at another time. Where
our clock cannot be believed it is noticed by a present before the highest offset known, or by the record of that offset not
coming back as it was (`record_access`). Then all is asked for.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from gateway.sessions import record_access
from gateway.sessions.clock_memory import DRIFT, JUMP_S, ClockMemory
from gateway.sessions.commands import MeterRecord, Script, look, read, set_aside, write
from gateway.sessions.harvest import Harvest
from gateway.timing import Evidence
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.cgm_measurement import CgmRecord, SensorStatus, split
from vitals.gatt.cgm_session import CgmFeature, CgmStatus, SampleLocation, SessionRunTime, SessionStartTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.glucose import SampleType
from vitals.gatt.link import LinkError

REST_S: Final = 300.0
"""How long a sensor is left in peace after a visit that went well: those that are sold measure every five minutes, and a
connection costs the battery that must last for the sensor's whole life (engineering choice). Its own alarms do not
wait for us."""

STEP_MIN: Final = 5
"""Sensors that are sold measure at least so often; a wider distance between two records makes us ask how many there are."""
_VALUE: Final = slice(2, 6)
"""Concentration and offset: what lasts of a record. What else is in it a sensor may say otherwise when it is asked again: that
its battery is low by now, or its session over."""

Codec = TypeVar("Codec", CgmFeature, CgmStatus, SessionStartTime, SessionRunTime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worn:
    """A sensor's session as it was at the instant `at`. `present` is None where the sensor does not say it; `is_known` where the
    last visit was to the same session, None if nothing can be said."""

    start: SessionStartTime
    at: datetime
    present: CgmStatus | None = None
    feature: CgmFeature | None = None
    run_time: SessionRunTime | None = None
    is_known: bool | None = None

    @property
    def is_sealed(self) -> bool:
        """Whether every record must carry an E2E-CRC."""
        return self.feature is not None and self.feature.has_e2e_crc

    @property
    def is_nobodys(self) -> bool:
        """Whether the sensor says that it lies in control solution."""
        return self.feature is not None and (
            self.feature.sample_type == SampleType.CONTROL_SOLUTION
            or self.feature.sample_location == SampleLocation.CONTROL_SOLUTION
        )

    @property
    def clock_meter(self) -> datetime | None:
        """The user-facing time at `at`; None if nothing says that the minutes are being counted."""
        if self.present is None or self.present.status & SensorStatus.SESSION_STOPPED:
            return None
        return self.start.user_facing_time(self.present.time_offset_min)

    @property
    def memory(self) -> ClockMemory | None:
        """What the sensor's clock showed when the session began, and when that was; None if nothing says how long ago."""
        if self.present is None or self.clock_meter is None:
            return None
        began_at = self.at - timedelta(minutes=self.present.time_offset_min)
        return ClockMemory(wall=self.start.user_facing_time(0), at=began_at)

    def named(self, before: ClockMemory) -> "Worn":
        """The same under the name of the first visit, if `before` is of this session."""
        memory = self.memory
        if memory is None or memory.at is None or before.wall is None or before.at is None:
            return self
        apart_s = abs((memory.at - before.at).total_seconds())
        is_known = apart_s <= JUMP_S + DRIFT * (self.at - before.at).total_seconds()
        start = replace(self.start, date_time=DateTime.of(before.wall)) if is_known else self.start
        return replace(self, start=start, is_known=is_known)

    def told(self) -> dict[str, Any]:
        """What people may want to see of it; no value of anybody's."""
        return {
            "started": self.start.meter_time(0),
            "runs_for_h": None if self.run_time is None else self.run_time.hours,
            "minutes": None if self.present is None else self.present.time_offset_min,
            "status": None if self.present is None else self.present.status_flags,
        }


def meet(characteristics: frozenset[str], zone: ZoneInfo, *, is_ours_right: bool) -> Script[Worn]:
    """The sensor's session, with a start. Raises `LinkError` if there is none to be had: its records wait in the sensor."""
    feature = yield from _told(characteristics, uuids.CGM_FEATURE, CgmFeature)
    start = yield from _told(characteristics, uuids.CGM_SESSION_START_TIME, SessionStartTime)
    present = yield from _told(characteristics, uuids.CGM_STATUS, CgmStatus)
    at = (yield from look()).at
    if start is None:
        raise LinkError("the sensor does not say when its session began, so its records have no names yet")
    is_lost = present is not None and bool(present.status & SensorStatus.TIME_SYNCHRONIZATION_REQUIRED)
    if start.date_time.naive is None or is_lost:
        if not is_ours_right:
            raise LinkError(
                "nobody has told the sensor the time, and ours cannot be believed yet; its records wait in it"
            )
        start = yield from _tell_the_time(zone, is_sealed=feature is not None and feature.has_e2e_crc)
    run_time = yield from _told(characteristics, uuids.CGM_SESSION_RUN_TIME, SessionRunTime)
    return Worn(start=start, at=at, present=present, feature=feature, run_time=run_time)


def collect(worn: Worn, *, highest: int | None) -> Script[int | None]:
    """Keep every record since the offset `highest` (all if None); the highest offset that is now complete here.

    Raises `LinkError` if the report does not complete; what came until then has been kept, and will be asked for again.
    """
    is_before = highest is not None and worn.present is not None and worn.present.time_offset_min < highest
    if is_before or worn.is_known is False:
        highest = None  # another session than last time
    return (
        yield from record_access.collect(
            (uuids.CGM_MEASUREMENT,), partial(_Reader, worn), highest=highest, step=STEP_MIN
        )
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    worn: Worn
    harvest: Harvest

    def take(self, _: str, raw: bytes, at: datetime) -> Script[None]:
        """Keep each record of a notification by itself; one that is broken costs no other. Raises `MalformedError` if
        nobody knows where they begin."""
        for each in split(raw):
            try:
                record = CgmRecord.from_bytes(each)
                if self.worn.is_sealed and not record.is_sealed:
                    raise MalformedError("crc", "this sensor says that it sends an E2E-CRC, and there is none", each)
            except MalformedError as e:
                yield from self.harvest.refuse(uuids.CGM_MEASUREMENT, each, e)
                continue
            self.harvest.heard[each[_VALUE]] = record.time_offset_min
            if self.worn.is_nobodys:
                yield from set_aside(uuids.CGM_MEASUREMENT, each, "control_solution", "the sensor says so of itself")
            else:
                yield from self.harvest.keep(self._record(record, each, at))

    def halves(self) -> frozenset[int]:
        """Nothing waits for another half here."""
        return frozenset()

    def finish(self) -> Script[None]:
        yield from ()

    def _record(self, frame: CgmRecord, raw: bytes, received_at: datetime) -> MeterRecord:
        clock_meter = self.worn.clock_meter
        return MeterRecord(
            characteristic=uuids.CGM_MEASUREMENT,
            raw=raw,
            measurement=frame.to_measurement(),
            evidence=Evidence(
                received_at=received_at,
                is_stamped=True,
                meter_wall=self.worn.start.user_facing_time(frame.time_offset_min),
                clock_meter=clock_meter,
                clock_at=None if clock_meter is None else self.worn.at,
            ),
            sequence=frame.time_offset_min,
            meter_time=self.worn.start.meter_time(frame.time_offset_min),
            lasting=raw[_VALUE],
        )


def _tell_the_time(zone: ZoneInfo, *, is_sealed: bool) -> Script[SessionStartTime]:
    """Write what the clock on the wall shows; the start that the sensor has computed from it."""
    wall = (yield from look()).at.astimezone(zone)
    yield from write(uuids.CGM_SESSION_START_TIME, bytes(SessionStartTime.of(wall, is_sealed=is_sealed)))
    start = yield from _told(frozenset({uuids.CGM_SESSION_START_TIME}), uuids.CGM_SESSION_START_TIME, SessionStartTime)
    if start is None or start.date_time.naive is None:
        raise LinkError("the sensor was told the time and still has no start of its session; its records wait in it")
    return start


def _told(characteristics: frozenset[str], characteristic: str, codec: type[Codec]) -> Script[Codec | None]:
    """What the sensor says of itself; None if it does not, or not so that it can be read: then it is set aside."""
    if characteristic not in characteristics:
        return None
    try:
        value = (yield from read(characteristic)).value
    except LinkError as e:
        if e.code is None:
            raise  # the link is gone
        return None
    try:
        return codec.from_bytes(value)
    except MalformedError as e:
        yield from set_aside(characteristic, value, e.reason, e.message)
        return None
