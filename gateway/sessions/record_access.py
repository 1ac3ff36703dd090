"""Record Access (0x2A52): asking a meter for the records that it keeps. The part that glucometers, glucose sensors that are worn,
oximeters and enhanced cuffs have in common.

The meter keeps its records; the gateway never deletes them. `collect` asks from the newest record that it already has, that
one included: if it comes back unchanged, the numbers still mean what they meant; if not, the meter has been reset (a battery
change restarts them, and so does a new sensor) and everything is asked for. Repeats are known by their id and kept once.

That record, the anchor, is kept last: a session that breaks before its end must not leave one behind that would vouch for
numbers of which not all have come.

Procedure: Bluetooth SIG, GLS 1.0.1 section 3.4, CGMS 1.0.2 sections 3.6 and 3.8. A report that we give up on is aborted while the
link stands, so that the meter does not go on sending to nobody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from gateway.sessions.commands import MeterRecord, Script, keep, look_up, set_aside, subscribe, wait, write
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.record_access import OpCode, RecordAccess, ResponseCode

PROCEDURE_S: Final = 30.0
"""The procedure's timeout, started anew by each notification (GLP 1.0.1; three vendors' stacks agree)."""
ABORT_S: Final = 5.0
"""How long the answer to an abort is waited for; nothing hangs on it (engineering choice)."""
NEARLY_ALL_NUMBERS: Final = 0xFF00
"""From here on numbers may begin again at 0 before the next session: "from this one on" would hide the new ones, so all are asked
for until the meter has overwritten its high numbers. No meter keeps 256 records of one user and more (engineering choice)."""

IN_PROGRESS: Final = frozenset({0x80, 0xFE})
NOT_CONFIGURED: Final = frozenset({0x81, 0xFD})
"""ATT errors on a write to the control point: the numbers of GLS 1.0, and those that all services share since (Core Supplement,
Part B, 1.2)."""

ENDED: Final = frozenset({ResponseCode.SUCCESS, ResponseCode.NO_RECORDS_FOUND})
"""Answers after which everything asked for has come. No records is a success: there is nothing new."""
CANNOT: Final = frozenset(
    {
        ResponseCode.OP_CODE_NOT_SUPPORTED,
        ResponseCode.INVALID_OPERATOR,
        ResponseCode.OPERATOR_NOT_SUPPORTED,
        ResponseCode.INVALID_OPERAND,
        ResponseCode.OPERAND_NOT_SUPPORTED,
    }
)
"""Answers of a meter that cannot do what it was asked; it may be asked for less."""

Take = Callable[[str, bytes, datetime], Script[None]]
"""What is done with a notification that is not of the control point: characteristic, bytes, when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How and when a procedure ended, and in which bytes. `number` is what a combined report says to have sent; None after
    another."""

    code: int
    at: datetime
    raw: bytes
    number: int | None = None


@dataclass(slots=True)
class Harvest:
    """What one report has brought. The record numbered `anchor_sequence` is held back as `anchor`."""

    anchor_sequence: int | None = None
    anchor: MeterRecord | None = None
    malformed: int = 0
    numbers: set[int] = field(default_factory=set)

    def keep(self, record: MeterRecord) -> Script[None]:
        """Make a numbered record durable, or hold it back."""
        assert record.sequence is not None, record
        self.numbers.add(record.sequence)
        if record.sequence != self.anchor_sequence:
            yield from keep(record)
            return
        if self.anchor is not None and self.anchor.raw != record.raw:
            yield from keep(self.anchor)  # two records of one number: neither may be lost
        self.anchor = record

    def refuse(self, characteristic: str, raw: bytes, why: MalformedError) -> Script[None]:
        """Set aside what cannot be read; the report will be asked for once more."""
        self.malformed += 1
        yield from set_aside(characteristic, raw, why.reason, why.message)


class Reader(Protocol):
    """What a profile makes of the frames of one report."""

    def take(self, characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        """Keep what the frame says, or wait for its other half; raises `MalformedError`."""
        ...

    def finish(self) -> Script[None]:
        """The report is complete: what has not come never will."""
        ...


def collect(sources: Sequence[str], opened: Callable[[Harvest], Reader], *, highest: int | None) -> Script[int | None]:
    """Keep every record since the one numbered `highest` (all if None); the highest number that is now complete here.

    `sources` are the characteristics that records come on. Raises `LinkError` if the report does not complete; what came until
    then has been kept, and will be asked for again.
    """
    for characteristic in (*sources, uuids.RECORD_ACCESS):
        yield from subscribe(characteristic)
    if highest is None or highest >= NEARLY_ALL_NUMBERS:
        code, harvest = yield from _ask(RecordAccess.report_all(), sources, opened, highest)
    else:
        code, harvest = yield from _ask(RecordAccess.report_from(highest), sources, opened, highest)
        if code in CANNOT or harvest.anchor is None or (yield from look_up(harvest.anchor)).is_new:
            code, harvest = yield from _ask(RecordAccess.report_all(), sources, opened, highest)
    if code not in ENDED:
        raise LinkError(f"the meter ended its report with code {code}")
    if harvest.anchor is not None:
        yield from keep(harvest.anchor)
    return max(harvest.numbers, default=None)


def report(
    request: RecordAccess, sources: Sequence[str], take: Take, *, timeout_s: float = PROCEDURE_S
) -> Script[Answer]:
    """One procedure from its command to its answer; `sources` and the control point are subscribed to already.

    Raises `LinkError` if it does not come to an end.
    """
    asked_at = yield from _start(request, sources, take)
    silent_until = asked_at + timedelta(seconds=timeout_s)
    now = asked_at
    while True:
        heard = yield from wait(max(0.0, (silent_until - now).total_seconds()))
        now = heard.at
        match heard.event:
            case None:
                yield from _abort(sources, take)
                raise LinkError(f"the meter did not finish its report within {timeout_s:.0f} s")
            case Disconnected():
                raise LinkError("the meter went away in the middle of its report")
            case Notified(characteristic=uuids.RECORD_ACCESS, value=raw):
                answer = yield from _answer(raw, request.op_code, now)
                if answer is not None:
                    return answer
            case Notified(characteristic=characteristic, value=raw) if characteristic in sources:
                yield from take(characteristic, raw, heard.at)
                silent_until = now + timedelta(seconds=timeout_s)
            case Notified():
                pass  # nothing of this report: it neither counts nor prolongs


def _ask(
    request: RecordAccess, sources: Sequence[str], opened: Callable[[Harvest], Reader], anchor_sequence: int | None
) -> Script[tuple[int, Harvest]]:
    """How the report to `request` ended, and what it brought; asked for once more if a frame of it could not be decoded."""
    code, first = yield from _ask_once(request, sources, opened, anchor_sequence)
    if not first.malformed:
        return code, first
    code, second = yield from _ask_once(request, sources, opened, anchor_sequence)
    second.numbers |= first.numbers
    second.anchor = second.anchor or first.anchor
    return code, second


def _ask_once(
    request: RecordAccess, sources: Sequence[str], opened: Callable[[Harvest], Reader], anchor_sequence: int | None
) -> Script[tuple[int, Harvest]]:
    harvest = Harvest(anchor_sequence)
    reader = opened(harvest)

    def take(characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        try:
            yield from reader.take(characteristic, raw, at)
        except MalformedError as e:
            yield from harvest.refuse(characteristic, raw, e)

    answer = yield from report(request, sources, take)
    yield from reader.finish()
    return answer.code, harvest


def _start(request: RecordAccess, sources: Sequence[str], take: Take) -> Script[datetime]:
    """Write the command; when it was written.

    A meter that is still busy with what somebody asked before is stopped first; one that has forgotten who listens is told again.
    """
    try:
        return (yield from write(uuids.RECORD_ACCESS, bytes(request))).at
    except LinkError as e:
        if e.code in IN_PROGRESS:
            yield from _abort(sources, take)
        elif e.code in NOT_CONFIGURED:
            for characteristic in (*sources, uuids.RECORD_ACCESS):
                yield from subscribe(characteristic)
        else:
            raise
    return (yield from write(uuids.RECORD_ACCESS, bytes(request))).at


def _abort(sources: Sequence[str], take: Take) -> Script[None]:
    """Stop the running procedure, as far as the meter goes along. Records that are on their way are taken all the same."""
    try:
        written_at = (yield from write(uuids.RECORD_ACCESS, bytes(RecordAccess.abort()))).at
    except LinkError:
        return  # a link that is gone shows itself at the next step, and a refusal changes nothing
    until = written_at + timedelta(seconds=ABORT_S)
    now = written_at
    while True:
        heard = yield from wait(max(0.0, (until - now).total_seconds()))
        now = heard.at
        match heard.event:
            case Notified(characteristic=uuids.RECORD_ACCESS, value=raw):
                if (yield from _answer(raw, OpCode.ABORT_OPERATION, now)) is not None:
                    return
            case Notified(characteristic=characteristic, value=raw) if characteristic in sources:
                yield from take(characteristic, raw, heard.at)
            case Notified():
                pass
            case _:
                return


def _answer(raw: bytes, op_code: int, at: datetime) -> Script[Answer | None]:
    """What the control point says about the command `op_code`; None if it says nothing about it. Nonsense is set aside."""
    try:
        said = RecordAccess.from_bytes(raw)
    except MalformedError as e:
        yield from set_aside(uuids.RECORD_ACCESS, raw, e.reason, e.message)
        return None
    if said.op_code == OpCode.COMBINED_REPORT_RESPONSE and op_code == OpCode.COMBINED_REPORT:
        return Answer(code=ResponseCode.SUCCESS, at=at, raw=raw, number=said.number_of_records)
    code = said.response_code_value
    if said.request_op_code != op_code or code is None:
        return None
    return Answer(code=code, at=at, raw=raw)
