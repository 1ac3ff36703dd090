"""Firmware of a blood-pressure cuff (Blood Pressure Service 0x1810): a pure state machine.

Each inflation is a record, indicated as `IndicatingMeter` does. It measures nothing by itself and never connects:
`over_the_air` and `air` drive it.
"""

from datetime import datetime
from typing import Final

from firmware_sims.firmware import Characteristic, Property
from firmware_sims.indicating_meter import IndicatingMeter
from firmware_sims.measure import Measure
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement, Feature
from vitals.gatt.sfloat import NAN, Sfloat

FEATURE: Final = Feature.BODY_MOVEMENT | Feature.CUFF_FIT | Feature.IRREGULAR_PULSE | Feature.POSITION


class BloodPressureMeter(IndicatingMeter):
    """One cuff with its records."""

    model = "HV-BP1"
    measurement = uuids.BLOOD_PRESSURE_MEASUREMENT
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

    def _failed(self, wall: datetime) -> BloodPressureMeasurement:
        """As a boso medicus says it: no number anywhere, and a status of 0, which does not mean "good"."""
        return BloodPressureMeasurement(
            systolic=NAN, diastolic=NAN, mean=NAN, date_time=self.clock.stamp(wall), pulse=NAN, status=0
        )
