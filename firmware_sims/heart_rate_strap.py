"""Firmware of a heart-rate strap (Heart Rate Service 0x180D): a pure state machine.

While it is worn it advertises, and tells who listens every tick what it shows. It keeps nothing and has no clock. Beats are even:
the intervals are those of a metronome at this rate, each told once.

Behaviour: Bluetooth SIG, HRS 1.0.
"""

from collections import deque
from datetime import datetime
from typing import Final

from firmware_sims.firmware import Action, Characteristic, Firmware, HangUp, Notify, Property
from firmware_sims.measure import Measure
from firmware_sims.meter_clock import MeterClock
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.heart_rate import INTERVALS_PER_S, BodySensorLocation, HeartRateMeasurement

UNSAID: Final = 16
"""Frames that wait for a link; the oldest is dropped, as a strap keeps nothing."""

MOST_INTERVALS: Final = 9
"""What fits a notification of 20 bytes beside flags and rate. A strap with more to tell forgets it."""


class HeartRateStrap(Firmware):
    """One strap, worn or not."""

    model = "HV-HR1"
    needs = ()
    takes = ("pulse_bpm", "is_worn", "has_contact")
    advertised_service = uuids.HEART_RATE_SERVICE
    own_characteristics = (
        Characteristic(uuid=uuids.HEART_RATE_MEASUREMENT, service=uuids.HEART_RATE_SERVICE, properties=Property.NOTIFY),
        Characteristic(uuid=uuids.BODY_SENSOR_LOCATION, service=uuids.HEART_RATE_SERVICE, properties=Property.READ),
    )

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self.clock = MeterClock(is_there=False)
        self._bpm = 0
        self._has_contact = True
        self._is_worn = False
        self._since_beat = 0
        self._outgoing: deque[bytes] = deque(maxlen=UNSAID)
        self._may_hang_up = False

    @property
    def is_advertising(self) -> bool:
        return self._is_worn or bool(self._outgoing)

    @property
    def is_ticking(self) -> bool:
        return self._is_worn

    def put_on(self, *, pulse_bpm: int, has_contact: bool = True) -> None:
        """Wear it, or go on wearing it with another pulse."""
        self._is_worn, self._bpm, self._has_contact = True, pulse_bpm, has_contact

    def take_off(self) -> None:
        """What was not told until now is not told any more."""
        self._is_worn = False
        self._outgoing.clear()
        self._since_beat = 0
        self._may_hang_up = True

    def keep(self, frame: bytes) -> None:
        self._outgoing.append(frame)

    def on_tick(self, *, wall: datetime) -> None:
        super().on_tick(wall=wall)
        if uuids.HEART_RATE_MEASUREMENT not in self._subscribed:
            return
        frame = self._cut(bytes(self._frame()))
        self._outgoing.extend([frame] * (2 if self.meter.faults.sends_twice else 1))

    def on_connected(self) -> None:
        super().on_connected()
        self._may_hang_up = False

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        if characteristic == uuids.BODY_SENSOR_LOCATION:
            return bytes((BodySensorLocation.CHEST,))
        return super().read(characteristic, wall=wall)

    def next_action(self) -> Action | None:
        if self._outgoing and uuids.HEART_RATE_MEASUREMENT in self._subscribed:
            return Notify(characteristic=uuids.HEART_RATE_MEASUREMENT, value=self._outgoing.popleft())
        if self._may_hang_up and self.meter.faults.hangs_up:
            self._may_hang_up = False
            return HangUp()
        return None

    def on_confirmed(self) -> None:
        raise AssertionError("a strap indicates nothing")

    def _measure(self, told: Measure, wall: datetime) -> None:
        if told.is_worn is False:
            self.take_off()
        elif told.pulse_bpm is None:
            raise MalformedError("command", f"{told.meter} must be told pulse_bpm", told.meter)
        else:
            self.put_on(pulse_bpm=told.pulse_bpm, has_contact=told.has_contact is not False)

    def _frame(self) -> HeartRateMeasurement:
        """Without skin under it, or failing, a strap hears no beat."""
        if self.meter.faults.fails or not self._has_contact or self._bpm == 0:
            return HeartRateMeasurement(bpm=0, has_contact=self._has_contact and not self.meter.faults.fails)
        return HeartRateMeasurement(bpm=self._bpm, has_contact=True, intervals=self._beats())

    def _beats(self) -> tuple[int, ...]:
        """The beats of one tick, in 1/1024 s; what is left of the tick belongs to the next beat."""
        interval = round(60 * INTERVALS_PER_S / self._bpm)
        self._since_beat += self.meter.tick_ms * INTERVALS_PER_S // 1000
        count, self._since_beat = divmod(self._since_beat, interval)
        return (interval,) * min(count, MOST_INTERVALS)
