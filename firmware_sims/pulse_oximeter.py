"""Firmware of a pulse oximeter (Pulse Oximeter Service 0x1822) with its Record Access Control Point: a pure state machine.

A spot check taken while somebody listens is indicated at once, and again on the next link until it is confirmed. One taken alone
is stored, and stays until it is deleted: a collector asks for all of them, as there is nothing to choose by. While a finger is in
it, it advertises and tells who listens every tick what it shows. One that `shows_only` makes no spot checks and keeps nothing.

Behaviour: Bluetooth SIG, PLXS 1.0.
"""

from collections import deque
from dataclasses import replace
from datetime import datetime
from typing import Final

from firmware_sims.firmware import Action, AttCode, AttError, Characteristic, Indicate, Notify, Property
from firmware_sims.indicating_meter import CAPACITY, IndicatingMeter
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.pulse_oximeter import (
    Continuous,
    Features,
    SensorStatus,
    SpO2PR,
    SpotCheck,
    Status,
    Supported,
)
from vitals.gatt.record_access import OpCode, Operator, RecordAccess, ResponseCode
from vitals.gatt.sfloat import NAN, Sfloat

SETTLES: Final = 3
"""So many ticks after a finger has been put in, what it shows is an early estimate."""

_OF_SPOT_CHECKS: Final = frozenset({uuids.PLX_SPOT_CHECK, uuids.RECORD_ACCESS})

_STATUSES: Final = (
    Status.MEASUREMENT_ONGOING
    | Status.EARLY_ESTIMATE
    | Status.FULLY_QUALIFIED
    | Status.FROM_STORAGE
    | Status.QUESTIONABLE
    | Status.INVALID
)
_SENSOR_STATUSES: Final = (
    SensorStatus.SIGNAL_ANALYSIS_ONGOING | SensorStatus.SENSOR_OFF_USER | SensorStatus.LOW_PERFUSION
)


