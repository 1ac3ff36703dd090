"""Firmware of a blood-pressure cuff (Blood Pressure Service 0x1810): a pure state machine.

Each inflation is a record, indicated as `IndicatingMeter` does. One that is told to take its time shows who listens the pressure
in the cuff, tick by tick, before there is any result. It measures nothing by itself and never connects: `over_the_air` and `air`
drive it.
"""

from collections import deque
from datetime import datetime
from typing import Final

from firmware_sims.firmware import Action, Characteristic, Notify, Property
from firmware_sims.indicating_meter import IndicatingMeter
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement, Feature, IntermediateCuffPressure
from vitals.gatt.sfloat import NAN, Sfloat

FEATURE: Final = Feature.BODY_MOVEMENT | Feature.CUFF_FIT | Feature.IRREGULAR_PULSE | Feature.POSITION

ON_THE_WAY_MMHG: Final = (40, 90, 140, 175, 150, 110, 70)
"""What is in the cuff, tick by tick."""


class BloodPressureMeter(IndicatingMeter):
    """One cuff with its records."""

    model = "HV-BP1"
    measurement = uuids.BLOOD_PRESSURE_MEASUREMENT
    needs = ("systolic_mmhg", "diastolic_mmhg")
    takes = ("pulse_bpm", "user_slot", "status", "rises")
    advertised_service = uuids.BLOOD_PRESSURE_SERVICE
    own_characteristics: tuple[Characteristic, ...] = (
        Characteristic(
            uuid=uuids.BLOOD_PRESSURE_MEASUREMENT,
            service=uuids.BLOOD_PRESSURE_SERVICE,
            properties=Property.INDICATE,
            is_protected=True,
        ),
        Characteristic(
            uuid=uuids.BLOOD_PRESSURE_FEATURE, service=uuids.BLOOD_PRESSURE_SERVICE, properties=Property.READ
        ),
        Characteristic(
            uuid=uuids.INTERMEDIATE_CUFF_PRESSURE,
            service=uuids.BLOOD_PRESSURE_SERVICE,
            properties=Property.NOTIFY,
            is_protected=True,
        ),
    )

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._inflating: Measure | None = None
        self._still_to_show: deque[int] = deque()
        self._to_show: deque[Notify] = deque()

    @property
    def is_advertising(self) -> bool:
        return super().is_advertising or self.is_ticking

    @property
    def is_ticking(self) -> bool:
        return self._inflating is not None

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

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        if characteristic == uuids.BLOOD_PRESSURE_FEATURE:
            return bytes(FEATURE)
        return super().read(characteristic, wall=wall)

    def on_tick(self, *, wall: datetime) -> None:
        super().on_tick(wall=wall)
        assert self._inflating is not None, "it ticks while it inflates"
        self._to_show.clear()
        if self._still_to_show:
            self._to_show.extend(self._on_the_way(self._still_to_show.popleft()))
            return
        told, self._inflating = self._inflating, None
        self._take(told, wall)

    def next_action(self) -> Action | None:
        while self._to_show:
            shown = self._to_show.popleft()
            if shown.characteristic in self._subscribed:
                return shown
        if self.is_ticking and not self._records:
            return None  # it has more to say, and does not hang up
        return super().next_action()

    def _measure(self, told: Measure, wall: datetime) -> None:
        if told.rises:
            self._inflating, self._still_to_show = told, deque(ON_THE_WAY_MMHG)
        else:
            self._take(told, wall)

    def _take(self, told: Measure, wall: datetime) -> None:
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

    def _on_the_way(self, mmhg: int) -> list[Notify]:
        """How it is said that there is so much in the cuff."""
        shown = IntermediateCuffPressure(pressure=Sfloat.of(mmhg))
        return [Notify(characteristic=uuids.INTERMEDIATE_CUFF_PRESSURE, value=bytes(shown))]

    def _failed(self, wall: datetime) -> BloodPressureMeasurement:
        """As a boso medicus says it: no number anywhere, and a status of 0, which does not mean "good"."""
        return BloodPressureMeasurement(
            systolic=NAN, diastolic=NAN, mean=NAN, date_time=self.clock.stamp(wall), pulse=NAN, status=0
        )
