"""The part of a session that is about oxygen (0x1822): spot checks, asked for if the meter keeps them, else taken as they come.

The stream of a finger that is in the meter (0x2A5F) is not listened to. The gateway never deletes a record: all are asked for
each time, because they have no numbers to ask by, and repeats are known by their id.
"""

from typing import Final

from gateway.sessions import unasked
from gateway.sessions.commands import Heard, Script, read, set_aside, subscribe, wait, write
from gateway.sessions.meter_clock import MeterClock
from gateway.sessions.unasked import Sent
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.pulse_oximeter import RECORD_ACCESS_S, Features, SpotCheck
from vitals.gatt.record_access import OpCode, RecordAccess, ResponseCode

_HAS_NONE: Final = frozenset({ResponseCode.SUCCESS, ResponseCode.NO_RECORDS_FOUND, ResponseCode.OP_CODE_NOT_SUPPORTED})
"""Answers after which there is nothing more to ask for."""


def collect(characteristics: frozenset[str], clock: MeterClock | None) -> Script[bool]:
    """Keep every spot check until the meter is quiet; whether the link is still there.

    Raises `LinkError` if a report of stored records does not complete; what came until then has been kept.
    """
    if not (yield from _stores(characteristics)):
        return (yield from unasked.collect(uuids.PLX_SPOT_CHECK, decode, clock))
    yield from subscribe(uuids.PLX_SPOT_CHECK)
    yield from subscribe(uuids.RECORD_ACCESS)
    yield from write(uuids.RECORD_ACCESS, bytes(RecordAccess.report_all()))
    code = None
    while code is None:
        code = yield from _report(clock)
    if code not in _HAS_NONE:
        raise LinkError(f"the meter ended its report with code {code}")
    return (yield from unasked.listen(uuids.PLX_SPOT_CHECK, decode, clock, first_within_s=unasked.QUIET_S))


def _stores(characteristics: frozenset[str]) -> Script[bool]:
    """Whether there may be stored records, by what the meter says that it can do."""
    if not {uuids.PLX_FEATURES, uuids.RECORD_ACCESS} <= characteristics:
        return False
    try:
        return Features.from_bytes((yield from read(uuids.PLX_FEATURES)).value).stores_spot_checks
    except (LinkError, MalformedError):
        return False


def _report(clock: MeterClock | None) -> Script[int | None]:
    """One step of the report; the code that ends it, or None while it goes on."""
    heard = yield from wait(RECORD_ACCESS_S)
    match heard.event:
        case None:
            raise LinkError(f"the meter did not finish its report within {RECORD_ACCESS_S:.0f} s")
        case Disconnected():
            raise LinkError("the meter went away in the middle of its report")
        case Notified(characteristic=uuids.PLX_SPOT_CHECK, value=raw):
            yield from _take_stored(raw, heard, clock)
        case Notified(characteristic=uuids.RECORD_ACCESS, value=raw):
            try:
                answer = RecordAccess.from_bytes(raw)
            except MalformedError as e:
                yield from set_aside(uuids.RECORD_ACCESS, raw, e.reason, e.message)
                return None
            return answer.response_code_value if answer.request_op_code == OpCode.REPORT_STORED_RECORDS else None
    return None


def _take_stored(raw: bytes, heard: Heard, clock: MeterClock | None) -> Script[None]:
    yield from unasked.take(uuids.PLX_SPOT_CHECK, raw, decode, received_at=heard.at, clock=clock, is_live=False)


def decode(raw: bytes) -> Sent:
    frame = SpotCheck.from_bytes(raw)
    return Sent(
        measurement=frame.to_measurement(),
        date_time=frame.date_time,
        is_clock_set=frame.is_clock_set,
        is_stored=frame.is_from_storage,
    )