class PulseOximeter(IndicatingMeter):
    """One oximeter. `records` are spot checks that are indicated unasked, `stored` those that are asked for."""

    model = "HV-PO1"
    measurement = uuids.PLX_SPOT_CHECK
    needs = ()
    takes = ("spo2_percent", "pulse_bpm", "status", "sensor_status", "is_worn")
    advertised_service = uuids.PULSE_OXIMETER_SERVICE
    own_characteristics = (
        Characteristic(
            uuid=uuids.PLX_SPOT_CHECK,
            service=uuids.PULSE_OXIMETER_SERVICE,
            properties=Property.INDICATE,
            is_protected=True,
        ),
        Characteristic(
            uuid=uuids.PLX_CONTINUOUS,
            service=uuids.PULSE_OXIMETER_SERVICE,
            properties=Property.NOTIFY,
            is_protected=True,
        ),
        Characteristic(uuid=uuids.PLX_FEATURES, service=uuids.PULSE_OXIMETER_SERVICE, properties=Property.READ),
        Characteristic(
            uuid=uuids.RECORD_ACCESS,
            service=uuids.PULSE_OXIMETER_SERVICE,
            properties=Property.WRITE | Property.INDICATE,
            is_protected=True,
        ),
    )

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._stored: deque[bytes] = deque(maxlen=CAPACITY)
        self._has_news = False
        self._outgoing: deque[Indicate] = deque()
        self._is_reporting = False
        self._reported = 0
        self._saying: Indicate | None = None
        self._worn: tuple[int, int] | None = None
        self._ticks = 0
        self._to_show: bytes | None = None

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        if not self.meter.shows_only:
            return super().characteristics
        return tuple(each for each in super().characteristics if each.uuid not in _OF_SPOT_CHECKS)

    @property
    def stored(self) -> tuple[bytes, ...]:
        return tuple(self._stored)

    @property
    def is_advertising(self) -> bool:
        return super().is_advertising or self._has_news or self.is_ticking

    @property
    def is_ticking(self) -> bool:
        return self._worn is not None

    def measure(
        self,
        *,
        wall: datetime,
        spo2_percent: int,
        pulse_bpm: int,
        status: int = Status.FULLY_QUALIFIED,
        sensor_status: int | None = None,
    ) -> bytes:
        """One spot check while the wall clock shows `wall`; gives the frame that was kept."""
        is_heard = self.measurement in self._subscribed
        fails = self.meter.faults.fails
        frame = SpotCheck(
            spo2=NAN if fails else Sfloat.of(spo2_percent),
            pulse=NAN if fails else Sfloat.of(pulse_bpm),
            date_time=self.clock.stamp(wall),
            status=status if is_heard else status | Status.FROM_STORAGE,
            sensor_status=sensor_status,
            is_clock_set=not self.clock.says_so,
        )
        return self._store(frame) if is_heard else self._put_away(self._cut(bytes(frame)))

    def put_in(self, *, spo2_percent: int, pulse_bpm: int) -> None:
        """A finger, that stays: it shows these from now on."""
        self._ticks = 0 if self._worn is None else self._ticks
        self._worn = (spo2_percent, pulse_bpm)

    def take_out(self) -> None:
        self._worn = self._to_show = None

    def keep(self, frame: bytes) -> None:
        """Of one that shows only, what it shows next."""
        if self.meter.shows_only:
            self._to_show = frame
            return
        if self.measurement in self._subscribed:
            super().keep(frame)
        else:
            self._put_away(frame)

    def on_tick(self, *, wall: datetime) -> None:
        super().on_tick(wall=wall)
        assert self._worn is not None, "it ticks while it is worn"
        self._ticks += 1
        is_early = self._ticks <= SETTLES
        spo2, pulse = self._worn
        fails = self.meter.faults.fails
        self._to_show = bytes(
            Continuous(
                normal=SpO2PR(
                    spo2=NAN if fails else Sfloat.of(spo2),
                    pulse=NAN if fails else Sfloat.of(pulse),
                ),
                status=Status.MEASUREMENT_ONGOING | (Status.EARLY_ESTIMATE if is_early else Status.FULLY_QUALIFIED),
                sensor_status=SensorStatus.SIGNAL_ANALYSIS_ONGOING if is_early else 0,
            )
        )

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        if characteristic == uuids.PLX_FEATURES:
            return bytes(self._features)
        return super().read(characteristic, wall=wall)

    def write(self, characteristic: str, value: bytes, *, wall: datetime) -> None:
        if characteristic == uuids.RECORD_ACCESS:
            self._take_command(value)
        else:
            super().write(characteristic, value, wall=wall)

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self._outgoing.clear()
        self._is_reporting = False
        self._saying = self._to_show = None

    def next_action(self) -> Action | None:
        shown, self._to_show = self._to_show, None
        if shown is not None and uuids.PLX_CONTINUOUS in self._subscribed:
            return Notify(characteristic=uuids.PLX_CONTINUOUS, value=shown)
        if self._saying is not None or self._sending is not None:
            return None
        if self._outgoing:
            self._saying = self._dropping(self._outgoing.popleft())
            return self._saying
        return super().next_action()

    def on_confirmed(self) -> None:
        """After the answer to a report that came whole, there is nothing new any more but what was measured meanwhile."""
        if self._saying is None:
            super().on_confirmed()
            return
        self._saying = None
        if self._outgoing:
            return
        if self._is_reporting:
            self._has_news = len(self._stored) > self._reported
            self._is_reporting = False
            self._may_hang_up = True

    def _measure(self, told: Measure, wall: datetime) -> None:
        if told.is_worn is False:
            self.take_out()
            return
        if told.spo2_percent is None or told.pulse_bpm is None:
            raise MalformedError("command", f"{told.meter} must be told spo2_percent and pulse_bpm", told.meter)
        if told.is_worn:
            self.put_in(spo2_percent=told.spo2_percent, pulse_bpm=told.pulse_bpm)
            return
        if self.meter.shows_only:
            raise MalformedError("command", f"{told.meter} makes no spot checks: is_worn must be told", told.meter)
        self.measure(
            wall=wall,
            spo2_percent=told.spo2_percent,
            pulse_bpm=told.pulse_bpm,
            status=Status.FULLY_QUALIFIED if told.status is None else told.status,
            sensor_status=told.sensor_status,
        )

    @property
    def _features(self) -> Features:
        supported = Supported.STATUS | Supported.SENSOR_STATUS
        if self.meter.shows_only:
            return Features(supported=supported, status=_STATUSES, sensor_status=_SENSOR_STATUSES)
        supported |= Supported.SPOT_CHECK_STORAGE
        if self.clock.is_there:
            supported |= Supported.SPOT_CHECK_TIME_STAMP
        return Features(supported=supported, status=_STATUSES, sensor_status=_SENSOR_STATUSES)

    # --- stored spot checks

    def _put_away(self, frame: bytes) -> bytes:
        self._stored.append(frame)
        self._has_news = True
        return frame

    def _take_command(self, value: bytes) -> None:
        if len(value) < 2:
            raise AttError(AttCode.INVALID_LENGTH)
        needs = {uuids.RECORD_ACCESS} | ({self.measurement} if value[0] == OpCode.REPORT_STORED_RECORDS else set())
        if not needs <= self._subscribed:
            raise AttError(AttCode.CCCD_IMPROPERLY_CONFIGURED)
        if value[0] == OpCode.ABORT_OPERATION:
            self._abort(value)
            return
        if self._outgoing or self._saying is not None:
            raise AttError(AttCode.PROCEDURE_IN_PROGRESS)
        self._answer(value)

    def _abort(self, value: bytes) -> None:
        """What is still to be said of the running report is not said, its answer included."""
        if len(value) != 2 or value[1] != Operator.NULL:
            self._respond(OpCode.ABORT_OPERATION, ResponseCode.INVALID_OPERATOR)
            return
        was_busy = bool(self._outgoing) or self._saying is not None
        self._outgoing.clear()
        self._is_reporting = False
        self._respond(OpCode.ABORT_OPERATION, ResponseCode.SUCCESS if was_busy else ResponseCode.ABORT_UNSUCCESSFUL)

    def _answer(self, value: bytes) -> None:
        op_code = value[0]
        refusal = _refusal(value)
        if refusal is not None:
            self._respond(op_code, refusal)
            return
        if op_code == OpCode.REPORT_NUMBER_OF_STORED_RECORDS:
            self._say(RecordAccess.number(len(self._stored)))
            return
        had_some = bool(self._stored)
        if op_code == OpCode.REPORT_STORED_RECORDS:
            self._report()
        else:
            self._stored.clear()
            self._has_news = False
        self._respond(op_code, ResponseCode.SUCCESS if had_some else ResponseCode.NO_RECORDS_FOUND)

    def _report(self) -> None:
        self._is_reporting, self._reported = True, len(self._stored)
        for record in self._stored:
            for _ in range(2 if self.meter.faults.sends_twice else 1):
                self._outgoing.append(Indicate(characteristic=self.measurement, value=record))

    def _dropping(self, indication: Indicate) -> Indicate:
        """With the fault that is due for it."""
        if indication.characteristic != self.measurement or self._drops_left == 0:
            return indication
        self._drops_left -= 1
        return replace(indication, then_drops=True)

    def _respond(self, op_code: int, code: ResponseCode) -> None:
        self._say(RecordAccess.response(op_code, code))

    def _say(self, answer: RecordAccess) -> None:
        self._outgoing.append(Indicate(characteristic=uuids.RECORD_ACCESS, value=bytes(answer)))


_SUPPORTED: Final = {
    OpCode.REPORT_STORED_RECORDS,
    OpCode.DELETE_STORED_RECORDS,
    OpCode.REPORT_NUMBER_OF_STORED_RECORDS,
}


def _refusal(value: bytes) -> ResponseCode | None:
    """Why the command cannot be carried out; None if it can. Only all records can be chosen."""
    if value[0] not in _SUPPORTED:
        return ResponseCode.OP_CODE_NOT_SUPPORTED
    if value[1] == Operator.NULL:
        return ResponseCode.INVALID_OPERATOR
    if value[1] != Operator.ALL_RECORDS:
        return ResponseCode.OPERATOR_NOT_SUPPORTED
    return None if len(value) == 2 else ResponseCode.INVALID_OPERAND
