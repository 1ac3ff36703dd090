"""Firmware of an enhanced cuff (Blood Pressure Service 1.1) with its Record Access Control Point: a pure state machine.

It is a classic cuff, too: an inflation is indicated as 0x2A35 to who wants that, and kept as a record for who asks. A record is
numbered for its user alone, from 0 to 65,535 and again from 0, holds the enhanced measurement, and is cut into segments that
fit the smallest notification. It stays when it has been reported.

Layouts: GATT Specification Supplement (2025-12-23) sections 3.35, 3.97 and 3.98. It measures nothing by itself and never
connects: `over_the_air` and `air` drive it.
"""

from collections import deque
from datetime import UTC, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from firmware_sims.blood_pressure_meter import FEATURE, BloodPressureMeter
from firmware_sims.firmware import Action, Characteristic, Notify, Property
from firmware_sims.indicating_meter import CAPACITY
from firmware_sims.record_access_point import Numbered, RecordAccessPoint
from firmware_sims.settings import Meter
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import Feature
from vitals.gatt.blood_pressure_record import BloodPressureRecord
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement, EnhancedIntermediateCuffPressure
from vitals.gatt.sfloat import NAN, Sfloat

NUMBERS: Final = 0x10000
PART_MAX: Final = 15
"""An ATT_MTU of 23 leaves 20 octets, of which the head of a segment takes five."""


def _own(uuid: str, properties: Property) -> Characteristic:
    return Characteristic(uuid=uuid, service=uuids.BLOOD_PRESSURE_SERVICE, properties=properties, is_protected=True)


class EnhancedBloodPressureMeter(BloodPressureMeter):
    """One cuff with its records. `is_sealed`: each record carries an E2E-CRC; `has_combined`: it knows the combined report."""

    model = "HV-BP2"
    own_characteristics = (
        *BloodPressureMeter.own_characteristics,
        _own(uuids.ENHANCED_INTERMEDIATE_CUFF_PRESSURE, Property.NOTIFY),
        _own(uuids.BLOOD_PRESSURE_RECORD, Property.NOTIFY),
        _own(uuids.RECORD_ACCESS, Property.WRITE | Property.INDICATE),
    )

    def __init__(
        self, meter: Meter, *, is_sealed: bool = True, has_combined: bool = True, first_number: int = 0
    ) -> None:
        super().__init__(meter)
        self.is_sealed = is_sealed
        self._first_number = first_number
        self._stored: deque[Numbered] = deque(maxlen=CAPACITY)
        self._next_number: dict[int | None, int] = {}
        self._counter = 0
        self._has_news = False
        self._reported: Numbered | None = None
        self._access = RecordAccessPoint(
            uuids.BLOOD_PRESSURE_RECORD, has_combined=has_combined, sends_twice=meter.faults.sends_twice
        )

    @property
    def stored(self) -> tuple[Numbered, ...]:
        """In the order in which they were taken."""
        return tuple(self._stored)

    @property
    def is_advertising(self) -> bool:
        return self._has_news or self.is_ticking

    def measure(
        self,
        *,
        wall: datetime,
        systolic_mmhg: float,
        diastolic_mmhg: float,
        pulse_bpm: float | None = None,
        user_slot: int | None = None,
        status: int | None = 0,
    ) -> bytes:
        """Inflate once while the wall clock shows `wall`; gives the enhanced frame that was stored."""
        super().measure(
            wall=wall,
            systolic_mmhg=systolic_mmhg,
            diastolic_mmhg=diastolic_mmhg,
            pulse_bpm=pulse_bpm,
            user_slot=user_slot,
            status=status,
        )
        fails = self.meter.faults.fails
        base_s, shown_s, epoch_year = self._stamps(wall)
        mean = diastolic_mmhg + (systolic_mmhg - diastolic_mmhg) / 3
        frame = EnhancedBloodPressureMeasurement(
            systolic=NAN if fails else Sfloat.of(systolic_mmhg),
            diastolic=NAN if fails else Sfloat.of(diastolic_mmhg),
            mean=NAN if fails else Sfloat.of(mean),
            epoch_year=epoch_year,
            time_stamp_s=base_s,
            user_facing_s=shown_s,
            pulse=None if pulse_bpm is None else NAN if fails else Sfloat.of(pulse_bpm),
            user_id=user_slot,
            status=0 if fails else status,
        )
        self.put_away(uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT, bytes(frame), user_slot=user_slot)
        return bytes(frame)

    def put_away(self, contained: str, value: bytes, *, user_slot: int | None = None) -> None:
        """Store a value of the characteristic `contained` as the next record of this user."""
        number = self._number(user_slot)
        record = BloodPressureRecord(sequence=number, uuid=int(contained, 16), value=value)
        segments = record.segments(part_max=PART_MAX, is_sealed=self.is_sealed, counter=self._counter)
        self._counter = (segments[-1].counter + 1) % 64
        self._store_record(Numbered(number=number, frames=tuple(self._cut(bytes(each)) for each in segments)))

    def keep(self, frame: bytes) -> None:
        self._store_record(Numbered(number=self._number(None), frames=(frame,)))

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        if characteristic == uuids.BLOOD_PRESSURE_FEATURE:
            return bytes(FEATURE | Feature.USER_FACING_TIME | (Feature.E2E_CRC if self.is_sealed else Feature(0)))
        return super().read(characteristic, wall=wall)

    def write(self, characteristic: str, value: bytes, *, wall: datetime) -> None:
        if characteristic == uuids.RECORD_ACCESS:
            self._access.command(value, subscribed=self._subscribed, records=self._stored)
            self._reported = self._stored[-1] if self._stored else None
        else:
            super().write(characteristic, value, wall=wall)

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self._access.on_disconnected()
        self._reported = None

    def next_action(self) -> Action | None:
        if self._access.is_awaiting:
            return None
        if self._sending is None and self._access.is_busy:
            return self._access.next_action()
        return super().next_action()

    def on_confirmed(self) -> None:
        """Of what was reported whole, or taken the classic way to the last, nothing is new any more."""
        if not self._access.is_awaiting:
            super().on_confirmed()
            self._has_news = bool(self._records)
        elif self._access.on_confirmed():
            self._has_news = bool(self._stored) and self._reported is not self._stored[-1]
            self._records.clear()

    def _on_the_way(self, mmhg: int) -> list[Notify]:
        shown = EnhancedIntermediateCuffPressure(pressure=Sfloat.of(mmhg))
        enhanced = Notify(characteristic=uuids.ENHANCED_INTERMEDIATE_CUFF_PRESSURE, value=bytes(shown))
        return [*super()._on_the_way(mmhg), enhanced]

    def _number(self, user_slot: int | None) -> int:
        number = self._next_number.get(user_slot, self._first_number)
        self._next_number[user_slot] = (number + 1) % NUMBERS
        return number

    def _store_record(self, record: Numbered) -> None:
        self._stored.append(record)
        self._has_news = True

    def _stamps(self, wall: datetime) -> tuple[int | None, int | None, Literal[1900, 2000]]:
        """Base time and user-facing time in seconds, and since when. The base runs in UTC, the other one is what it shows."""
        shown = self.clock.shown(wall)
        if shown is None:
            return None, None, 2000
        epoch_year: Literal[1900, 2000] = 2000 if shown.year > 2000 else 1900
        epoch = datetime(epoch_year, 1, 1)  # noqa: DTZ001  # a meter's clock has no zone
        base = shown.replace(tzinfo=ZoneInfo(self.meter.zone)).astimezone(UTC).replace(tzinfo=None)
        return int((base - epoch).total_seconds()), int((shown - epoch).total_seconds()), epoch_year
