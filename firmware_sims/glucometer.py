"""Firmware of a blood-glucose meter (Glucose Service 0x1808) with its Record Access Control Point: a pure state machine.

Records keep their sequence numbers and stay in the meter until they are deleted or overwritten; a collector asks for
those that it lacks. It measures nothing by itself and never connects: `over_the_air` and `air` drive it.

Behaviour: Bluetooth SIG, GLS 1.0.1 sections 3.2 to 3.4.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from firmware_sims.firmware import Action, AttCode, AttError, Characteristic, Firmware, Indicate, Notify, Property
from firmware_sims.measure import Measure
from firmware_sims.meter_clock import FIRST, LAST, UNKNOWN
from firmware_sims.record_access_point import chosen_of, refusal_of
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.glucose import Feature, GlucoseMeasurement, SampleLocation, SampleType
from vitals.gatt.glucose_context import GlucoseContext, Meal
from vitals.gatt.record_access import OpCode, Operator, RecordAccess, ResponseCode
from vitals.gatt.sfloat import Sfloat
from vitals.units import MG_DL_PER_MMOL_L

CAPACITY: Final = 500
"""Records kept; the oldest is overwritten."""

LAST_SEQUENCE: Final = 0xFFFF
"""Sequence numbers start again at 0 after it, as the 16 bits do."""

FEATURE: Final = Feature.LOW_BATTERY | Feature.SAMPLE_SIZE | Feature.STRIP_INSERTION | Feature.RESULT_HIGH_LOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finger-stick as it will be sent."""

    sequence: int
    measurement: bytes
    context: bytes | None = None


