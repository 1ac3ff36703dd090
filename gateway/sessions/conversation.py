"""A whole session, in the order that every meter of these profiles survives.

Who are you, how is your battery, what is your time; then the records; only then the clock is set. A meter that drops the
link after its last record has done nothing wrong: its clock is set next time.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final, TypeGuard
from zoneinfo import ZoneInfo

from gateway.sessions import (
    blood_pressure,
    cgm,
    enhanced_blood_pressure,
    glucose,
    health_thermometer,
    heart_rate,
    pulse_oximeter,
    shared_meter,
    steady_stream,
    unasked,
    weight_scale,
)
from gateway.sessions.clock_memory import ClockMemory
from gateway.sessions.commands import Command, Heard, Reply, Script, look, read, relayed, set_aside, subscribe
from gateway.sessions.meter_clock import ClockCare, MeterClock, read_clock, set_clock, set_in_window
from gateway.sessions.quirk_frames import decode_as
from gateway.sessions.quirks import STANDARD, Quirk, quirk_of, set_aside_all
from gateway.sessions.shared_meter import NOBODY, UserFindings, Users
from gateway.sessions.steady_stream import Stream
from gateway.sessions.unasked import Decode
from vitals.gatt import device_information, uuids
from vitals.gatt.link import LinkError, Notified

SERVICES: Final[dict[str, frozenset[str]]] = {
    uuids.BLOOD_PRESSURE_SERVICE: frozenset(
        {
            uuids.BLOOD_PRESSURE_MEASUREMENT,
            uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT,
            uuids.BLOOD_PRESSURE_RECORD,
        }
    ),
    uuids.GLUCOSE_SERVICE: frozenset({uuids.GLUCOSE_MEASUREMENT}),
    uuids.CGM_SERVICE: frozenset({uuids.CGM_MEASUREMENT}),
    uuids.WEIGHT_SCALE_SERVICE: frozenset({uuids.WEIGHT_MEASUREMENT}),
    uuids.HEALTH_THERMOMETER_SERVICE: frozenset({uuids.TEMPERATURE_MEASUREMENT}),
    uuids.PULSE_OXIMETER_SERVICE: frozenset({uuids.PLX_SPOT_CHECK, uuids.PLX_CONTINUOUS}),
}
"""What is read, by the service that advertises it; these services are what is scanned for. Straps (0x180D) are not among them:
the phone of whoever wears one would lose it to us. A home can ask for them."""
STREAMS: Final = {each.characteristic: each for each in (pulse_oximeter.STREAM, heart_rate.STREAM)}
"""What a meter shows every second, without a time. It is watched only where the meter has nothing that it keeps."""
READABLE: Final = frozenset(STREAMS).union(*SERVICES.values())
"""What this gateway can read; a meter with none of them is left alone."""
_WHO: Final = frozenset({"manufacturer", "model", "firmware"})
"""What a meter is recognised by, of all that it says of itself."""
_ADDRESS: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[-:]){5}[0-9A-Fa-f]{2}")
_UNASKED: Final[dict[str, Decode]] = {
    uuids.BLOOD_PRESSURE_MEASUREMENT: blood_pressure.decode,
    uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT: enhanced_blood_pressure.decode,
    uuids.WEIGHT_MEASUREMENT: weight_scale.decode,
    uuids.TEMPERATURE_MEASUREMENT: health_thermometer.decode,
    uuids.PLX_SPOT_CHECK: pulse_oximeter.decode,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the gateway knows when the session starts. `name` is the advertised one, `clock` how the meter's was left, `users`
    whom it is to be asked for."""

    characteristics: frozenset[str]
    zone: ZoneInfo
    name: str | None = None
    highest_sequence: int | None = None
    about: dict[str, str] = field(default_factory=dict)
    is_clock_believable: bool = True
    clock: ClockMemory = field(default_factory=ClockMemory)
    users: Users = NOBODY


