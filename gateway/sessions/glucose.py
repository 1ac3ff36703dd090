"""The part of a session that is about glucose (0x1808): ask for the records since the last one, pair each with its context.

How records are asked for is `gateway.sessions.record_access`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from gateway.sessions import record_access
from gateway.sessions.commands import MeterRecord, Script
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.record_access import Harvest
from gateway.timing import Evidence
from vitals.gatt import uuids
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import GlucoseContext


def collect(characteristics: frozenset[str], clock: MeterClock | None, *, highest: int | None) -> Script[int | None]:
    """Keep every record since `highest` (all if None); the highest sequence number that is now complete here.

    Raises `LinkError` if the report does not complete; what came until then has been kept, and will be asked for again.
    """
    sources = [each for each in (uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT) if each in characteristics]
    return (yield from record_access.collect(sources, partial(_Pairing, clock), highest=highest))


@dataclass(slots=True)
class _Pairing:
    """The frames of one report, and what still waits for its context."""

    clock: MeterClock | None
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
        clock = self.clock
        evidence = Evidence(
            received_at=received_at,
            is_stamped=True,
            meter_wall=frame.user_facing_time,
            clock_meter=None if clock is None else clock.meter,
            clock_at=None if clock is None else clock.at,
            is_externally_set=clock is not None and clock.is_externally_set,
        )
        yield from self.harvest.keep(
            MeterRecord(
                characteristic=uuids.GLUCOSE_MEASUREMENT,
                raw=raw,
                context_raw=context_raw,
                measurement=frame.to_measurement(context),
                evidence=evidence,
                sequence=sequence,
                meter_time=frame.meter_time,
            )
        )
