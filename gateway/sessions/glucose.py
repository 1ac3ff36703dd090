"""The part of a session that is about glucose (0x1808): ask for the records since the last one, pair each with its context.

How records are asked for is `gateway.sessions.record_access`. Where a meter counts from the newest, so that a number names
another record each time, everything is asked for and the number is no part of a record's identity. Of a meter that is not known
to do so it is noticed when a record comes back, byte for byte, under another number.

What lasts of a record is its identity, not what a meter may mark on it later: that its battery is low, or that somebody has
told it about the meal by now.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from gateway.sessions import record_access
from gateway.sessions.commands import MeterRecord, Script, keep, set_aside
from gateway.sessions.harvest import NAMELESS, Harvest
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.quirks import REASON, STANDARD, Quirk
from gateway.timing import FIRST_YEAR, Evidence
from vitals.gatt import uuids
from vitals.gatt.glucose import GlucoseMeasurement, SensorStatus
from vitals.gatt.glucose_context import GlucoseContext

KETONE: Final = "ketone"
"""Why a record is set aside that says that it is no glucose."""
CONTEXT_ALONE: Final = "context_alone"
"""Why a context is set aside that came without its measurement: somebody may want to know whose meal that was."""
_KETONE_MEAL: Final = 6
"""No meal of the specification. i-SENS marks ketones with it; read as glucose, a harmless ketone is a deadly low."""
_GLUCOSE_MEALS: Final = frozenset({0, 1, 2, 3})
"""What the same meters send with a glucose (xDrip, `caresens/ContextRx.java`)."""
_NUMBER: Final = slice(1, 3)
"""Where the number is in a frame."""


def collect(
    characteristics: frozenset[str], clock: MeterClock | None, *, highest: int | None, quirk: Quirk = STANDARD
) -> Script[int | None]:
    """Keep every record since `highest` (all if None); the highest sequence number that is now complete here.

    Raises `LinkError` if the report does not complete; what came until then has been kept, or will be asked for again.
    """
    sources = [each for each in (uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT) if each in characteristics]
    since, step = (None, None) if quirk.are_numbers_reversed else (highest, 1)
    opened = partial(_Pairing, clock, quirk, len(sources) > 1)
    return (yield from record_access.collect(sources, opened, highest=since, step=step, renaming=Nameless))


@dataclass(slots=True)
class Nameless:
    """The records of one report under another number, or under none (`record_access.Renaming`)."""

    alike: dict[bytes, list[int]] = field(default_factory=dict)

    def under(self, record: MeterRecord, number: int) -> MeterRecord:
        raw, lasting = (_numbered(each, number) for each in (record.raw, record.lasting or record.raw))
        return replace(record, sequence=number, raw=raw, lasting=lasting)

    def without(self, record: MeterRecord) -> MeterRecord | None:
        """By its time and value alone; None if it has no time that could tell it from another. Two of one report that are alike
        in everything but their number are two drops of one minute: the second, third and so on say so."""
        shown = record.evidence.meter_wall
        if shown is None or shown.year < FIRST_YEAR:
            return None
        marked = record.lasting or record.raw
        lasting = marked[: _NUMBER.start] + marked[_NUMBER.stop :]
        numbers, own = self.alike.setdefault(lasting, []), int.from_bytes(record.raw[_NUMBER], "little")
        if own not in numbers:
            numbers.append(own)
        nth = numbers.index(own)
        return replace(record, sequence=None, lasting=lasting + nth.to_bytes(2, "little") if nth else lasting)


def _numbered(frame: bytes, number: int) -> bytes:
    return frame[: _NUMBER.start] + number.to_bytes(2, "little") + frame[_NUMBER.stop :]


@dataclass(slots=True)
class _Pairing:
    """The frames of one report: what still waits for its context, the contexts that wait for their measurement, and which
    context was whose."""

    clock: MeterClock | None
    quirk: Quirk
    has_contexts: bool
    harvest: Harvest
    waiting: dict[int, tuple[GlucoseMeasurement, bytes, datetime]] = field(default_factory=dict)
    contexts: dict[int, tuple[GlucoseContext, bytes]] = field(default_factory=dict)
    paired: dict[bytes, tuple[GlucoseContext, bytes]] = field(default_factory=dict)
    nameless: Nameless = field(default_factory=Nameless)

    def take(self, characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        """Keep a measurement that has its context, or has none; raises `MalformedError`."""
        if characteristic == uuids.GLUCOSE_MEASUREMENT:
            frame = GlucoseMeasurement.from_bytes(raw)
            self.harvest.heard[frame.lasting(raw)] = frame.sequence
            if frame.sequence in self.waiting and self.waiting[frame.sequence][1] != raw:
                yield from self._keep(frame.sequence)  # another record of the same number: neither may be lost
            self.waiting[frame.sequence] = (frame, raw, at)
            if not frame.context_follows or frame.sequence in self.contexts or raw in self.paired:
                yield from self._keep(frame.sequence)
        else:
            context = GlucoseContext.from_bytes(raw)
            if context.sequence in self.waiting:
                self.contexts[context.sequence] = (context, raw)
                yield from self._keep(context.sequence)
            elif raw not in (each for _, each in (*self.paired.values(), *self.contexts.values())):
                yield from self._set_context_aside(context.sequence)
                self.contexts[context.sequence] = (context, raw)

    def halves(self) -> frozenset[int]:
        return frozenset((*self.waiting, *self.contexts)) if self.has_contexts else frozenset()

    def finish(self) -> Script[None]:
        """A context that has not come never will, nor will the measurement of one that came alone."""
        for sequence in list(self.waiting):
            yield from self._keep(sequence)
        for sequence in list(self.contexts):
            yield from self._set_context_aside(sequence)

    def _set_context_aside(self, sequence: int) -> Script[None]:
        """The context that waits under this number, if one does: its measurement has not come."""
        if (alone := self.contexts.pop(sequence, None)) is not None:
            yield from set_aside(uuids.GLUCOSE_CONTEXT, alone[1], CONTEXT_ALONE, "no measurement of its number came")

    def _keep(self, sequence: int) -> Script[None]:
        frame, raw, received_at = self.waiting.pop(sequence)
        both = self.paired.get(raw) or self.contexts.pop(sequence, None)
        if both is not None:
            self.paired[raw] = both
        context, context_raw = both or (None, None)
        record = self._record(frame, raw, received_at, context, context_raw)
        if (doubt := _doubt(self.quirk, frame, context_raw)) is not None:
            yield from _set_aside(raw, context_raw, *doubt)
        elif not self.quirk.are_numbers_reversed:
            yield from self.harvest.keep(record)
        elif (lasting := self.nameless.without(record)) is not None:
            yield from keep(lasting)
        else:
            yield from _set_aside(raw, context_raw, *NAMELESS)

    def _record(
        self,
        frame: GlucoseMeasurement,
        raw: bytes,
        received_at: datetime,
        context: GlucoseContext | None,
        context_raw: bytes | None,
    ) -> MeterRecord:
        clock = self.clock
        evidence = Evidence(
            received_at=received_at,
            is_stamped=True,
            meter_wall=frame.user_facing_time,
            clock_meter=None if clock is None else clock.meter,
            clock_at=None if clock is None else clock.at,
            is_externally_set=clock is not None and clock.is_externally_set,
            has_jumped=(clock is not None and clock.has_jumped) or bool((frame.status or 0) & SensorStatus.TIME_FAULT),
            left=None if clock is None else clock.left,
        )
        return MeterRecord(
            characteristic=uuids.GLUCOSE_MEASUREMENT,
            raw=raw,
            context_raw=context_raw,
            measurement=frame.to_measurement(context),
            evidence=evidence,
            sequence=frame.sequence,
            meter_time=frame.meter_time,
            lasting=frame.lasting(raw),
        )


def _doubt(quirk: Quirk, frame: GlucoseMeasurement, context_raw: bytes | None) -> tuple[str, str] | None:
    """Reason and detail why this record cannot be taken for a glucose; None where it can."""
    meal = None if context_raw is None else GlucoseContext.meal_code(context_raw)
    if meal == _KETONE_MEAL:
        return KETONE, "its context marks it as a ketone"
    if quirk.marks_ketones and frame.context_follows and meal not in _GLUCOSE_MEALS:
        return REASON, "this maker marks ketones in the context, and this one has none or another mark"
    return None


def _set_aside(raw: bytes, context_raw: bytes | None, reason: str, detail: str) -> Script[None]:
    yield from set_aside(uuids.GLUCOSE_MEASUREMENT, raw, reason, detail)
    if context_raw is not None:
        yield from set_aside(uuids.GLUCOSE_CONTEXT, context_raw, reason, detail)
