"""A whole session, in the order that every meter of these profiles survives.

Who are you, how is your battery, what is your time; then the records; only then the clock is set. A meter that drops the
link after its last record has done nothing wrong: its clock is set next time.
"""

from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from gateway.sessions import blood_pressure, glucose
from gateway.sessions.commands import Script, read
from gateway.sessions.meter_clock import ClockCare, MeterClock, read_clock, set_clock
from vitals.gatt import device_information, uuids
from vitals.gatt.link import LinkError

READABLE: Final = frozenset({uuids.BLOOD_PRESSURE_MEASUREMENT, uuids.GLUCOSE_MEASUREMENT})
"""What this gateway can read; a meter with none of them is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the gateway knows when the session starts."""

    characteristics: frozenset[str]
    zone: ZoneInfo
    highest_sequence: int | None = None
    about: dict[str, str] = field(default_factory=dict)
    is_clock_believable: bool = True


@dataclass(slots=True)
class Findings:
    """What a session has learnt beside its records; filled as it goes, so that a session cut short leaves what it had."""

    about: dict[str, str] = field(default_factory=dict)
    battery_percent: int | None = None
    clock: MeterClock | None = None
    highest_sequence: int | None = None
    clock_care: ClockCare = ClockCare.UNREADABLE


def converse(known: Known, findings: Findings) -> Script[None]:
    """The session; raises `LinkError` where the meter does not go through with it."""
    if not known.characteristics & READABLE:
        raise LinkError("the meter offers neither blood pressure (0x2A35) nor glucose (0x2A18)")
    findings.about = known.about or (yield from _about(known.characteristics))
    findings.battery_percent = yield from _battery(known.characteristics)
    findings.clock = yield from read_clock(known.characteristics)
    is_linked = True
    if uuids.GLUCOSE_MEASUREMENT in known.characteristics:
        highest = yield from glucose.collect(known.characteristics, findings.clock, highest=known.highest_sequence)
        findings.highest_sequence = highest
    if uuids.BLOOD_PRESSURE_MEASUREMENT in known.characteristics:
        is_linked = yield from blood_pressure.collect(findings.clock)
    if is_linked:
        care = yield from set_clock(findings.clock, known.zone, is_ours_right=known.is_clock_believable)
        findings.clock_care = care
    else:
        findings.clock_care = _left_as_it_is(findings.clock, known.zone)


def _left_as_it_is(clock: MeterClock | None, zone: ZoneInfo) -> ClockCare:
    """What `set_clock` would have found, had the meter stayed."""
    script = set_clock(clock, zone, is_ours_right=False)
    try:
        next(script)
    except StopIteration as end:
        return ClockCare(end.value)
    raise AssertionError("nothing is asked of a meter that is gone")


def _about(characteristics: frozenset[str]) -> Script[dict[str, str]]:
    found: dict[str, str] = {}
    for name, characteristic in device_information.CHARACTERISTICS.items():
        if characteristic in characteristics:
            try:
                text = device_information.text((yield from read(characteristic)).value)
            except LinkError:
                continue  # never worth a reading; a link that is gone shows itself at the next step
            if text is not None:
                found[name] = text
    return found


def _battery(characteristics: frozenset[str]) -> Script[int | None]:
    if uuids.BATTERY_LEVEL not in characteristics:
        return None
    try:
        value = (yield from read(uuids.BATTERY_LEVEL)).value
    except LinkError:
        return None
    return value[0] if len(value) == 1 and value[0] <= 100 else None
