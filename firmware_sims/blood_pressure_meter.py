"""Firmware of a blood-pressure cuff (Blood Pressure Service 0x1810): a pure state machine.

It stores each inflation as a record, advertises while it has one, indicates the records oldest first once a collector
has subscribed, and deletes a record only when its indication was confirmed. It measures nothing by itself and never
connects: `over_the_air` and `air` drive it.
"""

from collections import deque
from datetime import datetime
from typing import Final

from firmware_sims.firmware import Action, Characteristic, Firmware, HangUp, Indicate, Property
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement, Feature
from vitals.gatt.sfloat import NAN, Sfloat

CAPACITY: Final = 250
"""Records kept. A full memory overwrites its oldest record, as the meters' manuals say of theirs."""

FEATURE: Final = Feature.BODY_MOVEMENT | Feature.CUFF_FIT | Feature.IRREGULAR_PULSE | Feature.POSITION


class BloodPressureMeter(Firmware):
    """One cuff with its records."""

    model = "HV-BP1"
    needs = ("systolic_mmhg", "diastolic_mmhg")
    takes = ("pulse_bpm", "user_slot", "status")
    advertised_service = uuids.BLOOD_PRESSURE_SERVICE
    own_characteristics = (
        Characteristic(
            uuid=uuids.BLOOD_PRESSURE_MEASUREMENT,
            service=uuids.BLOOD_PRESSURE_SERVICE,
            properties=Property.INDICATE,
            is_protected=True,
        ),
        Characteristic(
            uuid=uuids.BLOOD_PRESSURE_FEATURE, service=uuids.BLOOD_PRESSURE_SERVICE, properties=Property.READ
        ),
    )

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._records: deque[bytes] = deque(maxlen=CAPACITY)
        self._drops_left = meter.faults.drops_after_indication
        self._is_awaiting = False
        self._sent_of_first = 0
        self._may_hang_up = False

    @property
    def records(self) -> tuple[bytes, ...]:
        """Frames not yet confirmed by a collector, oldest first."""
        return tuple(self._records)

    @property
    def is_advertising(self) -> bool:
        return bool(self._records)

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
        """Inflate once while the wall clock shows `wall`; gives the frame that was stored."""
        if self.meter.faults.fails:
            return self._store(self._failed(wall))
        mean = diastolic_mmhg + (systolic_mmhg - diastolic_mmhg) / 3
        return self._store(
            BloodPressureMeasurement(
                systolic=Sfloat.of(systolic_mmhg),
                diastolic=Sfloat.of(diastolic_mmhg),
                mean=Sfloat.of(mean),
                date_time=self.clock.stamp(wall),
                pulse=None if pulse_bpm is None else Sfloat.of(pulse_bpm),
                user_id=user_slot,
                status=status,
            )
        )

    def keep(self, frame: bytes) -> None:
        self._records.append(frame)

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        if characteristic == uuids.BLOOD_PRESSURE_FEATURE:
            return bytes(FEATURE)
        return super().read(characteristic, wall=wall)

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self._is_awaiting = False
        self._sent_of_first = 0
        self._may_hang_up = False

    def next_action(self) -> Action | None:
        if self._is_awaiting or uuids.BLOOD_PRESSURE_MEASUREMENT not in self._subscribed:
            return None
        if self._records:
            return self._indicate(self._records[0])
        if self._may_hang_up and self.meter.faults.hangs_up:
            self._may_hang_up = False
            return HangUp()
        return None

    def on_confirmed(self) -> None:
        assert self._is_awaiting, "a confirmation belongs to an indication"
        self._is_awaiting = False
        self._sent_of_first += 1
        if self._sent_of_first == (2 if self.meter.faults.sends_twice else 1):
            self._sent_of_first = 0
            self._records.popleft()
            self._may_hang_up = True

    def _measure(self, told: Measure, wall: datetime) -> None:
        assert told.systolic_mmhg is not None, "needed"
        assert told.diastolic_mmhg is not None, "needed"
        self.measure(
            wall=wall,
            systolic_mmhg=told.systolic_mmhg,
            diastolic_mmhg=told.diastolic_mmhg,
            pulse_bpm=told.pulse_bpm,
            user_slot=told.user_slot,
            status=told.status or 0,
        )

    def _indicate(self, record: bytes) -> Indicate:
        self._is_awaiting = True
        then_drops = self._drops_left > 0
        self._drops_left -= then_drops
        return Indicate(characteristic=uuids.BLOOD_PRESSURE_MEASUREMENT, value=record, then_drops=then_drops)

    def _store(self, frame: BloodPressureMeasurement) -> bytes:
        record = self._cut(bytes(frame))
        self._records.append(record)
        return record

    def _failed(self, wall: datetime) -> BloodPressureMeasurement:
        """As a boso medicus says it: no number anywhere, and a status of 0, which does not mean "good"."""
        return BloodPressureMeasurement(
            systolic=NAN, diastolic=NAN, mean=NAN, date_time=self.clock.stamp(wall), pulse=NAN, status=0
        )
