"""Firmware of a glucose sensor that is worn (CGM Service 0x181F): a pure state machine.

It is always there, counts the minutes since its session began, keeps every record under that number, and notifies a new one
at once to whoever listens. It has no clock: what a collector writes as its own time becomes the start of the session. How its
`clock` is set says what somebody has told it before: `ok` the right time, `unset` or `absent` nothing, an offset a wrong one.

Behaviour: Bluetooth SIG, CGMS 1.0.2. It measures nothing by itself and never connects: `over_the_air` and `air` drive it.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

from firmware_sims.firmware import Action, AttCode, AttError, Characteristic, Firmware, Indicate, Notify, Property
from firmware_sims.measure import Measure
from firmware_sims.meter_clock import UNKNOWN
from firmware_sims.record_access_point import Numbered, RecordAccessPoint
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.cgm_control import CgmControl, OpCode, ResponseCode
from vitals.gatt.cgm_measurement import CgmRecord, SensorStatus
from vitals.gatt.cgm_session import (
    Ability,
    CgmFeature,
    CgmStatus,
    SampleLocation,
    SessionRunTime,
    SessionStartTime,
)
from vitals.gatt.date_time import DateTime
from vitals.gatt.glucose import SampleType
from vitals.gatt.sfloat import NAN, Sfloat

CAPACITY: Final = 20_160
"""Two weeks of minutes; the oldest record is overwritten."""
RUNS_FOR_H: Final = 14 * 24
_MINUTE: Final = timedelta(minutes=1)
_ABILITIES: Final = (
    Ability.SENSOR_MALFUNCTION | Ability.RESULT_HIGH_LOW | Ability.LOW_BATTERY | Ability.TREND | Ability.QUALITY
)


def _own(uuid: str, properties: Property) -> Characteristic:
    is_protected = properties != Property.READ
    return Characteristic(uuid=uuid, service=uuids.CGM_SERVICE, properties=properties, is_protected=is_protected)


class GlucoseSensor(Firmware):
    """One sensor on somebody's arm. `is_sealed`: every frame of it carries an E2E-CRC."""

    model = "HV-CG1"
    advertised_service = uuids.CGM_SERVICE
    needs = ("glucose_mg_dl",)
    takes = ("status",)
    own_characteristics = (
        _own(uuids.CGM_MEASUREMENT, Property.NOTIFY),
        _own(uuids.CGM_FEATURE, Property.READ),
        _own(uuids.CGM_STATUS, Property.READ),
        _own(uuids.CGM_SESSION_START_TIME, Property.READ | Property.WRITE),
        _own(uuids.CGM_SESSION_RUN_TIME, Property.READ),
        _own(uuids.RECORD_ACCESS, Property.WRITE | Property.INDICATE),
        _own(uuids.CGM_CONTROL, Property.WRITE | Property.INDICATE),
    )

    def __init__(self, meter: Meter, *, is_sealed: bool = True) -> None:
        super().__init__(meter)
        self.is_sealed = is_sealed
        self.status = 0
        self._began: datetime | None = None
        self._start = SessionStartTime(date_time=UNKNOWN, is_sealed=is_sealed)
        self._records: deque[Numbered] = deque(maxlen=CAPACITY)
        self._access = RecordAccessPoint(
            uuids.CGM_MEASUREMENT, has_combined=False, sends_twice=meter.faults.sends_twice
        )
        self._live: deque[Notify] = deque()
        self._answers: deque[Indicate] = deque()
        self._is_answering = False
        self._interval_min = 1

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        return tuple(c for c in super().characteristics if c.uuid != uuids.CURRENT_TIME)

    @property
    def records(self) -> tuple[Numbered, ...]:
        """In the order in which they were taken."""
        return tuple(self._records)

    @property
    def is_advertising(self) -> bool:
        return self._began is not None

    def put_on(self, *, wall: datetime) -> None:
        """A new sensor, and a new session: its minutes begin at 0, and the records of the last one are gone."""
        self._began = wall
        self._records.clear()
        told = self.clock.stamp(wall) or UNKNOWN
        self._start = SessionStartTime(date_time=told, is_sealed=self.is_sealed)
        self.status = 0

    def measure(
        self,
        *,
        wall: datetime,
        glucose_mg_dl: float,
        trend_mg_dl_per_min: float | None = None,
        quality_percent: float | None = None,
        status: int | None = None,
    ) -> bytes:
        """One record while the wall clock shows `wall`; gives its octets. The first one of all begins the session."""
        if self._began is None:
            self.put_on(wall=wall)
        offset = self._minutes(wall)
        fails = self.meter.faults.fails
        record = CgmRecord(
            concentration=NAN if fails else Sfloat.of(round(glucose_mg_dl)),
            time_offset_min=offset,
            status=status,
            trend=None if trend_mg_dl_per_min is None else Sfloat.of(trend_mg_dl_per_min, -1),
            quality=None if quality_percent is None else Sfloat.of(quality_percent, -1),
            is_sealed=self.is_sealed,
        )
        return self._store(offset, self._cut(bytes(record)))

    def keep(self, frame: bytes) -> None:
        if self._began is None:
            raise MalformedError("command", "the sensor is worn by nobody yet: let it measure first")
        self._store(self._records[-1].number + 1 if self._records else 0, frame)

    def stop(self) -> None:
        """The session is over; what it has measured can still be read."""
        self.status |= SensorStatus.SESSION_STOPPED

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        match characteristic:
            case uuids.CGM_FEATURE:
                return bytes(self._feature)
            case uuids.CGM_STATUS:
                return bytes(self._status_at(wall))
            case uuids.CGM_SESSION_START_TIME:
                return bytes(self._start)
            case uuids.CGM_SESSION_RUN_TIME:
                return bytes(SessionRunTime(hours=RUNS_FOR_H, is_sealed=self.is_sealed))
        return super().read(characteristic, wall=wall)

    def write(self, characteristic: str, value: bytes, *, wall: datetime) -> None:
        match characteristic:
            case uuids.RECORD_ACCESS:
                self._access.command(value, subscribed=self._subscribed, records=self._records)
            case uuids.CGM_SESSION_START_TIME:
                self._take_the_time(value, wall)
            case uuids.CGM_CONTROL:
                self._take_command(value)
            case _:
                raise AttError(AttCode.WRITE_NOT_PERMITTED)

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self._access.on_disconnected()
        self._live.clear()
        self._answers.clear()
        self._is_answering = False

    def next_action(self) -> Action | None:
        """A report first, to its end; then what was measured meanwhile (3.8.3)."""
        if self._is_answering:
            return None
        if self._answers:
            self._is_answering = True
            return self._answers.popleft()
        if self._access.is_busy or not self._live:
            return self._access.next_action()
        return self._live.popleft()

    def on_confirmed(self) -> None:
        if self._is_answering:
            self._is_answering = False
        else:
            self._access.on_confirmed()

    def _measure(self, told: Measure, wall: datetime) -> None:
        assert told.glucose_mg_dl is not None, "needed"
        self.measure(wall=wall, glucose_mg_dl=told.glucose_mg_dl, status=told.status)

    # --- the session

    @property
    def _feature(self) -> CgmFeature:
        return CgmFeature(
            abilities=_ABILITIES | (Ability.E2E_CRC if self.is_sealed else 0),
            sample_type=SampleType.ISF,
            sample_location=SampleLocation.SUBCUTANEOUS_TISSUE,
        )

    def _minutes(self, wall: datetime) -> int:
        return 0 if self._began is None else max(0, min(0xFFFF, (wall - self._began) // _MINUTE))

    def _status_at(self, wall: datetime) -> CgmStatus:
        status = self.status
        if self._start.date_time.naive is None:
            status |= SensorStatus.TIME_SYNCHRONIZATION_REQUIRED
        return CgmStatus(time_offset_min=self._minutes(wall), status=status, is_sealed=self.is_sealed)

    def _take_the_time(self, value: bytes, wall: datetime) -> None:
        """The collector's own time; the start is computed from it (3.4.1)."""
        try:
            told = SessionStartTime.from_bytes(value)
        except MalformedError as e:
            raise AttError(AttCode.INVALID_CRC if e.reason == "crc" else AttCode.INVALID_LENGTH) from e
        if self.is_sealed and not told.is_sealed:
            raise AttError(AttCode.MISSING_CRC)
        now = told.date_time.naive
        if now is None:
            raise AttError(AttCode.VALUE_NOT_ALLOWED)
        if not self.meter.faults.ignores_clock_writes:
            start = DateTime.of(now - self._minutes(wall) * _MINUTE)
            self._start = SessionStartTime(date_time=start, zone=told.zone, dst=told.dst, is_sealed=self.is_sealed)

    # --- records and answers

    def _store(self, number: int, frame: bytes) -> bytes:
        self._records.append(Numbered(number=number, frames=(frame,)))
        if uuids.CGM_MEASUREMENT in self._subscribed and self._interval_min:
            self._live.append(Notify(characteristic=uuids.CGM_MEASUREMENT, value=frame))
        return frame

    def _take_command(self, value: bytes) -> None:
        """How often it notifies can be asked and set; nothing else."""
        if uuids.CGM_CONTROL not in self._subscribed:
            raise AttError(AttCode.CCCD_IMPROPERLY_CONFIGURED)
        try:
            command = CgmControl.from_bytes(value)
        except MalformedError as e:
            raise AttError(AttCode.INVALID_CRC if e.reason == "crc" else AttCode.INVALID_LENGTH) from e
        if self.is_sealed and not command.is_sealed:
            raise AttError(AttCode.MISSING_CRC)
        match command.op_code:
            case OpCode.GET_COMMUNICATION_INTERVAL:
                answer = CgmControl.interval(self._interval_min, is_sealed=self.is_sealed)
            case OpCode.SET_COMMUNICATION_INTERVAL:
                self._interval_min = command.operand[0]
                answer = CgmControl.response(command.op_code, ResponseCode.SUCCESS, is_sealed=self.is_sealed)
            case _:
                answer = CgmControl.response(
                    command.op_code, ResponseCode.OP_CODE_NOT_SUPPORTED, is_sealed=self.is_sealed
                )
        self._answers.append(Indicate(characteristic=uuids.CGM_CONTROL, value=bytes(answer)))