@dataclass(slots=True)
class Findings:
    """What a session has learnt beside its records; filled as it goes, so that a session cut short leaves what it had."""

    about: dict[str, str] = field(default_factory=dict)
    battery_percent: int | None = None
    clock: MeterClock | None = None
    highest_sequence: int | None = None
    is_report_open: bool = False
    """Whether numbered records were asked for, and not all have come."""
    clock_care: ClockCare = ClockCare.UNREADABLE
    may_be_set: bool = False
    """We have told the meter another time, or tried: what it sends from then on may be of either time line."""
    worn: cgm.Worn | None = None
    rest_s: float | None = None
    """How long the meter wants to be left in peace after a session that went well; None where nothing is known of it."""
    was_unsteady: bool = False
    """Whether a stream was watched in which nothing was ever steady: a restless finger, or none."""
    users: UserFindings = field(default_factory=UserFindings)
    quirk: Quirk = STANDARD
    clock_memory: ClockMemory | None = None
    """For the next session; None where this one has nothing to add to what was known."""
    window_care: ClockCare | None = None
    is_window_awaited: bool = True

    @property
    def has_pending_clock(self) -> bool:
        """Whether the next session must know how the clock was left, even if this one breaks off."""
        return self.clock_memory is not None and self.clock_memory.is_pending


def converse(known: Known, findings: Findings) -> Script[None]:
    """The session; raises `LinkError` where the meter does not go through with it."""
    if not known.characteristics & READABLE:
        raise LinkError(f"the meter offers neither of {', '.join(sorted(READABLE))}, which are all that is read here")
    findings.about = known.about
    findings.quirk = quirk_of(known.about, _name(known), known.characteristics)
    if not findings.quirk.is_hurried:
        yield from _introduce(known, findings)
    findings.clock = _on_its_line((yield from read_clock(known.characteristics)), known)
    records = _take_records(known, findings)
    if findings.quirk.clock == "window" and uuids.CURRENT_TIME in known.characteristics:
        yield from _listen_to_clock()
        records = _overhearing(records, partial(_mind_window, known, findings))
    is_linked = yield from records
    findings.may_be_set = findings.window_care not in (None, ClockCare.REFUSED)
    if is_linked:
        if findings.quirk.is_hurried:
            yield from _introduce(known, findings)
        if findings.window_care is None:
            findings.clock_care = yield from _care_for_clock(known, findings)
    elif findings.window_care is None:
        findings.clock_care = _left_as_it_is(findings.clock, known.zone)
    # A meter that was set in its window and has gone may have gone with records of before: nobody can tell.
    yield from _note_clock(known, findings, is_pending=not is_linked and findings.window_care is ClockCare.SET)


def take_late(event: Notified, findings: Findings, *, received_at: datetime) -> Script[None]:
    """Keep what the meter sent unasked while we were leaving: the stack has confirmed it, and it will not be sent again."""
    script = shared_meter.of_user(_take(event, findings, received_at=received_at), findings.users.current)
    why = findings.quirk.unverified
    yield from script if why is None else set_aside_all(script, why)


def _take(event: Notified, findings: Findings, *, received_at: datetime) -> Script[None]:
    """Keep a record that came when nobody waited for one of its kind; nothing of what is none, or will be asked for again."""
    decode = _UNASKED.get(event.characteristic)
    if decode is None:
        return
    yield from unasked.take(
        event.characteristic,
        event.value,
        decode_as(findings.quirk.frames, event.characteristic, decode),
        received_at=received_at,
        clock=None if findings.may_be_set else findings.clock,
        is_live=False,
    )


def set_late_aside(event: Notified, adapter: str) -> Script[None]:
    """The same of a meter with an adapter, whose frames nobody else can read: a person has them."""
    yield from set_aside(event.characteristic, event.value, "came_late", f"after the conversation of adapter {adapter}")


def _introduce(known: Known, findings: Findings) -> Script[None]:
    """Who are you, and how is your battery? Then what is known of such a meter."""
    name = _name(known)
    findings.about = {**known.about, **(yield from _about(known))} | ({} if name is None else {"name": name})
    findings.quirk = quirk_of(findings.about, name, known.characteristics)
    findings.battery_percent = yield from _battery(known.characteristics)


def _listen_to_clock() -> Script[None]:
    try:
        yield from subscribe(uuids.CURRENT_TIME)
    except LinkError:
        return  # then there is no window, and the clock stays as it is


def _overhearing(script: Script[bool], hear: Callable[[Heard], Script[None]]) -> Script[bool]:
    """The same script; whatever the meter does is told to `hear` before the script goes on."""
    return relayed(script, partial(_heard_by, hear))


def _heard_by(hear: Callable[[Heard], Script[None]], command: Command) -> Script[Reply]:
    reply = yield command
    if isinstance(reply, Heard):
        yield from hear(reply)
    return reply


