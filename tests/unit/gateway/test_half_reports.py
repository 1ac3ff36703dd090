"""Reports of stored records that break off, or on whose way frames get lost: whatever is missing comes the next time, and
nothing comes twice.

Each story is told once without a mishap, and then with one at every frame that there is. In the end the same must be known.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final
from uuid import UUID

import pytest
from unit.gateway.joined import Home, identity
from unit.gateway.samples import SHANGHAI

from firmware_sims.enhanced_blood_pressure_meter import EnhancedBloodPressureMeter
from firmware_sims.firmware import Firmware
from firmware_sims.glucometer import Glucometer, Record
from firmware_sims.glucose_sensor import GlucoseSensor
from firmware_sims.pulse_oximeter import PulseOximeter
from firmware_sims.settings import Meter
from gateway.sessions.clock_memory import ClockMemory
from gateway.sessions.commands import Command, Heard, MeterRecord, Wait, Write
from gateway.sessions.record_access import BEGUN
from gateway.timing import place
from vitals.gatt import uuids
from vitals.gatt.link import LinkError, Notified
from vitals.reading import BloodPressure, Glucose, Measurement, OxygenSaturation, SensorGlucose

MEALS: Final = ("fasting", None, "postprandial")


class NewestFirst(Glucometer):
    def _report(self, records: Iterable[Record]) -> None:
        super()._report(reversed(list(records)))


class ContextsLast(Glucometer):
    """All measurements, and then all contexts."""

    def _report(self, records: Iterable[Record]) -> None:
        super()._report(records)
        said = sorted(self._outgoing, key=lambda action: action.characteristic == uuids.GLUCOSE_CONTEXT)
        self._outgoing.clear()
        self._outgoing.extend(said)


class ContextsFirst(Glucometer):
    """Each context before its measurement."""

    def _report(self, records: Iterable[Record]) -> None:
        super()._report(records)
        said = list(self._outgoing)
        for nth, action in enumerate(said):
            if action.characteristic == uuids.GLUCOSE_CONTEXT:
                said[nth - 1 : nth + 1] = action, said[nth - 1]
        self._outgoing.clear()
        self._outgoing.extend(said)


class CountsFromTheNewest(Glucometer):
    """And nobody has told us that meters of this kind do."""

    def _numbered(self) -> list[Record]:
        return [_renumbered(record, nth) for nth, record in enumerate(reversed(self._records))]


class CountsFromTheNewestOldestFirst(CountsFromTheNewest):
    def _report(self, records: Iterable[Record]) -> None:
        super()._report(reversed(list(records)))


def _renumbered(record: Record, number: int) -> Record:
    def put(frame: bytes) -> bytes:
        return frame[:1] + number.to_bytes(2, "little") + frame[3:]

    context = None if record.context is None else put(record.context)
    return Record(sequence=number, measurement=put(record.measurement), context=context)


@dataclass
class Story(Home):
    """A home with one meter, what its gateway remembers of it, and what gets lost on the way."""

    highest: int | None = None
    clock: ClockMemory | None = None
    is_lost: Callable[[int], bool] = lambda _: False
    sent: int = 0
    measured_at: list[datetime] = field(default_factory=list)
    ids: dict[UUID, int] = field(default_factory=dict)
    heard_of: dict[int, int] = field(default_factory=dict)

    def measure(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += timedelta(minutes=5)
            self.measured_at.append(self.now)
            nth = len(self.measured_at)
            match self.meter:
                case Glucometer() as meter:
                    meter.measure(wall=self.wall, glucose_mg_dl=100 + nth, meal=MEALS[nth % 3])
                case GlucoseSensor() as meter:
                    meter.measure(wall=self.wall, glucose_mg_dl=100 + nth)
                case PulseOximeter() as meter:
                    meter.measure(wall=self.wall, spo2_percent=100 - nth, pulse_bpm=60)
                case EnhancedBloodPressureMeter() as meter:
                    meter.measure(wall=self.wall, systolic_mmhg=100 + nth, diastolic_mmhg=80, pulse_bpm=60, user_slot=1)

    def visit(self) -> bool:
        """One session, and what a collector remembers of it; whether it went well."""
        had = len(self.kept)
        try:
            found = self.session(highest=self.highest, clock=self.clock)
        except LinkError:
            if self.findings.is_report_open and self.highest is None and len(self.kept) > had:
                self.highest = BEGUN
            return False
        self.highest = self.highest if found.highest_sequence is None else found.highest_sequence
        self.clock = found.clock_memory or self.clock
        return True

    def visit_that_breaks_off(self, before: int) -> bool:
        """The link is gone before so many frames have come; whether there were as many."""
        waits = 0

        def is_now(command: Command) -> bool:
            nonlocal waits
            waits += isinstance(command, Wait)
            return waits > before

        self.loses_link_before = is_now
        self.visit()
        self.loses_link_before = lambda _: False
        return waits > before

    def told(self) -> list[tuple[int, str | None]]:
        """Which measurement each reading is, by its value, and its meal; each is where it belongs in time."""
        found = []
        for each in self.kept:
            nth, meal = _told(each.measurement)
            assert abs(place(each.evidence, SHANGHAI).measured_at - self.measured_at[nth - 1]) < timedelta(minutes=2)
            found.append((nth, meal))
        return sorted(found)

    def expected(self) -> list[tuple[int, str | None]]:
        has_meals = isinstance(self.meter, Glucometer)
        return [(nth, MEALS[nth % 3] if has_meals else None) for nth in range(1, len(self.measured_at) + 1)]

    def _nth(self, record: MeterRecord) -> int | None:
        for nth in range(len(self.ids), len(self.kept)):
            self.ids[identity(self.kept[nth])] = nth
        return self.ids.get(identity(record))

    def _hear(self, timeout_s: float) -> Heard:
        heard = super()._hear(timeout_s)
        while isinstance(heard.event, Notified) and heard.event.characteristic != uuids.RECORD_ACCESS:
            self.sent += 1
            if not self.is_lost(self.sent):
                break
            heard = super()._hear(timeout_s)
        return heard


def _told(measurement: Measurement) -> tuple[int, str | None]:
    match measurement:
        case Glucose(glucose_mg_dl=float(value), meal=meal):
            return round(value) - 100, meal
        case SensorGlucose(glucose_mg_dl=float(value)):
            return round(value) - 100, None
        case OxygenSaturation(spo2_percent=float(value)):
            return 100 - round(value), None
        case BloodPressure(systolic_mmhg=float(value)):
            return round(value) - 100, None
    raise AssertionError(measurement)


KINDS: Final[dict[type[Firmware], str]] = {
    GlucoseSensor: "sensor_glucose",
    PulseOximeter: "oxygen_saturation",
    EnhancedBloodPressureMeter: "enhanced_blood_pressure",
}
METERS: Final = (
    Glucometer,
    NewestFirst,
    ContextsLast,
    ContextsFirst,
    CountsFromTheNewest,
    CountsFromTheNewestOldestFirst,
    GlucoseSensor,
    PulseOximeter,
    EnhancedBloodPressureMeter,
)


def story(firmware: type[Firmware], *, read: int, waiting: int) -> Story:
    """A home whose gateway has read so many records of this meter, and that has so many more."""
    home = Story(_new(firmware))
    if read:
        home.measure(read)
        assert home.visit()
    home.measure(waiting)
    return home


def _new(firmware: type[Firmware]) -> Firmware:
    kind = KINDS.get(firmware, "glucose")
    return firmware(Meter(name="m", kind=kind, index=1))


@pytest.mark.parametrize("more", [0, 1, 2])
@pytest.mark.parametrize(("read", "waiting"), [(0, 5), (3, 4), (1, 1)])
@pytest.mark.parametrize("firmware", METERS)
def test_wherever_a_report_breaks_off_the_next_one_brings_the_rest(
    firmware: type[Firmware], read: int, waiting: int, more: int
) -> None:
    """`more` are measured between the visit that breaks off and the next."""
    before = 0
    while (home := story(firmware, read=read, waiting=waiting)).visit_that_breaks_off(before):
        home.measure(more)
        assert home.visit()
        assert home.told() == home.expected(), before
        assert home.set_aside == []
        before += 1
    assert before >= waiting


@pytest.mark.parametrize(("read", "waiting"), [(0, 5), (3, 4)])
@pytest.mark.parametrize("firmware", [each for each in METERS if issubclass(each, Glucometer)])
def test_wherever_a_report_breaks_off_after_a_reset_the_next_one_brings_the_rest(
    firmware: type[Firmware], read: int, waiting: int
) -> None:
    def reset() -> Story:
        home = story(firmware, read=read or 2, waiting=0)
        home.meter = _new(firmware)
        home.measure(waiting)
        return home

    before = 0
    while (home := reset()).visit_that_breaks_off(before):
        assert home.visit()
        assert home.told() == home.expected(), before
        before += 1
    assert before >= waiting


@pytest.mark.parametrize(("read", "waiting"), [(0, 4), (3, 3)])
@pytest.mark.parametrize("firmware", METERS)
def test_whatever_gets_lost_on_the_way_of_a_report_that_succeeds_comes_again(
    firmware: type[Firmware], read: int, waiting: int
) -> None:
    """A host that is too slow drops notifications; the meter never knows. Every run of frames is lost once."""
    whole = story(firmware, read=read, waiting=waiting)
    already = whole.sent
    assert whole.visit()
    frames = whole.sent - already
    assert frames >= waiting
    for first, last in combinations(range(frames + 1), 2):
        home = story(firmware, read=read, waiting=waiting)
        already = home.sent
        home.is_lost = lambda nth, a=already + first, b=already + last: a < nth <= b  # type: ignore[misc]
        assert home.visit()
        assert home.visit()
        assert home.told() == home.expected(), (first, last)


@pytest.mark.parametrize("firmware", [Glucometer, NewestFirst, CountsFromTheNewest, GlucoseSensor])
def test_a_full_meter_is_read_whole_in_one_session_by_a_host_that_drops_all_but_the_first_forty(
    firmware: type[Firmware],
) -> None:
    """As Linux does after a hundred, if bluetoothd is too slow (measured, kernel 6.12)."""
    home = story(firmware, read=0, waiting=100)

    def is_lost(_: int) -> bool:
        asked = len([each for each in home.commands if isinstance(each, Write) and each.value[:1] == b"\x01"])
        home.heard_of[asked] = home.heard_of.get(asked, 0) + 1
        return home.heard_of[asked] > 40

    home.is_lost = is_lost
    assert home.visit()
    assert home.told() == home.expected()
    assert home.set_aside == []
