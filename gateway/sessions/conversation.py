"""A whole session, in the order that every meter of these profiles survives.

Who are you, how is your battery, what is your time; then the records; only then the clock is set. A meter that drops the
link after its last record has done nothing wrong: its clock is set next time.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from gateway.sessions import blood_pressure, cgm, glucose, health_thermometer, pulse_oximeter, unasked, weight_scale
from gateway.sessions.commands import Script, read, set_aside
from gateway.sessions.meter_clock import ClockCare, MeterClock, read_clock, set_clock
from gateway.sessions.unasked import Decode
from vitals.gatt import device_information, uuids
from vitals.gatt.link import LinkError, Notified

READABLE: Final = frozenset(
    {
        uuids.BLOOD_PRESSURE_MEASUREMENT,
        uuids.GLUCOSE_MEASUREMENT,
        uuids.CGM_MEASUREMENT,
        uuids.WEIGHT_MEASUREMENT,
        uuids.TEMPERATURE_MEASUREMENT,
        uuids.PLX_SPOT_CHECK,
    }
)
"""What this gateway can read; a meter with none of them is left alone."""
_UNASKED: Final[dict[str, Decode]] = {
    uuids.BLOOD_PRESSURE_MEASUREMENT: blood_pressure.decode,
    uuids.WEIGHT_MEASUREMENT: weight_scale.decode,
    uuids.TEMPERATURE_MEASUREMENT: health_thermometer.decode,
    uuids.PLX_SPOT_CHECK: pulse_oximeter.decode,
}


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
    worn: cgm.Worn | None = None
    rest_s: float | None = None
    """How long the meter wants to be left in peace after a session that went well; None where nothing is known of it."""


def converse(known: Known, findings: Findings) -> Script[None]:
    """The session; raises `LinkError` where the meter does not go through with it."""
    if not known.characteristics & READABLE:
        raise LinkError(f"the meter offers neither of {', '.join(sorted(READABLE))}, which are all that is read here")
    findings.about = known.about or (yield from _about(known.characteristics))
    findings.battery_percent = yield from _battery(known.characteristics)
    findings.clock = yield from read_clock(known.characteristics)
    if uuids.GLUCOSE_MEASUREMENT in known.characteristics:
        highest = yield from glucose.collect(known.characteristics, findings.clock, highest=known.highest_sequence)
        findings.highest_sequence = highest
    elif uuids.CGM_MEASUREMENT in known.characteristics:  # one control point: no meter is known that has both
        yield from _visit(known, findings)
    if (yield from _listen(known.characteristics, findings.clock)):
        care = yield from set_clock(findings.clock, known.zone, is_ours_right=known.is_clock_believable)
        findings.clock_care = care
    else:
        findings.clock_care = _left_as_it_is(findings.clock, known.zone)


def take_late(event: Notified, findings: Findings, *, received_at: datetime) -> Script[None]:
    """Keep what the meter sent unasked while we were leaving: the stack has confirmed it, and it will not be sent again."""
    decode = _UNASKED.get(event.characteristic)
    if decode is not None:
        yield from unasked.take(
            event.characteristic, event.value, decode, received_at=received_at, clock=findings.clock, is_live=False
        )


def set_late_aside(event: Notified, adapter: str) -> Script[None]:
    """The same of a meter with an adapter, whose frames nobody else can read: a person has them."""
    yield from set_aside(event.characteristic, event.value, "came_late", f"after the conversation of adapter {adapter}")


def _visit(known: Known, findings: Findings) -> Script[None]:
    """Read a glucose sensor that is worn, which is there all the time."""
    worn = yield from cgm.meet(known.characteristics, known.zone, is_ours_right=known.is_clock_believable)
    findings.worn, findings.rest_s = worn, cgm.REST_S
    findings.highest_sequence = yield from cgm.collect(worn, highest=known.highest_sequence)


def _listen(characteristics: frozenset[str], clock: MeterClock | None) -> Script[bool]:
    """What the meter has beside glucose, one kind after the other; whether the link is still there."""
    is_linked = True
    if uuids.BLOOD_PRESSURE_MEASUREMENT in characteristics:
        is_linked = yield from blood_pressure.collect(clock)
    if is_linked and uuids.WEIGHT_MEASUREMENT in characteristics:
        is_linked = yield from weight_scale.collect(clock)
    if is_linked and uuids.TEMPERATURE_MEASUREMENT in characteristics:
        is_linked = yield from health_thermometer.collect(characteristics, clock)
    if is_linked and uuids.PLX_SPOT_CHECK in characteristics:
        is_linked = yield from pulse_oximeter.collect(characteristics, clock)
    return is_linked


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
