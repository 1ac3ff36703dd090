"""From a meter's record to a reading: identity, time, provenance. Pure; the collector keeps what this makes.

And the second look at readings taken while our own clock could not be believed: once it can, and in the same boot, they are
placed again with exactly the correction of the clock. Of an earlier boot nothing is known but what the meter said: they go
out as orphans, which people see and rules do not judge.
"""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from gateway.outbox_rows import HeldReading
from gateway.sessions.commands import MeterRecord
from gateway.timing import as_orphan, place
from vitals.identity import reading_id
from vitals.reading import GUEST, Reading, kind_of


def to_reading(record: MeterRecord, *, meter_id: str, gateway_id: str, zone: ZoneInfo, decoder: str) -> Reading:
    """`record` of `meter_id` as a reading, its time by the table of `gateway.timing`.

    A stamp of a dead clock is kept as the meter said it and is no part of the identity: else two inflations that happen to
    measure the same would be one. Nor is a guest: in 0.1.0 a guest was nobody, and a record keeps its id.
    """
    placed = place(record.evidence, zone)
    return Reading(
        reading_id=_id_of(record, meter_id, record.raw if record.lasting is None else record.lasting),
        gateway_id=gateway_id,
        meter_id=meter_id,
        user_slot=record.user_slot,
        measurement=record.measurement,
        measured_at=placed.measured_at,
        meter_time=record.meter_time,
        received_at=record.evidence.received_at,
        time_quality=placed.time_quality,
        clock_offset_s=record.evidence.clock_offset_s(zone),
        zone=zone.key,
        characteristic=record.characteristic,
        raw=record.raw,
        context_raw=record.context_raw,
        decoder=decoder,
    )


def former_id(record: MeterRecord, *, meter_id: str) -> UUID | None:
    """The id that 0.1.0 gave the same record, by all its bytes; None where it is no other."""
    if record.lasting is None or record.lasting == record.raw:
        return None
    return _id_of(record, meter_id, record.raw)


def another_id(record: MeterRecord, *, meter_id: str) -> UUID:
    """An id for a record that is not the one which was kept under its name: by when it came."""
    return reading_id(
        meter_id=meter_id,
        kind=kind_of(record.measurement),
        raw=record.raw,
        user_slot=None if record.user_slot == GUEST else record.user_slot,
        first_kept_at=record.evidence.received_at,
    )


def _id_of(record: MeterRecord, meter_id: str, raw: bytes) -> UUID:
    is_told_apart = record.sequence is not None or not record.evidence.has_dead_clock
    return reading_id(
        meter_id=meter_id,
        kind=kind_of(record.measurement),
        raw=raw,
        user_slot=None if record.user_slot == GUEST else record.user_slot,
        sequence=record.sequence,
        meter_time=record.meter_time if is_told_apart else None,
        first_kept_at=record.evidence.received_at,
    )


def settled(held: HeldReading, *, now: datetime, since_boot_s: float, boot_id: str) -> Reading:
    """The held reading with the best time that can be given now that `now` can be believed. Its id stays."""
    reading, zone = held.reading, ZoneInfo(held.reading.zone)
    evidence = held.unbelieved.evidence
    if held.unbelieved.boot_id == boot_id:
        received_at = now - timedelta(seconds=since_boot_s - held.unbelieved.since_boot_s)
        evidence = evidence.shifted(received_at - evidence.received_at)
        placed, offset_s = place(evidence, zone), evidence.clock_offset_s(zone)
    else:
        evidence = evidence.shifted(now - evidence.received_at)  # the first instant at which it can be dated at all
        placed, offset_s = as_orphan(evidence, zone), None
    return replace(
        reading,
        measured_at=placed.measured_at,
        time_quality=placed.time_quality,
        received_at=evidence.received_at,
        clock_offset_s=offset_s,
    )
