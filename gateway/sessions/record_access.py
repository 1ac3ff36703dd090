"""Record Access (0x2A52): asking a meter for the records that it keeps. The part that glucometers, glucose sensors that are worn,
oximeters and enhanced cuffs have in common.

The meter keeps its records; the gateway never deletes them. `collect` asks from the newest record that it already has, that
one included: if it comes back unchanged, the numbers still mean what they meant; if not, the meter has been reset (a battery
change restarts them, and so does a new sensor) and everything is asked for. Repeats are known by their id and kept once.

That record, the anchor, is kept last: a session that breaks before its end must not leave one behind that would vouch for
numbers of which not all have come. If it does not vouch for the numbers, what comes with it is not kept: it will come again
in the report of everything, whose records wait until one of them shows what the numbers mean now. A meter that counts from its
newest record gives every record another number each time; it is known by a record that comes back under another.

Procedure: Bluetooth SIG, GLS 1.0.1 section 3.4, CGMS 1.0.2 sections 3.6 and 3.8. A report that we give up on is aborted while the
link stands, so that the meter does not go on sending to nobody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
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


NAMELESS: Final = ("nameless", "neither its number nor a time tells this record from another")
"""Reason and detail of a record that would be another reading each time it is asked for."""
WAITING_MAX: Final = 4096
"""More records are not held back: no meter of which we know keeps as many. Then the numbers are taken to have begun anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How and when a procedure ended, and in which bytes. `number` is what a combined report says to have sent; None after
    another."""

    code: int
    at: datetime
    raw: bytes
    number: int | None = None


class Renaming(Protocol):
    """What a profile's record would be called if its number were another one, or none."""

    def under(self, record: MeterRecord, number: int) -> MeterRecord:
        """The same record as it was sent when it had this number."""
        ...

    def without(self, record: MeterRecord) -> MeterRecord | None:
        """By what lasts of it beside its number; None if nothing does."""
        ...


@dataclass(slots=True)
class Harvest:
    """What one report has brought. The record numbered `anchor_sequence` is held back as `anchor`; if it is not the one that is
    known by this number, there is none, and nothing more is kept of this report."""

    anchor_sequence: int | None = None
    anchor: MeterRecord | None = None
    is_strange: bool = False
    malformed: int = 0
    numbers: set[int] = field(default_factory=set)

    def keep(self, record: MeterRecord) -> Script[None]:
        """Make a numbered record durable, or hold it back."""
        assert record.sequence is not None, record
        self.numbers.add(record.sequence)
        if record.sequence == self.anchor_sequence:
            self.is_strange |= (yield from look_up(record)).is_new
            self.anchor = None if self.is_strange else record
        elif not self.is_strange:
            yield from keep(record)

    def refuse(self, characteristic: str, raw: bytes, why: MalformedError) -> Script[None]:
        """Set aside what cannot be read; the report will be asked for once more."""
        self.malformed += 1
        yield from set_aside(characteristic, raw, why.reason, why.message)

    def settle(self) -> Script[None]:
        """The report is complete."""
        yield from ()


