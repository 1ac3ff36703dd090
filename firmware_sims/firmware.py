"""What all meters have in common: attributes to read and write, a clock, and the next thing to say.

Pure: a firmware is told what happens on the link and answers with `Action`s; it neither waits nor reads a clock. Two
drivers run it, `over_the_air` on Bumble and `air` in memory, and both do no more than carry its actions out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag
from typing import Final

from firmware_sims.clock_services import PLACES, WINDOW_FROM, Place, wanted
from firmware_sims.measure import Measure
from firmware_sims.meter_clock import UNKNOWN, MeterClock
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.local_time import QUARTER, LocalTime

BATTERY_PERCENT: Final = 87


class AttCode(IntEnum):
    """ATT errors that a meter gives (Core Vol 3, Part F, 3.4.1.1; Core Supplement, Part B, 1.2; those about an E2E-CRC: CGMS
    1.0.2 section 1.8)."""

    READ_NOT_PERMITTED = 0x02
    WRITE_NOT_PERMITTED = 0x03
    INVALID_LENGTH = 0x0D
    VALUE_NOT_ALLOWED = 0x13
    MISSING_CRC = 0x80
    INVALID_CRC = 0x81
    CCCD_IMPROPERLY_CONFIGURED = 0xFD
    PROCEDURE_IN_PROGRESS = 0xFE


class AttError(Exception):
    """The meter refuses a read or a write."""

    def __init__(self, code: AttCode) -> None:
        super().__init__(code.name)
        self.code = code


class Property(IntFlag):
    """Characteristic Properties, by the bits that travel."""

    READ = 0x02
    WRITE = 0x08
    NOTIFY = 0x10
    INDICATE = 0x20


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """`is_protected`: a secure meter wants an encrypted link before it is written or subscribed to."""

    uuid: str
    service: str
    properties: Property
    is_protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    characteristic: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicate:
    """Wait for the confirmation and say so (`on_confirmed`); or, if `then_drops`, let the link drop at once."""

    characteristic: str
    value: bytes
    then_drops: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the connection."""


Action = Notify | Indicate | HangUp


def _readable(uuid: str, service: str) -> Characteristic:
    return Characteristic(uuid=uuid, service=service, properties=Property.READ)


def _private(uuid: str, service: str) -> Characteristic:
    """One of the maker's own: it can be written to, and nothing comes of it here."""
    return Characteristic(uuid=uuid, service=service, properties=Property.WRITE)


_HOUSEKEEPING: Final = (
    _readable(uuids.MANUFACTURER_NAME, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.MODEL_NUMBER, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.SERIAL_NUMBER, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.FIRMWARE_REVISION, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.BATTERY_LEVEL, uuids.BATTERY_SERVICE),
)


_LOCAL_TIME: Final = Characteristic(
    uuid=uuids.LOCAL_TIME,
    service=uuids.CURRENT_TIME_SERVICE,
    properties=Property.READ | Property.WRITE,
    is_protected=True,
)