def _mind_window(known: Known, findings: Findings, heard: Heard) -> Script[None]:
    """When the meter notifies its clock for the first time, that is dealt with before anything else goes on."""
    if findings.is_window_awaited and _is_clock(heard.event):
        yield from _use_window(heard.event.value, heard.at, known, findings)


def _take_of_another_kind(listened: frozenset[str], findings: Findings, heard: Heard) -> Script[None]:
    """What a meter of several kinds sends of one that has had its turn has been confirmed to it: it will not be sent again."""
    if isinstance(heard.event, Notified) and heard.event.characteristic in listened:
        yield from _take(heard.event, findings, received_at=heard.at)


def _is_clock(event: object) -> TypeGuard[Notified]:
    return isinstance(event, Notified) and event.characteristic == uuids.CURRENT_TIME


def _use_window(shown: bytes, at: datetime, known: Known, findings: Findings) -> Script[None]:
    findings.is_window_awaited = False
    if known.is_clock_believable:
        findings.window_care = yield from set_in_window(shown, at, findings.clock, known.zone)
        if findings.window_care is not None:
            findings.clock_care = findings.window_care
            yield from _note_clock(
                known, findings, is_pending=True
            )  # the records are still to come, and the link may go


def _on_its_line(clock: MeterClock | None, known: Known) -> MeterClock | None:
    """The clock, with what the last session says of its time line."""
    if clock is None:
        return None
    if not known.is_clock_believable:
        return replace(clock, left=known.clock, has_left_overs=known.clock.is_pending)
    has_jumped = known.clock.has_jumped(clock.meter, clock.at)
    return replace(clock, has_jumped=has_jumped, has_left_overs=known.clock.is_pending)


def _care_for_clock(known: Known, findings: Findings) -> Script[ClockCare]:
    """Set the clock if need be; one that would not be set lately, and has not been reset since, is left in peace."""
    clock = findings.clock
    if clock is not None and not clock.has_jumped and known.clock.care and known.clock.is_left_in_peace(clock.at):
        left = _left_as_it_is(clock, known.zone)
        return left if left is ClockCare.RIGHT else ClockCare(known.clock.care)
    findings.may_be_set = is_ours_to_set = known.is_clock_believable and findings.quirk.clock not in (
        "window",
        "only_read",
    )
    care = yield from set_clock(
        clock,
        known.zone,
        is_ours_right=known.is_clock_believable,
        way=findings.quirk.clock,
        has_local_time=uuids.LOCAL_TIME in known.characteristics,
    )
    findings.may_be_set = is_ours_to_set and care not in (ClockCare.RIGHT, ClockCare.REFUSED, ClockCare.UNREADABLE)
    return care


def _note_clock(known: Known, findings: Findings, *, is_pending: bool = False) -> Script[None]:
    """How the clock is left, for the next session; nothing while our own says nothing."""
    clock, care = findings.clock, findings.clock_care
    if clock is None or not known.is_clock_believable:
        return
    wall, at = clock.meter, clock.at
    if care is ClockCare.SET:
        at = (yield from look()).at
        wall = at.astimezone(known.zone).replace(tzinfo=None)
    is_unwilling = care in (ClockCare.REFUSED, ClockCare.IGNORED)
    was_asked = not known.clock.is_left_in_peace(clock.at) or clock.has_jumped
    findings.clock_memory = ClockMemory(
        wall=wall,
        at=at,
        is_pending=is_pending,
        care=care.value if is_unwilling else None,
        unwilling_at=None if not is_unwilling else at if was_asked else known.clock.unwilling_at,
    )


def _take_records(known: Known, findings: Findings) -> Script[bool]:
    """All that the meter has, each set aside where nothing of it may be read; whether the link is still there."""
    why = findings.quirk.unverified
    if why is None:
        return (yield from _records(known, findings))
    is_linked = yield from set_aside_all(_records(known, findings), why)
    findings.highest_sequence = None  # one day it is to be read whole
    return is_linked