class Glucometer(Firmware):
    """One glucometer with its records."""

    model = "HV-GL1"
    needs = ("glucose_mg_dl",)
    takes = ("meal", "status")
    advertised_service = uuids.GLUCOSE_SERVICE
    own_characteristics = (
        Characteristic(
            uuid=uuids.GLUCOSE_MEASUREMENT,
            service=uuids.GLUCOSE_SERVICE,
            properties=Property.NOTIFY,
            is_protected=True,
        ),
        Characteristic(
            uuid=uuids.GLUCOSE_CONTEXT, service=uuids.GLUCOSE_SERVICE, properties=Property.NOTIFY, is_protected=True
        ),
        Characteristic(uuid=uuids.GLUCOSE_FEATURE, service=uuids.GLUCOSE_SERVICE, properties=Property.READ),
        Characteristic(
            uuid=uuids.RECORD_ACCESS,
            service=uuids.GLUCOSE_SERVICE,
            properties=Property.WRITE | Property.INDICATE,
            is_protected=True,
        ),
    )

    def __init__(self, meter: Meter, *, first_sequence: int = 1) -> None:
        super().__init__(meter)
        self._records: deque[Record] = deque(maxlen=CAPACITY)
        self._next_sequence = first_sequence
        self._time_offset_min = 0
        self._has_news = False
        self._outgoing: deque[Notify | Indicate] = deque()
        self._is_busy = False
        self._is_awaiting = False
        self._reported: Record | None = None

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        mute = frozenset() if self.personality.has_context else frozenset({uuids.GLUCOSE_CONTEXT})
        return tuple(each for each in super().characteristics if each.uuid not in mute)

    @property
    def records(self) -> tuple[Record, ...]:
        """In the order in which they were taken."""
        return tuple(self._records)

    @property
    def is_advertising(self) -> bool:
        return self._has_news

    def measure(
        self,
        *,
        wall: datetime,
        glucose_mg_dl: float,
        meal: str | None = None,
        sample_type: SampleType = SampleType.CAPILLARY_WHOLE_BLOOD,
        status: int | None = None,
    ) -> Record:
        """Take one drop of blood while the wall clock shows `wall`; gives the record that was stored.

        `meal` is one of the specification's words (`preprandial`, `postprandial`, `fasting`, `casual`, `bedtime`).
        """
        sequence = self._number()
        frame = GlucoseMeasurement(
            sequence=sequence,
            base_time=self.clock.stamp(wall) or UNKNOWN,
            time_offset_min=self._time_offset_min,
            concentration=None if self.meter.faults.fails else self._concentration(glucose_mg_dl),
            unit=self.meter.unit,
            sample_type=None if self.meter.faults.fails else sample_type,
            sample_location=None if self.meter.faults.fails else SampleLocation.FINGER,
            status=status,
            context_follows=meal is not None and self.personality.has_context,
        )
        context = None
        if frame.context_follows and meal is not None:
            context = bytes(GlucoseContext(sequence=sequence, meal=Meal[meal.upper()]))
        return self._store(Record(sequence=sequence, measurement=self._cut(bytes(frame)), context=context))

    def measure_ketone(self, *, wall: datetime, mmol_l: float) -> Record:
        """Take a drop of blood with a ketone strip, as i-SENS writes it: mg/dL ten times the mmol/L, and a meal that is none
        (xDrip, `GlucoseReadingRx.java` and `caresens/ContextRx.java`)."""
        sequence = self._number()
        frame = GlucoseMeasurement(
            sequence=sequence,
            base_time=self.clock.stamp(wall) or UNKNOWN,
            concentration=self._concentration(mmol_l * 10),
            unit=self.meter.unit,
            context_follows=True,
        )
        context = b"\x02" + sequence.to_bytes(2, "little") + b"\x06"
        return self._store(Record(sequence=sequence, measurement=bytes(frame), context=context))

    def keep(self, frame: bytes) -> None:
        self._store(Record(sequence=self._number(), measurement=frame))

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        if characteristic == uuids.GLUCOSE_FEATURE:
            return bytes(FEATURE)
        return super().read(characteristic, wall=wall)

    def write(self, characteristic: str, value: bytes, *, wall: datetime) -> None:
        if characteristic == uuids.RECORD_ACCESS:
            self._take_command(value)
        else:
            super().write(characteristic, value, wall=wall)

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self._outgoing.clear()
        self._is_busy = self._is_awaiting = False
        self._reported = None

    def next_action(self) -> Action | None:
        if self._is_awaiting or not self._outgoing:
            return None
        action = self._outgoing.popleft()
        self._is_awaiting = isinstance(action, Indicate)
        return action

    def on_confirmed(self) -> None:
        """The answer has arrived: the procedure is over, and after a report there is nothing new any more."""
        assert self._is_awaiting, "a confirmation belongs to an indication"
        self._is_awaiting = False
        if self._outgoing:
            return
        self._is_busy = False
        if self._reported is not None:
            self._has_news = self._reported is not self._records[-1]
            self._reported = None

    def _measure(self, told: Measure, wall: datetime) -> None:
        assert told.glucose_mg_dl is not None, "needed"
        self.measure(wall=wall, glucose_mg_dl=told.glucose_mg_dl, meal=told.meal, status=told.status)

    # --- records

    def _number(self) -> int:
        sequence = self._next_sequence
        self._next_sequence = 0 if sequence == LAST_SEQUENCE else sequence + 1
        return sequence

    def _store(self, record: Record) -> Record:
        self._records.append(record)
        self._has_news = True
        return record

    def _concentration(self, mg_dl: float) -> Sfloat:
        if self.meter.unit == "kg/L":
            return Sfloat.of(Decimal(round(mg_dl)).scaleb(-5), -5)
        mmol_l = Decimal(str(mg_dl)) / MG_DL_PER_MMOL_L
        return Sfloat.of(mmol_l.scaleb(-3), -4)

    # --- clock

    def _shown(self, wall: datetime) -> datetime | None:
        base = self.clock.shown(wall)
        return None if base is None else base + timedelta(minutes=self._time_offset_min)

    def _set_clock(self, wanted: datetime, wall: datetime) -> bool:
        """Setting the clock moves the offset and leaves the base time, so that old records keep theirs."""
        base = self.clock.shown(wall)
        if base is None:
            return self.clock.set_to(wanted, wall=wall)
        if not FIRST <= wanted <= LAST:
            return False
        minutes = round((wanted - base) / timedelta(minutes=1))
        self._time_offset_min = max(-0x8000, min(0x7FFF, minutes))
        return True

    # --- record access

    def _take_command(self, value: bytes) -> None:
        if len(value) < 2:
            raise AttError(AttCode.INVALID_LENGTH)
        if not self._is_configured_for(value[0]):
            raise AttError(AttCode.CCCD_IMPROPERLY_CONFIGURED)
        if value[0] == OpCode.ABORT_OPERATION:
            self._abort(value)
            return
        if self._is_busy:
            raise AttError(AttCode.PROCEDURE_IN_PROGRESS)
        self._is_busy = True
        if value[0] not in _SUPPORTED:
            self._respond(value[0], ResponseCode.OP_CODE_NOT_SUPPORTED)
            return
        try:
            self._answer(RecordAccess.from_bytes(value))
        except MalformedError:
            self._respond(value[0], ResponseCode.INVALID_OPERAND)

    def _is_configured_for(self, op_code: int) -> bool:
        needs = {uuids.RECORD_ACCESS}
        if op_code == OpCode.REPORT_STORED_RECORDS:
            needs.add(uuids.GLUCOSE_MEASUREMENT)
        return needs <= self._subscribed

    def _abort(self, value: bytes) -> None:
        """What is still to be said of the running procedure is not said, its answer included."""
        if len(value) != 2 or value[1] != Operator.NULL:
            self._respond(OpCode.ABORT_OPERATION, ResponseCode.INVALID_OPERATOR)
            return
        was_busy = self._is_busy
        self._outgoing.clear()
        self._is_busy, self._reported = True, None
        self._respond(OpCode.ABORT_OPERATION, ResponseCode.SUCCESS if was_busy else ResponseCode.ABORT_UNSUCCESSFUL)

    def _answer(self, command: RecordAccess) -> None:
        refusal = refusal_of(command)
        if refusal is not None:
            self._respond(command.op_code, refusal)
            return
        chosen = chosen_of(self._numbered(), command, lambda record: record.sequence)
        if command.op_code == OpCode.REPORT_NUMBER_OF_STORED_RECORDS:
            self._say(RecordAccess.number(len(chosen)))
            return
        if command.op_code == OpCode.REPORT_STORED_RECORDS:
            self._report(chosen)
        else:
            self._delete({record.sequence for record in chosen})
        self._respond(command.op_code, ResponseCode.SUCCESS if chosen else ResponseCode.NO_RECORDS_FOUND)

    def _numbered(self) -> list[Record]:
        """The records with the numbers that a collector sees: their own, or counted from the newest, which is sent first."""
        if not self.personality.are_numbers_reversed:
            return list(self._records)
        return [_renumbered(record, nth) for nth, record in enumerate(reversed(self._records))]

    def _delete(self, sequences: set[int]) -> None:
        is_reversed = self.personality.are_numbers_reversed
        seen = reversed(self._numbered()) if is_reversed else iter(self._numbered())
        kept = (record for record, told in zip(self._records, seen, strict=True) if told.sequence not in sequences)
        self._records = deque(kept, maxlen=CAPACITY)

    def _report(self, records: Iterable[Record]) -> None:
        """What is measured from now on is news again, even while this report runs."""
        self._reported = self._records[-1] if self._records else None
        for record in records:
            for _ in range(2 if self.meter.faults.sends_twice else 1):
                self._outgoing.append(Notify(characteristic=uuids.GLUCOSE_MEASUREMENT, value=record.measurement))
                if record.context is not None and uuids.GLUCOSE_CONTEXT in self._subscribed:
                    self._outgoing.append(Notify(characteristic=uuids.GLUCOSE_CONTEXT, value=record.context))

    def _respond(self, op_code: int, code: ResponseCode) -> None:
        self._say(RecordAccess.response(op_code, code))

    def _say(self, answer: RecordAccess) -> None:
        self._outgoing.append(Indicate(characteristic=uuids.RECORD_ACCESS, value=bytes(answer)))


def _renumbered(record: Record, sequence: int) -> Record:
    measurement = record.measurement[:1] + sequence.to_bytes(2, "little") + record.measurement[3:]
    return replace(record, sequence=sequence, measurement=measurement)


_SUPPORTED: Final = {
    OpCode.REPORT_STORED_RECORDS,
    OpCode.DELETE_STORED_RECORDS,
    OpCode.REPORT_NUMBER_OF_STORED_RECORDS,
}
