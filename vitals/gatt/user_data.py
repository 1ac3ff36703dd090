"""User Data Service (0x181C): who stands before a shared meter. User Control Point 0x2A9F, User Index 0x2A9A, Database
Change Increment 0x2A99.

A meter with this service shows a user's records only after consent: the number that was agreed on when the user was
registered. A user index is what a reading calls its user slot. Frames: GATT Specification Supplement (2025-12-23) sections
3.76 and 3.264 for the two values; for the control point, whose service specification was not at hand, four public programs
that agree on op codes, operands and response values (im97mori/JavaBLEUtil, oliexdev/openScale,
RonanB96/bluetooth-sig-python, Wireshark).

Our gateway never deletes a user or a user's data (op codes 3 and 5). A consent code opens a person's records: it is never
logged.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from vitals.gatt.frame import Cursor, check_length, check_minimum, u16, u32

UNKNOWN_USER: Final = 0xFF
CONSENT_CODES: Final = range(10_000)
"""Four decimal digits. A meter may let a person type it in."""


class OpCode(IntEnum):
    REGISTER_NEW_USER = 1
    CONSENT = 2
    DELETE_USER_DATA = 3
    LIST_ALL_USERS = 4
    DELETE_USERS = 5
    RESPONSE_CODE = 32


class ResponseValue(IntEnum):
    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    OPERATION_FAILED = 4
    USER_NOT_AUTHORIZED = 5


_PARAMETER_LENGTH: Final[dict[int, int]] = {
    OpCode.REGISTER_NEW_USER: 2,
    OpCode.CONSENT: 3,
    OpCode.DELETE_USER_DATA: 0,
    OpCode.LIST_ALL_USERS: 0,
    OpCode.DELETE_USERS: 1,
}
_SUCCESS_LENGTH: Final[dict[int, int]] = {
    OpCode.REGISTER_NEW_USER: 1,
    OpCode.CONSENT: 0,
    OpCode.DELETE_USER_DATA: 0,
    OpCode.LIST_ALL_USERS: 1,
    OpCode.DELETE_USERS: 1,
}
"""What follows "success" in the answer to each: the new user's index, how many users there are, the index of who is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserControl:
    """Op code and parameter. Codes stay plain integers, because a meter must answer to those that it does not know."""

    op_code: int
    parameter: bytes = b""

    def __post_init__(self) -> None:
        assert 0 <= self.op_code <= 0xFF, self.op_code

    @classmethod
    def register(cls, consent_code: int) -> Self:
        """A new user, who will be opened by this code. The meter answers with the user's index."""
        assert consent_code in CONSENT_CODES, "a consent code is four decimal digits"
        return cls(op_code=OpCode.REGISTER_NEW_USER, parameter=u16(consent_code))

    @classmethod
    def consent(cls, user_index: int, consent_code: int) -> Self:
        """Open the records of this user."""
        assert consent_code in CONSENT_CODES, "a consent code is four decimal digits"
        assert 0 <= user_index < UNKNOWN_USER, user_index
        return cls(op_code=OpCode.CONSENT, parameter=bytes((user_index,)) + u16(consent_code))

    @classmethod
    def list_users(cls) -> Self:
        return cls(op_code=OpCode.LIST_ALL_USERS)

    @classmethod
    def response(cls, op: int, value: int, parameter: bytes = b"") -> Self:
        """The meter's answer `value` to the command `op`."""
        return cls(op_code=OpCode.RESPONSE_CODE, parameter=bytes((op, value)) + parameter)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) if a known op code has a parameter that cannot be its own. Unknown codes are
        kept with whatever follows, and so is what a meter adds to an answer that is not "success"."""
        check_minimum(data, 1)
        if data[0] == OpCode.RESPONSE_CODE:
            check_minimum(data, 3)
        expected = _parameter_length(data)
        if expected is not None:
            check_length(data, expected=1 + expected)
        return cls(op_code=data[0], parameter=data[1:])

    def __bytes__(self) -> bytes:
        return bytes((self.op_code,)) + self.parameter

    @property
    def consent_code(self) -> int | None:
        """In a registration or a consent; else None."""
        match self.op_code:
            case OpCode.REGISTER_NEW_USER | OpCode.CONSENT:
                return int.from_bytes(self.parameter[-2:], "little")
        return None

    @property
    def request_op_code(self) -> int | None:
        """Which command a response answers."""
        return self.parameter[0] if self.op_code == OpCode.RESPONSE_CODE else None

    @property
    def response_value(self) -> int | None:
        """How it went (`ResponseValue`); None if this is no response."""
        return self.parameter[1] if self.op_code == OpCode.RESPONSE_CODE else None

    @property
    def user_index(self) -> int | None:
        """Whom a consent or a deletion is about; in the answer to a registration or a deletion, who is new or gone; else None."""
        match self.op_code:
            case OpCode.CONSENT | OpCode.DELETE_USERS:
                return self.parameter[0]
        return self._told if self.request_op_code in (OpCode.REGISTER_NEW_USER, OpCode.DELETE_USERS) else None

    @property
    def number_of_users(self) -> int | None:
        """In the answer to a list; else None."""
        return self._told if self.request_op_code == OpCode.LIST_ALL_USERS else None

    @property
    def _told(self) -> int | None:
        """The octet after "success"."""
        return self.parameter[2] if self.response_value == ResponseValue.SUCCESS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIndex:
    """Who stands before the meter (0x2A9A), one octet."""

    index: int

    def __post_init__(self) -> None:
        assert 0 <= self.index <= 0xFF, self.index

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) for anything but 1 byte."""
        check_length(data, expected=1)
        return cls(index=data[0])

    def __bytes__(self) -> bytes:
        return bytes((self.index,))

    @property
    def user_slot(self) -> int | None:
        """None if the meter does not know."""
        return None if self.index == UNKNOWN_USER else self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseChangeIncrement:
    """How often a user's data have been changed (0x2A99), four octets: a count that grows, and nothing to measure by."""

    count: int

    def __post_init__(self) -> None:
        assert 0 <= self.count <= 0xFFFFFFFF, self.count

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) for anything but 4 bytes."""
        check_length(data, expected=4)
        return cls(count=Cursor(data).u32())

    def __bytes__(self) -> bytes:
        return u32(self.count)


def _parameter_length(data: bytes) -> int | None:
    """How long the parameter must be; None where a code is unknown and nothing can be said."""
    if data[0] != OpCode.RESPONSE_CODE:
        return _PARAMETER_LENGTH.get(data[0])
    if data[2] != ResponseValue.SUCCESS or data[1] not in _SUCCESS_LENGTH:
        return None
    return 2 + _SUCCESS_LENGTH[data[1]]