class Firmware(ABC):
    """One meter. `model` and `own_characteristics` are what a kind of meter adds.

    `needs` and `takes` are the fields of a `Measure` without which it cannot measure, and those that it may be told beside them.
    """

    model: str
    advertised_service: str
    own_characteristics: tuple[Characteristic, ...]
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.clock = MeterClock.of(meter.clock)
        self.personality = meter.personality
        self._reads = 0
        self._has_lost_patience = False
        self._asked_at: datetime | None = None
        self._local_time = LocalTime()
        self._is_window_open = False
        self._subscribed: set[str] = set()

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        extra = self.personality.own_characteristic
        private = () if extra is None else (_private(extra, self.advertised_service),)
        return self.own_characteristics + private + self._clock_characteristics + _HOUSEKEEPING

    @property
    @abstractmethod
    def is_advertising(self) -> bool:
        """Whether there is something that a collector has not taken yet."""

    @property
    def is_ticking(self) -> bool:
        """Whether time means something to it now: its driver then says `on_tick` every `Meter.tick_ms`, on a link or not."""
        return False

    def on_tick(self, *, wall: datetime) -> None:
        """Another `Meter.tick_ms` has passed, and the wall clock shows `wall`."""
        assert self.is_ticking, "time is told to those only to whom it means something"

    @abstractmethod
    def next_action(self) -> Action | None:
        """What to do on the link now; None if there is nothing, or a confirmation is awaited."""

    @abstractmethod
    def on_confirmed(self) -> None:
        """The indication sent last was confirmed."""

    @abstractmethod
    def keep(self, frame: bytes) -> None:
        """Store a measurement frame as it is, however wrong."""

    def obey(self, told: Measure, *, wall: datetime) -> None:
        """Measure what it is told while the wall clock shows `wall`; raises `MalformedError` for what it cannot measure."""
        lacking = [field for field in self.needs if field not in told.given]
        foreign = sorted(told.given - {*self.needs, *self.takes})
        if lacking:
            raise MalformedError("command", f"{told.meter} must be told {', '.join(lacking)}", told.meter)
        if foreign:
            raise MalformedError("command", f"{told.meter} cannot measure {', '.join(foreign)}", told.meter)
        self._measure(told, wall)

    @abstractmethod
    def _measure(self, told: Measure, wall: datetime) -> None:
        """Do so; every field of `needs` is there, and none that is not in `needs` or `takes`."""

    def on_connected(self) -> None:
        """Subscriptions are made anew on every connection, as every collector does."""
        self._subscribed.clear()
        self._reads, self._is_window_open, self._has_lost_patience = 0, False, False

    def on_disconnected(self) -> None:
        self._subscribed.clear()
        self.clock.switch_off()

    def on_subscribed(self, characteristic: str, *, is_on: bool) -> None:
        """The collector wrote the right bit into the characteristic's configuration, or cleared it."""
        if is_on:
            self._subscribed.add(characteristic)
        else:
            self._subscribed.discard(characteristic)

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        """The value now, when the wall clock shows `wall`; raises `AttError`."""
        self._reads, self._asked_at = self._reads + 1, wall
        after = self.meter.faults.impatient_after
        self._has_lost_patience |= after is not None and self._reads > after and not self._subscribed
        about = self.personality.about
        match characteristic:
            case uuids.MODEL_NUMBER:
                return about.get("model", self.model).encode()
            case uuids.MANUFACTURER_NAME:
                return about.get("manufacturer", "HomeVigil Sims").encode()
            case uuids.SERIAL_NUMBER:
                return f"SIM{self.meter.index:06d}".encode()
            case uuids.FIRMWARE_REVISION:
                return about.get("firmware", "1.0").encode()
            case uuids.BATTERY_LEVEL:
                return bytes((BATTERY_PERCENT,))
        if characteristic == uuids.LOCAL_TIME and self.meter.has_local_time:
            return bytes(self._local_time)
        place = self._clock_place
        if place is None or characteristic != place.characteristic or not place.is_readable:
            raise AttError(AttCode.READ_NOT_PERMITTED)
        if characteristic == uuids.CURRENT_TIME:
            return bytes(self._current_time(wall))
        shown = self._shown(wall)
        return bytes(UNKNOWN if shown is None else DateTime.of(shown))

    def write(self, characteristic: str, value: bytes, *, wall: datetime) -> None:
        """Take a write; raises `AttError`."""
        if characteristic == uuids.LOCAL_TIME and self.meter.has_local_time:
            self._move_to(value)
            return
        place = self._clock_place
        if place is None or characteristic != place.characteristic or not place.is_writable:
            raise AttError(AttCode.WRITE_NOT_PERMITTED)
        if place.says is not None and characteristic not in self._subscribed:
            raise AttError(AttCode.CCCD_IMPROPERLY_CONFIGURED)
        try:
            asked_for = wanted(self.personality.clock_service, value)
        except MalformedError as e:
            raise AttError(AttCode.INVALID_LENGTH) from e
        if asked_for is None:
            raise AttError(AttCode.VALUE_NOT_ALLOWED)
        if self.personality.clock_service == "window":
            self._pass_window(asked_for, wall)
        if not self.meter.faults.ignores_clock_writes and not self._set_clock(asked_for, wall):
            raise AttError(AttCode.VALUE_NOT_ALLOWED)

    def _move_to(self, value: bytes) -> None:
        """As a phone does: the clock goes on by as much as the new place is ahead of the old one."""
        try:
            place = LocalTime.from_bytes(value)
        except MalformedError as e:
            raise AttError(AttCode.INVALID_LENGTH) from e
        before, self._local_time = self._local_time, place
        quarters = ((place.zone or 0) + (place.daylight or 0)) - ((before.zone or 0) + (before.daylight or 0))
        self.clock.offset += quarters * QUARTER

    @property
    def _clock_place(self) -> Place | None:
        return PLACES.get(self.personality.clock_service) if self.clock.is_there else None

    @property
    def _clock_characteristics(self) -> tuple[Characteristic, ...]:
        place = self._clock_place
        if place is None:
            return ()
        properties = Property.READ if place.is_readable else Property(0)
        properties |= Property.WRITE if place.is_writable else Property(0)
        if place.says is not None:
            properties |= Property.NOTIFY if place.says == "notify" else Property.INDICATE
        service = place.service or self.advertised_service
        clock = Characteristic(uuid=place.characteristic, service=service, properties=properties, is_protected=True)
        return (clock, _LOCAL_TIME) if self.meter.has_local_time else (clock,)

    def _open_window(self) -> Notify | None:
        """The first notification of the clock on this link, once somebody listens to it; from then on it may be set. The time is
        that of the last read: who listens to a clock has just read it."""
        is_awaited = self.personality.clock_service == "window" and uuids.CURRENT_TIME in self._subscribed
        if not is_awaited or self._is_window_open or self._asked_at is None:
            return None
        self._is_window_open = True
        return Notify(characteristic=uuids.CURRENT_TIME, value=bytes(self._current_time(self._asked_at)))

    def _pass_window(self, asked_for: datetime, wall: datetime) -> None:
        shown = self._shown(wall)
        if not self._is_window_open or (shown is not None and abs(asked_for - shown) <= WINDOW_FROM):
            raise AttError(AttCode.WRITE_NOT_PERMITTED)

    def _set_clock(self, wanted: datetime, wall: datetime) -> bool:
        return self.clock.set_to(wanted, wall=wall)

    def _current_time(self, wall: datetime) -> CurrentTime:
        shown = self._shown(wall)
        return CurrentTime(date_time=UNKNOWN) if shown is None else CurrentTime.of(shown, 0)

    def _shown(self, wall: datetime) -> datetime | None:
        return self.clock.shown(wall)

    def _cut(self, frame: bytes) -> bytes:
        return frame[: self.meter.faults.truncate_to]