def _records(known: Known, findings: Findings) -> Script[bool]:
    findings.is_report_open = bool(known.characteristics & {uuids.GLUCOSE_MEASUREMENT, uuids.CGM_MEASUREMENT})
    if uuids.GLUCOSE_MEASUREMENT in known.characteristics:
        findings.highest_sequence = yield from glucose.collect(
            known.characteristics, findings.clock, highest=known.highest_sequence, quirk=findings.quirk
        )
    elif uuids.CGM_MEASUREMENT in known.characteristics:  # one control point: no meter is known that has both
        yield from _visit(known, findings)
    findings.is_report_open = False
    listen = partial(_listen, known.characteristics, findings)
    if uuids.USER_CONTROL in known.characteristics:
        late = partial(_take_for_user, findings)
        is_linked = yield from shared_meter.collect(known.users, findings.users, listen, late)
    else:
        is_linked = yield from listen()
    if is_linked and not known.characteristics & (READABLE - STREAMS.keys()):
        stream = next(each for name, each in STREAMS.items() if name in known.characteristics)
        is_linked = yield from _watch(stream, findings)
    return is_linked


def _take_for_user(findings: Findings, event: Notified, at: datetime) -> Script[None]:
    yield from _take(event, findings, received_at=at)


def _watch(stream: Stream, findings: Findings) -> Script[bool]:
    """Read a meter that only shows what it sees; whether the link is still there."""
    watched = yield from steady_stream.collect(stream, findings.clock)
    findings.was_unsteady = not watched.was_steady
    if watched.was_steady:
        findings.rest_s = steady_stream.REST_S
    return watched.is_linked


def _visit(known: Known, findings: Findings) -> Script[None]:
    """Read a glucose sensor that is worn, which is there all the time."""
    worn = yield from cgm.meet(known.characteristics, known.zone, is_ours_right=known.is_clock_believable)
    if known.is_clock_believable:
        worn = worn.named(known.clock)
        findings.clock_memory = None if worn.is_known else worn.memory
    findings.worn, findings.rest_s = worn, cgm.REST_S
    findings.highest_sequence = yield from cgm.collect(worn, highest=known.highest_sequence)


def _listen(characteristics: frozenset[str], findings: Findings) -> Script[bool]:
    """What the meter has beside glucose, one kind after the other; whether the link is still there."""
    is_linked, listened = True, frozenset[str]()
    for characteristic, script in _kinds(characteristics, findings.clock, findings.quirk):
        is_linked = yield from _overhearing(script, partial(_take_of_another_kind, listened, findings))
        listened |= {characteristic}
        if not is_linked:
            break
    return is_linked


def _kinds(
    characteristics: frozenset[str], clock: MeterClock | None, quirk: Quirk
) -> Iterator[tuple[str, Script[bool]]]:
    """What is listened to, and how."""
    if enhanced_blood_pressure.is_offered(characteristics):
        name = uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT
        yield name, enhanced_blood_pressure.collect(characteristics, clock, quirk.frames)
    elif uuids.BLOOD_PRESSURE_MEASUREMENT in characteristics:
        yield uuids.BLOOD_PRESSURE_MEASUREMENT, blood_pressure.collect(clock, quirk.frames)
    if uuids.WEIGHT_MEASUREMENT in characteristics:
        yield uuids.WEIGHT_MEASUREMENT, weight_scale.collect(clock, quirk.frames)
    if uuids.TEMPERATURE_MEASUREMENT in characteristics:
        yield uuids.TEMPERATURE_MEASUREMENT, health_thermometer.collect(characteristics, clock)
    if uuids.PLX_SPOT_CHECK in characteristics:
        yield uuids.PLX_SPOT_CHECK, pulse_oximeter.collect(characteristics, clock)


def _left_as_it_is(clock: MeterClock | None, zone: ZoneInfo) -> ClockCare:
    """What `set_clock` would have found, had the meter stayed."""
    script = set_clock(clock, zone, is_ours_right=False)
    try:
        next(script)
    except StopIteration as end:
        return ClockCare(end.value)
    raise AssertionError("nothing is asked of a meter that is gone")


def _name(known: Known) -> str | None:
    """The advertised name, or the one that was heard before: not every advertisement carries it, and where there is none BlueZ
    gives the address."""
    name = known.name
    return known.about.get("name") if name is None or _ADDRESS.fullmatch(name) else name


def _about(known: Known) -> Script[dict[str, str]]:
    """What the meter says of itself; of one that is known, what it would not say when it was asked and its entry may hang on."""
    found: dict[str, str] = {}
    for name, characteristic in device_information.CHARACTERISTICS.items():
        is_asked = name not in known.about and (name in _WHO or not known.about.keys() & _WHO)
        if is_asked and characteristic in known.characteristics:
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
