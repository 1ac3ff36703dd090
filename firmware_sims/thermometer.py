"""Firmware of a clinical thermometer (Health Thermometer Service 0x1809): a pure state machine.

Each temperature is a record, indicated as `IndicatingMeter` does. One that `rises` takes some seconds, in which it shows, to who
listens, how far it is; only what it ends with is a measurement.

Behaviour: Bluetooth SIG, HTS 1.0.
"""

from collections import deque
from datetime import datetime
from decimal import Decimal
from typing import Final

from firmware_sims.firmware import Action, Characteristic, Notify, Property
from firmware_sims.indicating_meter import IndicatingMeter
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from vitals.gatt import float32, uuids
from vitals.gatt.float32 import Float32
from vitals.gatt.health_thermometer import IntermediateTemperature, TemperatureMeasurement, TemperatureType

ALWAYS: Final = TemperatureType.ARMPIT
"""Where it measures if it is not told otherwise, as its Temperature Type says; the frame then says nothing."""

BELOW: Final = tuple(map(Decimal, ("3.2", "1.8", "0.9", "0.4", "0.1")))
"""How many °C a thermometer in an armpit is below the end, tick by tick."""


class Thermometer(IndicatingMeter):
    """One thermometer with its records."""

    model = "HV-TH1"
    measurement = uuids.TEMPERATURE_MEASUREMENT
    needs = ("temperature_celsius",)
    takes = ("site", "rises")
    advertised_service = uuids.HEALTH_THERMOMETER_SERVICE
    own_characteristics = (
        Characteristic(
            uuid=uuids.TEMPERATURE_MEASUREMENT,
            service=uuids.HEALTH_THERMOMETER_SERVICE,
            properties=Property.INDICATE,
            is_protected=True,
        ),
        Characteristic(uuid=uuids.TEMPERATURE_TYPE, service=uuids.HEALTH_THERMOMETER_SERVICE, properties=Property.READ),
        Characteristic(
            uuid=uuids.INTERMEDIATE_TEMPERATURE,
            service=uuids.HEALTH_THERMOMETER_SERVICE,
            properties=Property.NOTIFY,
            is_protected=True,
        ),
    )

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._rising: tuple[float, TemperatureType | None] | None = None
        self._still_below: deque[Decimal] = deque()
        self._to_show: bytes | None = None

    @property
    def is_advertising(self) -> bool:
        return super().is_advertising or self.is_ticking

    @property
    def is_ticking(self) -> bool:
        return self._rising is not None

    def measure(self, *, wall: datetime, temperature_celsius: float, site: TemperatureType | None = None) -> bytes:
        """Measure once while the wall clock shows `wall`; gives the frame that was stored."""
        sent = float32.NAN if self.meter.faults.fails else self._float(Decimal(str(temperature_celsius)))
        return self._store(
            TemperatureMeasurement(
                temperature=sent,
                unit=self.meter.temperature_unit,
                date_time=self.clock.stamp(wall),
                type_code=site,
            )
        )

    def begin(self, *, temperature_celsius: float, site: TemperatureType | None = None) -> None:
        """Begin to rise to this temperature, which is measured a tick after the last that is shown on the way."""
        self._rising = (temperature_celsius, site)
        self._still_below = deque(BELOW)

    def on_tick(self, *, wall: datetime) -> None:
        super().on_tick(wall=wall)
        assert self._rising is not None, "it ticks while it rises"
        end, site = self._rising
        if self._still_below:
            shown = self._float(Decimal(str(end)) - self._still_below.popleft())
            self._to_show = bytes(
                IntermediateTemperature(temperature=shown, unit=self.meter.temperature_unit, type_code=site)
            )
            return
        self._rising = self._to_show = None
        self.measure(wall=wall, temperature_celsius=end, site=site)

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        if characteristic == uuids.TEMPERATURE_TYPE:
            return bytes((ALWAYS,))
        return super().read(characteristic, wall=wall)

    def next_action(self) -> Action | None:
        shown, self._to_show = self._to_show, None
        if shown is not None and uuids.INTERMEDIATE_TEMPERATURE in self._subscribed:
            return Notify(characteristic=uuids.INTERMEDIATE_TEMPERATURE, value=shown)
        if self.is_ticking and not self._records:
            return None  # it has more to say, and does not hang up
        return super().next_action()

    def _measure(self, told: Measure, wall: datetime) -> None:
        assert told.temperature_celsius is not None, "needed"
        site = None if told.site is None else TemperatureType[told.site.upper()]
        if told.rises:
            self.begin(temperature_celsius=told.temperature_celsius, site=site)
        else:
            self.measure(wall=wall, temperature_celsius=told.temperature_celsius, site=site)

    def _float(self, celsius: Decimal) -> Float32:
        """At the tenth of a degree that its display has."""
        return Float32.of(celsius * 9 / 5 + 32 if self.meter.temperature_unit == "°F" else celsius, -1)