@dataclass(slots=True)
class DoubtedHarvest(Harvest):
    """What a report of everything has brought whose numbers nobody vouches for. Its records wait for one that is known by its own
    number: then they mean what they meant. If none is, and the report is complete, one may be known by another number or without
    one: then they `have_moved`, and every record is kept without. Else the numbers have begun anew."""

    renaming: Renaming | None = None
    waiting: list[MeterRecord] = field(default_factory=list)
    are_understood: bool = False
    have_moved: bool = False

    def keep(self, record: MeterRecord) -> Script[None]:
        if self.are_understood:
            yield from self._keep_numbered(record)
            return
        self.waiting.append(record)
        if len(self.waiting) > WAITING_MAX or not (yield from look_up(record)).is_new:
            yield from self._understand()

    def settle(self) -> Script[None]:
        if self.are_understood:
            return
        if self.renaming is not None:
            moved_by, unnumbered = yield from self._move(self.renaming)
            self.have_moved = moved_by is not None or unnumbered < len(self.waiting)
            if self.have_moved:
                yield from self._keep_unnumbered(self.renaming, moved_by)
                return
        yield from self._understand()

    def _understand(self) -> Script[None]:
        self.are_understood = True
        waiting, self.waiting = self.waiting, []
        for record in waiting:
            yield from self._keep_numbered(record)

    def _keep_numbered(self, record: MeterRecord) -> Script[None]:
        assert record.sequence is not None, record
        self.numbers.add(record.sequence)
        if record.sequence != self.anchor_sequence:
            yield from keep(record)
            return
        if self.anchor is not None and self.anchor.raw != record.raw:
            yield from keep(self.anchor)  # two records of one number: neither may be lost
        self.anchor = record

    def _move(self, renaming: Renaming) -> Script[tuple[int | None, int]]:
        """How many numbers farther on the records are than when they were kept by number, None if none of those is here; and how
        many are not known without a number. Of the former the oldest is looked for: every newer one has moved as far."""
        strangers = []
        for record in self.waiting:
            lasting = renaming.without(record)
            if lasting is None or (yield from look_up(lasting)).is_new:
                strangers.append(record)
        oldest = max(strangers, key=_number, default=None)
        for before in range(-1 if oldest is None else _number(oldest) - 1, -1, -1):
            assert oldest is not None, "there is nothing to look for"
            if not (yield from look_up(renaming.under(oldest, before))).is_new:
                return _number(oldest) - before, len(strangers)
        return None, len(strangers)

    def _keep_unnumbered(self, renaming: Renaming, moved_by: int | None) -> Script[None]:
        for record in self.waiting:
            before = -1 if moved_by is None else _number(record) - moved_by
            if before >= 0 and not (yield from look_up(renaming.under(record, before))).is_new:
                continue
            lasting = renaming.without(record)
            if lasting is None:
                yield from set_aside(record.characteristic, record.raw, *NAMELESS)
            else:
                yield from keep(lasting)


def _number(record: MeterRecord) -> int:
    assert record.sequence is not None, record
    return record.sequence


class Reader(Protocol):
    """What a profile makes of the frames of one report."""

    def take(self, characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        """Keep what the frame says, or wait for its other half; raises `MalformedError`."""
        ...

    def finish(self) -> Script[None]:
        """The report is complete: what has not come never will."""
        ...


def collect(
    sources: Sequence[str],
    opened: Callable[[Harvest], Reader],
    *,
    highest: int | None,
    renaming: Callable[[], Renaming] | None = None,
) -> Script[int | None]:
    """Keep every record since the one numbered `highest` (all if None); the highest number that is now complete here.

    `sources` are the characteristics that records come on. `renaming` is given where a meter may change a record's number. Raises
    `LinkError` if the report does not complete; what came until then has been kept, or will be asked for again.
    """
    for characteristic in (*sources, uuids.RECORD_ACCESS):
        yield from subscribe(characteristic)
    is_trusted = False
    if highest is not None and highest < NEARLY_ALL_NUMBERS:
        code, harvest = yield from _ask(RecordAccess.report_from(highest), sources, opened, partial(Harvest, highest))
        is_trusted = code not in CANNOT and harvest.anchor is not None
    if not is_trusted:

        def made() -> Harvest:
            return Harvest() if highest is None else DoubtedHarvest(highest, renaming=renaming and renaming())

        code, harvest = yield from _ask(RecordAccess.report_all(), sources, opened, made)
    if code not in ENDED:
        raise LinkError(f"the meter ended its report with code {code}")
    if isinstance(harvest, DoubtedHarvest) and harvest.have_moved:
        return highest
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
    request: RecordAccess, sources: Sequence[str], opened: Callable[[Harvest], Reader], made: Callable[[], Harvest]
) -> Script[tuple[int, Harvest]]:
    """How the report to `request` ended, and what it brought; asked for once more if a frame of it could not be decoded."""
    code, first = yield from _ask_once(request, sources, opened, made())
    if not first.malformed:
        return code, first
    code, second = yield from _ask_once(request, sources, opened, made())
    second.numbers |= first.numbers
    second.anchor = second.anchor or first.anchor
    return code, second


def _ask_once(
    request: RecordAccess, sources: Sequence[str], opened: Callable[[Harvest], Reader], harvest: Harvest
) -> Script[tuple[int, Harvest]]:
    reader = opened(harvest)

    def take(characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        try:
            yield from reader.take(characteristic, raw, at)
        except MalformedError as e:
            yield from harvest.refuse(characteristic, raw, e)

    answer = yield from report(request, sources, take)
    yield from reader.finish()
    yield from harvest.settle()
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
