"""The part of a session that is about glucose (0x1808): ask for the records since the last one, pair each with its context.

How records are asked for is `gateway.sessions.record_access`. Where a meter counts from the newest, so that a number names
another record each time, everything is asked for and the number is no part of a record's identity.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from gateway.sessions import record_access
from gateway.sessions.commands import MeterRecord, Script, keep, set_aside
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.quirks import REASON, STANDARD, Quirk
from gateway.sessions.record_access import Harvest
from gateway.timing import FIRST_YEAR, Evidence
from vitals.gatt import uuids
from vitals.gatt.glucose import GlucoseMeasurement, SensorStatus
from vitals.gatt.glucose_context import GlucoseContext

KETONE: Final = "ketone"
"""Why a record is set aside that says that it is no glucose."""
_KETONE_MEAL: Final = 6
"""No meal of the specification. i-SENS marks ketones with it; read as glucose, a harmless ketone is a deadly low."""
_GLUCOSE_MEALS: Final = frozenset({0, 1, 2, 3})
"""What the same meters send with a glucose (xDrip, `caresens/ContextRx.java`)."""


def collect(
    characteristics: frozenset[str], clock: MeterClock | None, *, highest: int | None, quirk: Quirk = STANDARD
) -> Script[int | None]:
    """Keep every record since `highest` (all if None); the highest sequence number that is now complete here.

    Raises `LinkError` if the report does not complete; what came until then has been kept, and will be asked for again.
    """
    wanted = (uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT) if quirk.has_context else (uuids.GLUCOSE_MEASUREMENT,)
    sources = [each for each in wanted if each in characteristics]
    since = None if quirk.are_numbers_reversed else highest
    return (yield from record_access.collect(sources, partial(_Pairing, clock, quirk), highest=since))


@dataclass(slots=True)
class _Pairing:
    """The frames of one report, and what still waits for its context."""

    clock: MeterClock | None
    quirk: Quirk
    harvest: Harvest
    waiting: dict[int, tuple[GlucoseMeasurement, bytes, datetime]] = field(default_factory=dict)
    contexts: dict[int, tuple[GlucoseContext, bytes]] = field(default_factory=dict)

    def take(self, characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        """Keep a measurement that has its context, or has none; raises `MalformedError`."""
        if characteristic == uuids.GLUCOSE_MEASUREMENT:
            frame = GlucoseMeasurement.from_bytes(raw)
            self.waiting[frame.sequence] = (frame, raw, at)
            if not frame.context_follows or frame.sequence in self.contexts:
                yield from self._keep(frame.sequence)
        else:
            context = GlucoseContext.from_bytes(raw)
            self.contexts[context.sequence] = (context, raw)
            if context.sequence in self.waiting:
                yield from self._keep(context.sequence)

    def finish(self) -> Script[None]:
        """A context that has not come never will."""
        for sequence in list(self.waiting):
            yield from self._keep(sequence)

    def _keep(self, sequence: int) -> Script[None]:
        frame, raw, received_at = self.waiting.pop(sequence)
        context, context_raw = self.contexts.get(sequence, (None, None))
        if (doubt := _doubt(self.quirk, frame, context_raw)) is not None:
            yield from _set_aside(raw, context_raw, *doubt)
            return
        clock = self.clock
        evidence = Evidence(
            received_at=received_at,
            is_stamped=True,
            meter_wall=frame.user_facing_time,
            clock_meter=None if clock is None else clock.meter,
            clock_at=None if clock is None else clock.at,
            is_externally_set=clock is not None and clock.is_externally_set,
            has_jumped=(clock is not None and clock.has_jumped) or bool((frame.status or 0) & SensorStatus.TIME_FAULT),
        )
        lasts = not self.quirk.are_numbers_reversed
        record = MeterRecord(
            characteristic=uuids.GLUCOSE_MEASUREMENT,
            raw=raw,
            context_raw=context_raw,
            measurement=frame.to_measurement(context),
            evidence=evidence,
            sequence=sequence if lasts else None,
            meter_time=frame.meter_time,
            lasting=None if lasts else raw[:1] + raw[3:],
        )
        yield from self.harvest.keep(record) if lasts else keep(record)


def _doubt(quirk: Quirk, frame: GlucoseMeasurement, context_raw: bytes | None) -> tuple[str, str] | None:
    """Reason and detail why this record cannot be taken for a glucose, or for one record; None where it can."""
    meal = None if context_raw is None else GlucoseContext.meal_code(context_raw)
    if meal == _KETONE_MEAL:
        return KETONE, "its context marks it as a ketone"
    if quirk.marks_ketones and frame.context_follows and meal not in _GLUCOSE_MEALS:
        return REASON, "this maker marks ketones in the context, and this one has none or another mark"
    shown = frame.user_facing_time
    if quirk.are_numbers_reversed and (shown is None or shown.year < FIRST_YEAR):
        return REASON, "neither its number nor a time tells this record from another"
    return None


def _set_aside(raw: bytes, context_raw: bytes | None, reason: str, detail: str) -> Script[None]:
    yield from set_aside(uuids.GLUCOSE_MEASUREMENT, raw, reason, detail)
    if context_raw is not None:
        yield from set_aside(uuids.GLUCOSE_CONTEXT, context_raw, reason, detail)
