"""The Record Access Control Point of a meter that keeps numbered records: commands in, notifications and one answer out. Pure.

Nothing is ever deleted through it. Behaviour: Bluetooth SIG, GLS 1.0.1 section 3.4 and CGMS 1.0.2 sections 3.6 and 3.8; the
combined report as the GATT Specification Supplement (2025-12-23) section 3.199 has it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from firmware_sims.firmware import AttCode, AttError, Indicate, Notify
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.record_access import FilterType, OpCode, Operator, RecordAccess, ResponseCode

T = TypeVar("T")

LAST_NUMBER: Final = 0xFFFF
_REPORTS: Final = {OpCode.REPORT_STORED_RECORDS, OpCode.COMBINED_REPORT}
_FILTERED: Final = {
    Operator.LESS_THAN_OR_EQUAL_TO,
    Operator.GREATER_THAN_OR_EQUAL_TO,
    Operator.WITHIN_RANGE_OF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A record as it is sent: one notification or more."""

    number: int
    frames: tuple[bytes, ...]


class RecordAccessPoint:
    """`source` is the characteristic that records are notified on; `has_combined` whether the meter knows the combined report."""

    def __init__(self, source: str, *, has_combined: bool, sends_twice: bool = False) -> None:
        self._source, self._has_combined, self._times = source, has_combined, 2 if sends_twice else 1
        self._outgoing: deque[Notify | Indicate] = deque()
        self.is_awaiting = False
        self._is_reporting = False
        self.is_busy = False

    def command(self, value: bytes, *, subscribed: Iterable[str], records: Sequence[Numbered]) -> None:
        """Take a write; raises `AttError`."""
        if len(value) < 2:
            raise AttError(AttCode.INVALID_LENGTH)
        needs = {uuids.RECORD_ACCESS} | ({self._source} if value[0] in _REPORTS else set())
        if not needs <= set(subscribed):
            raise AttError(AttCode.CCCD_IMPROPERLY_CONFIGURED)
        if value[0] == OpCode.ABORT_OPERATION:
            self._abort(value)
            return
        if self.is_busy:
            raise AttError(AttCode.PROCEDURE_IN_PROGRESS)
        self.is_busy = True
        if value[0] not in {*_REPORTS, OpCode.REPORT_NUMBER_OF_STORED_RECORDS} or (
            value[0] == OpCode.COMBINED_REPORT and not self._has_combined
        ):
            self._respond(value[0], ResponseCode.OP_CODE_NOT_SUPPORTED)
            return
        try:
            self._answer(RecordAccess.from_bytes(value), records)
        except MalformedError:
            self._respond(value[0], ResponseCode.INVALID_OPERAND)

    def next_action(self) -> Notify | Indicate | None:
        """What to say now; None if there is nothing, or a confirmation is awaited."""
        if self.is_awaiting or not self._outgoing:
            return None
        action = self._outgoing.popleft()
        self.is_awaiting = isinstance(action, Indicate)
        return action

    def on_confirmed(self) -> bool:
        """The answer has arrived; whether it was that of a whole report."""
        assert self.is_awaiting, "a confirmation belongs to an indication"
        self.is_awaiting = False
        if self._outgoing:
            return False
        was_report, self._is_reporting, self.is_busy = self._is_reporting, False, False
        return was_report

    def on_disconnected(self) -> None:
        self._outgoing.clear()
        self.is_awaiting = self._is_reporting = self.is_busy = False

    def _abort(self, value: bytes) -> None:
        """What is still to be said of the running procedure is not said, its answer included."""
        if value[1:] != bytes((Operator.NULL,)):
            self._respond(OpCode.ABORT_OPERATION, ResponseCode.INVALID_OPERATOR)
            return
        was_busy = self.is_busy
        self._outgoing.clear()
        self.is_busy, self._is_reporting = True, False
        self._respond(OpCode.ABORT_OPERATION, ResponseCode.SUCCESS if was_busy else ResponseCode.ABORT_UNSUCCESSFUL)

    def _answer(self, command: RecordAccess, records: Sequence[Numbered]) -> None:
        refusal = refusal_of(command)
        if refusal is not None:
            self._respond(command.op_code, refusal)
            return
        chosen = chosen_of(records, command, lambda record: record.number)
        if command.op_code == OpCode.REPORT_NUMBER_OF_STORED_RECORDS:
            self._say(RecordAccess.number(len(chosen)))
            return
        self._is_reporting = True
        frames = [frame for record in chosen for frame in record.frames * self._times]
        self._outgoing.extend(Notify(characteristic=self._source, value=frame) for frame in frames)
        if not chosen:
            self._respond(command.op_code, ResponseCode.NO_RECORDS_FOUND)
        elif command.op_code == OpCode.COMBINED_REPORT:
            self._say(RecordAccess.combined(len(chosen)))
        else:
            self._respond(command.op_code, ResponseCode.SUCCESS)

    def _respond(self, op_code: int, code: ResponseCode) -> None:
        self._say(RecordAccess.response(op_code, code))

    def _say(self, answer: RecordAccess) -> None:
        self._outgoing.append(Indicate(characteristic=uuids.RECORD_ACCESS, value=bytes(answer)))


def refusal_of(command: RecordAccess) -> ResponseCode | None:
    """Why the command cannot be carried out; None if it can."""
    if command.operator == Operator.NULL:
        return ResponseCode.INVALID_OPERATOR
    if command.operator > Operator.LAST_RECORD:
        return ResponseCode.OPERATOR_NOT_SUPPORTED
    if command.operator in _FILTERED and command.filter_type != FilterType.SEQUENCE_NUMBER:
        return ResponseCode.OPERAND_NOT_SUPPORTED
    if command.operator == Operator.WITHIN_RANGE_OF and (command.minimum or 0) > (command.maximum or 0):
        return ResponseCode.INVALID_OPERAND
    return None


def chosen_of(records: Iterable[T], command: RecordAccess, number_of: Callable[[T], int]) -> list[T]:
    """The records, given oldest first, that a command which is not refused speaks of."""
    kept = list(records)
    match command.operator:
        case Operator.ALL_RECORDS:
            return kept
        case Operator.FIRST_RECORD:
            return kept[:1]
        case Operator.LAST_RECORD:
            return kept[-1:]
    first = 0 if command.minimum is None else command.minimum
    last = LAST_NUMBER if command.maximum is None else command.maximum
    return [record for record in kept if first <= number_of(record) <= last]
