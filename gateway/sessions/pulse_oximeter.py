"""The part of a session that is about oxygen (0x1822): spot checks, asked for if the meter keeps them, else taken as they come.

The stream of a finger that is in the meter (0x2A5F) is watched only if the meter has nothing else (`steady_stream`). The gateway
never deletes a record: all are asked for each time, because they have no numbers to ask by, and repeats are known by their id.
One that has no time either is set aside: it would be another reading each time.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final

from gateway.sessions import record_access, unasked
from gateway.sessions.commands import Script, read, subscribe
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.steady_stream import Stream
from gateway.sessions.unasked import Sent
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.link import LinkError
from vitals.gatt.pulse_oximeter import RECORD_ACCESS_S, Continuous, Features, SpotCheck, Status
from vitals.gatt.record_access import RecordAccess, ResponseCode
from vitals.quality import Quality, grade

_HAS_NONE: Final = record_access.ENDED | {ResponseCode.OP_CODE_NOT_SUPPORTED}
"""Answers after which there is nothing more to ask for."""


def collect(characteristics: frozenset[str], clock: MeterClock | None) -> Script[bool]:
    """Keep every spot check until the meter is quiet; whether the link is still there.

    Raises `LinkError` if a report of stored records does not complete; what came until then has been kept.
    """
    if not (yield from _stores(characteristics)):
        return (yield from unasked.collect(uuids.PLX_SPOT_CHECK, decode, clock))
    yield from subscribe(uuids.PLX_SPOT_CHECK)
    yield from subscribe(uuids.RECORD_ACCESS)
    answer = yield from record_access.report(
        RecordAccess.report_all(), (uuids.PLX_SPOT_CHECK,), partial(_take_stored, clock), timeout_s=RECORD_ACCESS_S
    )
    if answer.code not in _HAS_NONE:
        raise LinkError(f"the meter ended its report with code {answer.code}")
    return (yield from unasked.listen(uuids.PLX_SPOT_CHECK, decode, clock, first_within_s=unasked.QUIET_S))


def _stores(characteristics: frozenset[str]) -> Script[bool]:
    """Whether there may be stored records, by what the meter says that it can do."""
    if not {uuids.PLX_FEATURES, uuids.RECORD_ACCESS} <= characteristics:
        return False
    try:
        return Features.from_bytes((yield from read(uuids.PLX_FEATURES)).value).stores_spot_checks
    except (LinkError, MalformedError):
        return False


def _take_stored(clock: MeterClock | None, characteristic: str, raw: bytes, at: datetime) -> Script[None]:
    yield from unasked.take(characteristic, raw, decode, received_at=at, clock=clock, is_live=False, comes_again=True)


def decode(raw: bytes) -> Sent:
    """A check that was sent at once and is sent again from storage is one, whatever its frames say of where it comes from."""
    frame = SpotCheck.from_bytes(raw)
    return Sent(
        measurement=frame.to_measurement(),
        date_time=frame.date_time,
        is_clock_set=frame.is_clock_set,
        is_stored=frame.is_from_storage,
        lasting=bytes(replace(frame, status=(frame.status or 0) & ~Status.FROM_STORAGE or None)),
    )


def _shown(raw: bytes) -> Sent:
    return Sent(measurement=Continuous.from_bytes(raw).to_measurement(), date_time=None)


def _numbers(raw: bytes) -> tuple[Decimal, ...] | None:
    frame = Continuous.from_bytes(raw)
    # "Measurement ongoing" alone is no doubt: a ChoiceMMed sets it in every frame (golden/sensor_frames.py).
    spo2, pulse = frame.normal.spo2.value, frame.normal.pulse.value
    is_of_now = not (frame.status or 0) & Status.FROM_STORAGE
    if spo2 is None or pulse is None or not is_of_now or grade(frame.to_measurement())[0] is not Quality.ACCEPTED:
        return None
    return spo2, pulse


STREAM: Final = Stream(
    characteristic=uuids.PLX_CONTINUOUS,
    numbers=_numbers,
    decode=_shown,
    agree_within=Decimal(2),  # percent: what such meters themselves claim as their accuracy (engineering choice)
    settles=60,  # "keep it in place for at least a minute" (NHS, COVID Oximetry @home), of a frame a second
)
