"""The part of a session that is about glucose (0x1808): ask for the records since the last one, pair each with its context.

The meter keeps its records; the gateway never deletes them. It asks from the newest record that it already has, that one
included: if it comes back unchanged, the numbers still mean what they meant; if not, the meter has been reset (a battery
change restarts them) and everything is asked for. Repeats are known by their id and kept once.

That record, the anchor, is kept last: a session that breaks before its end must not leave one behind that would vouch for
numbers of which not all have come.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gateway.sessions.commands import (
    Heard,
    MeterRecord,
    Script,
    keep,
    look_up,
    set_aside,
    subscribe,
    wait,
    write,
)
from gateway.sessions.meter_clock import MeterClock
from gateway.timing import Evidence
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import GlucoseContext
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.record_access import OpCode, RecordAccess, ResponseCode

PROCEDURE_S: Final = 30.0
"""The Record Access procedure's timeout, started anew by each notification (GLP 1.0.1; three vendors' stacks agree)."""

_CANNOT: Final = frozenset(
    {
        ResponseCode.OP_CODE_NOT_SUPPORTED,
        ResponseCode.INVALID_OPERATOR,
        ResponseCode.OPERATOR_NOT_SUPPORTED,
        ResponseCode.INVALID_OPERAND,
        ResponseCode.OPERAND_NOT_SUPPORTED,
    }
)
"""Answers of a meter that cannot report from a number on; then everything is asked for."""


@dataclass(slots=True)
class _Report:
    """One Record Access procedure: what has come, and what still waits for its context. The record numbered `anchor_sequence` is
    held back as `anchor`."""

    clock: MeterClock | None
    anchor_sequence: int | None = None
    anchor: MeterRecord | None = None
    code: int | None = None
    malformed: int = 0
    numbers: set[int] = field(default_factory=set)
    waiting: dict[int, tuple[GlucoseMeasurement, bytes, datetime]] = field(default_factory=dict)
    contexts: dict[int, tuple[GlucoseContext, bytes]] = field(default_factory=dict)


def collect(characteristics: frozenset[str], clock: MeterClock | None, *, highest: int | None) -> Script[int | None]:
    """Keep every record since `highest` (all if None); the highest sequence number that is now complete here.

    Raises `LinkError` if the report does not complete; what came until then has been kept, and will be asked for again.
    """
    for characteristic in (uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT, uuids.RECORD_ACCESS):
        if characteristic in characteristics:
            yield from subscribe(characteristic)
    if highest is None:
        report = yield from _ask(RecordAccess.report_all(), clock, None)
    else:
        report = yield from _ask(RecordAccess.report_from(highest), clock, highest)
        if report.code in _CANNOT or report.anchor is None or (yield from look_up(report.anchor)).is_new:
            report = yield from _ask(RecordAccess.report_all(), clock, highest)
    if report.code not in (ResponseCode.SUCCESS, ResponseCode.NO_RECORDS_FOUND):
        raise LinkError(f"the meter ended its report with code {report.code}")
    if report.anchor is not None:
        yield from keep(report.anchor)
    return max(report.numbers, default=None)


def _ask(request: RecordAccess, clock: MeterClock | None, anchor_sequence: int | None) -> Script[_Report]:
    """The report to `request`; asked for once more if a frame of it could not be decoded."""
    first = yield from _ask_once(request, clock, anchor_sequence)
    if not first.malformed:
        return first
    second = yield from _ask_once(request, clock, anchor_sequence)
    second.numbers |= first.numbers
    second.anchor = second.anchor or first.anchor
    return second


def _ask_once(request: RecordAccess, clock: MeterClock | None, anchor_sequence: int | None) -> Script[_Report]:
    report = _Report(clock, anchor_sequence)
    yield from write(uuids.RECORD_ACCESS, bytes(request))
    while report.code is None:
        heard = yield from wait(PROCEDURE_S)
        match heard.event:
            case None:
                raise LinkError(f"the meter did not finish its report within {PROCEDURE_S:.0f} s")
            case Disconnected():
                raise LinkError("the meter went away in the middle of its report")
            case Notified(characteristic=characteristic, value=raw):
                yield from _take(report, characteristic, raw, heard)
    for sequence in list(report.waiting):  # the report is complete: a context that has not come never will
        yield from _keep(report, sequence)
    return report


def _take(report: _Report, characteristic: str, raw: bytes, heard: Heard) -> Script[None]:
    try:
        match characteristic:
            case uuids.GLUCOSE_MEASUREMENT:
                yield from _take_measurement(report, GlucoseMeasurement.from_bytes(raw), raw, heard.at)
            case uuids.GLUCOSE_CONTEXT:
                yield from _take_context(report, GlucoseContext.from_bytes(raw), raw)
            case uuids.RECORD_ACCESS:
                answer = RecordAccess.from_bytes(raw)
                if answer.request_op_code == OpCode.REPORT_STORED_RECORDS:
                    report.code = answer.response_code_value
    except MalformedError as e:
        report.malformed += 1
        yield from set_aside(characteristic, raw, e.reason, e.message)


def _take_measurement(report: _Report, frame: GlucoseMeasurement, raw: bytes, received_at: datetime) -> Script[None]:
    report.waiting[frame.sequence] = (frame, raw, received_at)
    if not frame.context_follows or frame.sequence in report.contexts:
        yield from _keep(report, frame.sequence)


def _take_context(report: _Report, context: GlucoseContext, raw: bytes) -> Script[None]:
    report.contexts[context.sequence] = (context, raw)
    if context.sequence in report.waiting:
        yield from _keep(report, context.sequence)


def _keep(report: _Report, sequence: int) -> Script[None]:
    frame, raw, received_at = report.waiting.pop(sequence)
    context, context_raw = report.contexts.get(sequence, (None, None))
    clock = report.clock
    evidence = Evidence(
        received_at=received_at,
        is_stamped=True,
        meter_wall=frame.user_facing_time,
        clock_meter=None if clock is None else clock.meter,
        clock_at=None if clock is None else clock.at,
        is_externally_set=clock is not None and clock.is_externally_set,
    )
    record = MeterRecord(
        characteristic=uuids.GLUCOSE_MEASUREMENT,
        raw=raw,
        context_raw=context_raw,
        measurement=frame.to_measurement(context),
        evidence=evidence,
        sequence=sequence,
        meter_time=frame.meter_time,
    )
    report.numbers.add(sequence)
    if sequence == report.anchor_sequence:
        report.anchor = record
    else:
        yield from keep(record)
