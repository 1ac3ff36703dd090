"""Record Access (0x2A52): asking a meter for the records that it keeps. The part that glucometers, glucose sensors that are worn,
oximeters and enhanced cuffs have in common.

The meter keeps its records; the gateway never deletes them. `collect` asks from the newest record that it already has, that
one included: if it comes back unchanged, the numbers still mean what they meant; if not, the meter has been reset (a battery
change restarts them, and so does a new sensor) and everything is asked for. Repeats are known by their id and kept once.

That record, the anchor, is kept last: a session that breaks before its end must not leave one behind that would vouch for
numbers of which not all have come. If it does not vouch for the numbers, what comes with it is not kept: it will come again
in the report of everything, whose records wait until one of them shows what the numbers mean now. A meter that counts from its
newest record gives every record another number each time; it is known by a record that comes back under another.

A report that succeeds may lack records all the same: a host that is too slow drops notifications, and the meter never knows.
Where there is a reason to doubt it is counted (`_fill`), and what is missing is asked for once more.

Procedure: Bluetooth SIG, GLS 1.0.1 section 3.4, CGMS 1.0.2 sections 3.6 and 3.8. A report that we give up on is aborted while the
link stands, so that the meter does not go on sending to nobody.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Final, Protocol

from gateway.sessions.commands import Script, keep, set_aside, subscribe, wait, write
from gateway.sessions.harvest import DoubtedHarvest, Harvest, Renaming
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.record_access import OpCode, Operator, RecordAccess, ResponseCode

PROCEDURE_S: Final = 30.0
"""The procedure's timeout, started anew by each notification (GLP 1.0.1; three vendors' stacks agree)."""
ABORT_S: Final = 5.0
"""How long the answer to an abort is waited for; nothing hangs on it (engineering choice)."""
COUNT_S: Final = 5.0
"""How long a meter may take to count its records; one that does not is believed (engineering choice)."""
FILLS_MAX: Final = 16
"""So many times a report is asked for what it lacks. A Linux host drops what comes after a hundred notifications that it has not
read yet (kernel 6.12, `l2cap_data_channel`), so this is enough for the fullest meter (engineering choice)."""
NEARLY_ALL_NUMBERS: Final = 0xFF00
"""From here on numbers may begin again at 0 before the next session: "from this one on" would hide the new ones, so all are asked
for until the meter has overwritten its high numbers. No meter keeps 256 records of one user and more (engineering choice)."""

BEGUN: Final = 0
"""The number to be remembered of a meter whose first report broke off after it had brought something. Everything is asked for,
and what is known of it shows whether the numbers mean what they meant: with the next drop a meter may count anew."""

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

_NUMBER_SAID: Final[dict[int, OpCode]] = {
    OpCode.COMBINED_REPORT: OpCode.COMBINED_REPORT_RESPONSE,
    OpCode.REPORT_NUMBER_OF_STORED_RECORDS: OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE,
}
"""Procedures that are answered by a number if they succeed."""

Take = Callable[[str, bytes, datetime], Script[None]]
"""What is done with a notification that is not of the control point: characteristic, bytes, when."""


RECORD_COUNT: Final = "record_count"
"""Why a meter's count is set aside: other records than it says have come, and asking again has not helped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How and when a procedure ended, and in which bytes. `number` is what a combined report says to have sent, or a count to
    have found; None after another."""

    code: int
    at: datetime
    raw: bytes
    number: int | None = None


class Reader(Protocol):
    """What a profile makes of the frames of one report."""

    def take(self, characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        """Keep what the frame says, or wait for its other half; raises `MalformedError`."""
        ...

    def halves(self) -> frozenset[int]:
        """The numbers of records whose other half is announced and has not come."""
        ...

    def finish(self) -> Script[None]:
        """The report is complete: what has not come never will."""
        ...


def collect(
    sources: Sequence[str],
    opened: Callable[[Harvest], Reader],
    *,
    highest: int | None,
    step: int | None = 1,
    renaming: Callable[[], Renaming] | None = None,
) -> Script[int | None]:
    """Keep every record since the one numbered `highest` (all if None); the highest number that is now complete here.

    `sources` are the characteristics that records come on. `step` is the widest usual distance of one number to the next, None
    where everything is asked for the next time, too, so that nothing has to be counted. `renaming` is given where a meter may
    change a record's number. Raises `LinkError` if the report does not complete; what came until then has been kept, or will be
    asked for again.
    """
    ask = partial(_ask, sources, opened, step)
    for characteristic in (*sources, uuids.RECORD_ACCESS):
        yield from subscribe(characteristic)
    is_trusted = False
    if highest is not None and BEGUN < highest < NEARLY_ALL_NUMBERS:
        code, harvest = yield from ask(RecordAccess.report_from(highest), partial(Harvest, highest))
        is_trusted = code not in CANNOT and harvest.anchor is not None
    if not is_trusted:

        def made() -> Harvest:
            return Harvest() if highest is None else DoubtedHarvest(highest, renaming=renaming and renaming())

        code, harvest = yield from ask(RecordAccess.report_all(), made)
    if code not in ENDED:
        raise LinkError(f"the meter ended its report with code {code}")
    if isinstance(harvest, DoubtedHarvest) and harvest.have_moved:
        return highest
    if harvest.anchor is not None:
        yield from keep(harvest.anchor)
    return harvest.highest


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
    sources: Sequence[str],
    opened: Callable[[Harvest], Reader],
    step: int | None,
    request: RecordAccess,
    made: Callable[[], Harvest],
) -> Script[tuple[int, Harvest]]:
    """How the report to `request` ended, and what it brought; asked for once more if a frame of it could not be decoded."""
    code, first = yield from _ask_once(sources, opened, step, request, made())
    if not first.malformed:
        return code, first
    code, second = yield from _ask_once(sources, opened, step, request, made())
    second.numbers |= first.numbers
    second.anchor = second.anchor or first.anchor
    return code, second


def _ask_once(
    sources: Sequence[str],
    opened: Callable[[Harvest], Reader],
    step: int | None,
    request: RecordAccess,
    harvest: Harvest,
) -> Script[tuple[int, Harvest]]:
    reader = opened(harvest)

    def take(characteristic: str, raw: bytes, at: datetime) -> Script[None]:
        try:
            yield from reader.take(characteristic, raw, at)
        except MalformedError as e:
            yield from harvest.refuse(characteristic, raw, e)

    answer = yield from report(request, sources, take)
    if answer.code == ResponseCode.SUCCESS:
        yield from _fill(request, sources, take, step, harvest, reader)
    yield from reader.finish()
    yield from harvest.settle()
    return answer.code, harvest


def _fill(
    request: RecordAccess, sources: Sequence[str], take: Take, step: int | None, harvest: Harvest, reader: Reader
) -> Script[None]:
    """Ask for what the report to `request` lacks, as long as that brings something: the other half of a record, and records, if
    fewer have come than there are. They are counted after a report of everything, and where a number is left out.

    A meter that may have lost nothing is not asked. One that does not count is believed, and so is one that has gone.
    """
    counted, was_counted, nth = None, False, 0
    for _ in range(FILLS_MAX):
        before, after = _gap(harvest.heard.values(), step)
        is_in_doubt = request.operator == Operator.ALL_RECORDS or before is not None
        if step is not None and is_in_doubt and not was_counted:
            counted, was_counted = (yield from _count(request, sources, take)), True
        halves, lacks = reader.halves(), _lacks(harvest, counted)
        if harvest.is_strange or not (halves or lacks):
            return
        since = min((*halves, *(() if before is None else (before,))), default=max(harvest.heard.values(), default=0))
        upto = max((*halves, *(() if after is None else (after,))), default=min(harvest.heard.values(), default=0))
        ways = (RecordAccess.report_from(since), RecordAccess.report_upto(upto), request)
        try:
            answer = yield from report(ways[nth], sources, take)
        except LinkError:
            if lacks:
                raise
            return  # a meter that has never sent what it announces may have hung up: its records are kept as they are
        if answer.code not in (*ENDED, *CANNOT):
            break
        if len(reader.halves()) >= len(halves) and _lacks(harvest, counted) >= lacks:
            nth += 1
            if nth >= len(ways):
                break
    if counted is not None and (lacks := _lacks(harvest, counted)):
        why = f"it says that it has {counted.number} records, and {lacks} of them have not come"
        yield from set_aside(uuids.RECORD_ACCESS, counted.raw, RECORD_COUNT, why)
        harvest.lacks_after, _ = _gap(harvest.heard.values(), step)


def _lacks(harvest: Harvest, counted: Answer | None) -> int:
    """How many records have not come."""
    there = 0 if counted is None or counted.number is None else counted.number
    return max(0, there - len(harvest.heard) - len(harvest.malformed))


def _gap(numbers: Iterable[int], step: int | None) -> tuple[int | None, int | None]:
    """The numbers on both sides of the first place where one is left out; None and None if none is."""
    if step is None:
        return None, None
    pairs = list(pairwise(sorted(set(numbers))))
    widest = min((step, *(after - before for before, after in pairs)))
    return next(((before, after) for before, after in pairs if after - before > widest), (None, None))


def _count(request: RecordAccess, sources: Sequence[str], take: Take) -> Script[Answer | None]:
    """How many records there are of those that `request` asks for; None if it does not say so. What comes late is taken."""
    counting = replace(request, op_code=OpCode.REPORT_NUMBER_OF_STORED_RECORDS)
    try:
        answer = yield from report(counting, sources, take, timeout_s=COUNT_S)
    except LinkError:
        return None  # a link that is gone shows itself at the next step, and all that was said has come
    return None if answer.number is None else answer


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
    if _NUMBER_SAID.get(op_code) == said.op_code:
        return Answer(code=ResponseCode.SUCCESS, at=at, raw=raw, number=said.number_of_records)
    code = said.response_code_value
    if said.request_op_code != op_code or code is None:
        return None
    return Answer(code=code, at=at, raw=raw)
