"""Record Access Control Point (0x2A52): asking a meter for the records it keeps, and what it answers.

Frames: Bluetooth SIG, GLS 1.0.1 section 3.4. The same class is the gateway's command, the meter's answer, and what the
simulated meter reads. Our gateway never deletes a record (op code 2): a meter's memory is the last copy.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime
from vitals.gatt.frame import u16


class OpCode(IntEnum):
    REPORT_STORED_RECORDS = 1
    DELETE_STORED_RECORDS = 2
    ABORT_OPERATION = 3
    REPORT_NUMBER_OF_STORED_RECORDS = 4
    NUMBER_OF_STORED_RECORDS_RESPONSE = 5
    RESPONSE_CODE = 6
    COMBINED_REPORT = 7
    COMBINED_REPORT_RESPONSE = 8


class Operator(IntEnum):
    NULL = 0
    ALL_RECORDS = 1
    LESS_THAN_OR_EQUAL_TO = 2
    GREATER_THAN_OR_EQUAL_TO = 3
    WITHIN_RANGE_OF = 4
    FIRST_RECORD = 5
    LAST_RECORD = 6


class FilterType(IntEnum):
    SEQUENCE_NUMBER = 1
    USER_FACING_TIME = 2


class ResponseCode(IntEnum):
    """`NO_RECORDS_FOUND` is a success for a collector: there is nothing new."""

    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS_FOUND = 6
    ABORT_UNSUCCESSFUL = 7
    PROCEDURE_NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9


_FILTER_LENGTH: Final = {FilterType.SEQUENCE_NUMBER: 2, FilterType.USER_FACING_TIME: DateTime.LENGTH}
_BOUNDS: Final = {Operator.LESS_THAN_OR_EQUAL_TO: 1, Operator.GREATER_THAN_OR_EQUAL_TO: 1, Operator.WITHIN_RANGE_OF: 2}
_COMMANDS: Final = {
    OpCode.REPORT_STORED_RECORDS,
    OpCode.DELETE_STORED_RECORDS,
    OpCode.REPORT_NUMBER_OF_STORED_RECORDS,
    OpCode.COMBINED_REPORT,
}
_ANSWERS: Final = {
    OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE,
    OpCode.RESPONSE_CODE,
    OpCode.COMBINED_REPORT_RESPONSE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAccess:
    """Op code, operator, operand. Codes stay plain integers, because a meter must answer to those that it does not know."""

    op_code: int
    operator: int = Operator.NULL
    operand: bytes = b""

    def __post_init__(self) -> None:
        assert 0 <= self.op_code <= 0xFF, self.op_code
        assert 0 <= self.operator <= 0xFF, self.operator

    @classmethod
    def report_all(cls) -> Self:
        return cls(op_code=OpCode.REPORT_STORED_RECORDS, operator=Operator.ALL_RECORDS)

    @classmethod
    def report_from(cls, sequence: int) -> Self:
        """Every record with this sequence number or a later one."""
        operand = bytes((FilterType.SEQUENCE_NUMBER,)) + u16(sequence)
        return cls(op_code=OpCode.REPORT_STORED_RECORDS, operator=Operator.GREATER_THAN_OR_EQUAL_TO, operand=operand)

    @classmethod
    def report_upto(cls, sequence: int) -> Self:
        """Every record with this sequence number or an earlier one."""
        operand = bytes((FilterType.SEQUENCE_NUMBER,)) + u16(sequence)
        return cls(op_code=OpCode.REPORT_STORED_RECORDS, operator=Operator.LESS_THAN_OR_EQUAL_TO, operand=operand)

    @classmethod
    def combined_all(cls) -> Self:
        """Every record, and in the answer how many they were."""
        return cls(op_code=OpCode.COMBINED_REPORT, operator=Operator.ALL_RECORDS)

    @classmethod
    def count_all(cls) -> Self:
        return cls(op_code=OpCode.REPORT_NUMBER_OF_STORED_RECORDS, operator=Operator.ALL_RECORDS)

    @classmethod
    def abort(cls) -> Self:
        return cls(op_code=OpCode.ABORT_OPERATION)

    @classmethod
    def response(cls, op: int, code: int) -> Self:
        """The meter's answer `code` to the command `op`."""
        return cls(op_code=OpCode.RESPONSE_CODE, operand=bytes((op, code)))

    @classmethod
    def number(cls, n: int) -> Self:
        """The meter's answer to a count."""
        return cls(op_code=OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE, operand=u16(n))

    @classmethod
    def combined(cls, n: int) -> Self:
        """The meter's answer to a combined report of `n` records."""
        return cls(op_code=OpCode.COMBINED_REPORT_RESPONSE, operand=u16(n))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) if a known op code, operator and filter have an operand that cannot be
        theirs. Unknown codes are kept with whatever follows."""
        if len(data) < 2:
            raise MalformedError("frame_length", f"{len(data)} bytes, at least 2 are needed", data)
        expected = _operand_length(data)
        if expected is not None and len(data) - 2 != expected:
            raise MalformedError("frame_length", f"an operand of {len(data) - 2} bytes, its codes say {expected}", data)
        return cls(op_code=data[0], operator=data[1], operand=data[2:])

    def __bytes__(self) -> bytes:
        return bytes((self.op_code, self.operator)) + self.operand

    @property
    def filter_type(self) -> int | None:
        """By what records are selected; None where the operator selects by position."""
        return self.operand[0] if self.op_code in _COMMANDS and self.operator in _BOUNDS and self.operand else None

    @property
    def minimum(self) -> int | None:
        """The first sequence number wanted; None if there is no lower bound or the filter is another."""
        return None if self.operator == Operator.LESS_THAN_OR_EQUAL_TO else self._bound(0)

    @property
    def maximum(self) -> int | None:
        """The last sequence number wanted; None if there is no upper bound or the filter is another."""
        match self.operator:
            case Operator.LESS_THAN_OR_EQUAL_TO:
                return self._bound(0)
            case Operator.WITHIN_RANGE_OF:
                return self._bound(1)
        return None

    def _bound(self, nth: int) -> int | None:
        if self.filter_type != FilterType.SEQUENCE_NUMBER:
            return None
        return int.from_bytes(self.operand[1 + 2 * nth : 3 + 2 * nth], "little")

    @property
    def number_of_records(self) -> int | None:
        """In the answer to a count or to a combined report; else None."""
        if self.op_code not in (OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE, OpCode.COMBINED_REPORT_RESPONSE):
            return None
        return int.from_bytes(self.operand, "little")

    @property
    def request_op_code(self) -> int | None:
        """Which command a response code answers."""
        return self.operand[0] if self.op_code == OpCode.RESPONSE_CODE else None

    @property
    def response_code_value(self) -> int | None:
        """How it went (`ResponseCode`); None if this is not a response code."""
        return self.operand[1] if self.op_code == OpCode.RESPONSE_CODE else None


def _operand_length(data: bytes) -> int | None:
    """How long the operand must be; None where a code is unknown and nothing can be said."""
    op_code, operator = data[0], data[1]
    if op_code in _ANSWERS:
        return 2
    if op_code == OpCode.ABORT_OPERATION:
        return 0
    if op_code not in _COMMANDS or operator > Operator.LAST_RECORD:
        return None
    bounds = _BOUNDS.get(Operator(operator))
    if bounds is None:
        return 0
    if len(data) < 3:
        return 1 + 2 * bounds
    if data[2] not in _FILTER_LENGTH:
        return None
    return 1 + bounds * _FILTER_LENGTH[FilterType(data[2])]
