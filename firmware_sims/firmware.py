"""What all meters have in common: attributes to read and write, a clock, and the next thing to say.

Pure: a firmware is told what happens on the link and answers with `Action`s; it neither waits nor reads a clock. Two
drivers run it, `over_the_air` on Bumble and `air` in memory, and both do no more than carry its actions out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag
from typing import Final

from firmware_sims.measure import Measure
from firmware_sims.meter_clock import UNKNOWN, MeterClock
from firmware_sims.settings import Meter
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.current_time import CurrentTime

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


_HOUSEKEEPING: Final = (
    _readable(uuids.MANUFACTURER_NAME, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.MODEL_NUMBER, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.SERIAL_NUMBER, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.FIRMWARE_REVISION, uuids.DEVICE_INFORMATION_SERVICE),
    _readable(uuids.BATTERY_LEVEL, uuids.BATTERY_SERVICE),
)
_CLOCK: Final = Characteristic(
    uuid=uuids.CURRENT_TIME,
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
        self._subscribed: set[str] = set()

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        clock = (_CLOCK,) if self.clock.is_there else ()
        return self.own_characteristics + clock + _HOUSEKEEPING

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

    def on_disconnected(self) -> None:
        self._subscribed.clear()

    def on_subscribed(self, characteristic: str, *, is_on: bool) -> None:
        """The collector wrote the right bit into the characteristic's configuration, or cleared it."""
        if is_on:
            self._subscribed.add(characteristic)
        else:
            self._subscribed.discard(characteristic)

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        """The value now, when the wall clock shows `wall`; raises `AttError`."""
        match characteristic:
            case uuids.MANUFACTURER_NAME:
                return b"HomeVigil Sims"
            case uuids.MODEL_NUMBER:
                return self.model.encode()
            case uuids.SERIAL_NUMBER:
                return f"SIM{self.meter.index:06d}".encode()
            case uuids.FIRMWARE_REVISION:
                return b"1.0"
            case uuids.BATTERY_LEVEL:
                return bytes((BATTERY_PERCENT,))
            case uuids.CURRENT_TIME if self.clock.is_there:
                return bytes(self._current_time(wall))
        raise AttError(AttCode.READ_NOT_PERMITTED)

    def write(self, characteristic: str, value: bytes, *, wall: datetime) -> None:
        """Take a write; raises `AttError`."""
        if characteristic != uuids.CURRENT_TIME or not self.clock.is_there:
            raise AttError(AttCode.WRITE_NOT_PERMITTED)
        try:
            wanted = CurrentTime.from_bytes(value).naive
        except MalformedError as e:
            raise AttError(AttCode.INVALID_LENGTH) from e
        if wanted is None:
            raise AttError(AttCode.VALUE_NOT_ALLOWED)
        if not self.meter.faults.ignores_clock_writes and not self._set_clock(wanted, wall):
            raise AttError(AttCode.VALUE_NOT_ALLOWED)

    def _set_clock(self, wanted: datetime, wall: datetime) -> bool:
        return self.clock.set_to(wanted, wall=wall)

    def _current_time(self, wall: datetime) -> CurrentTime:
        shown = self._shown(wall)
        return CurrentTime(date_time=UNKNOWN) if shown is None else CurrentTime.of(shown, 0)

    def _shown(self, wall: datetime) -> datetime | None:
        return self.clock.shown(wall)

    def _cut(self, frame: bytes) -> bytes:
        return frame[: self.meter.faults.truncate_to]
