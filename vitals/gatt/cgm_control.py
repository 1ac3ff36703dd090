"""CGM Specific Ops Control Point (0x2AAC): how often a glucose sensor notifies, and what else a collector may ask of it.

Frames: Bluetooth SIG, CGMS 1.0.2 section 3.7 and GATT Specification Supplement (2025-12-23) section 3.46. They differ in
one operand: the answer with the communication interval has two octets in the supplement's table and one in the service's;
Nordic's and Silicon Labs' stacks have one, and so it is read here.

Our gateway asks and never changes a treatment: it never calibrates, never sets an alert level, never starts a session
(which clears the sensor's memory) and never stops one. The same class is the gateway's command, the sensor's answer, and
what the simulated sensor reads. Stored records are asked for by `vitals.gatt.record_access`, by filter type 1, which is the
time offset here.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from vitals.gatt.e2e_crc import has_seal, sealed
from vitals.gatt.frame import check_minimum
from vitals.gatt.sfloat import Sfloat

FASTEST_MIN: Final = 0xFF
"""The interval "as often as the sensor can"; 0 switches periodic notifications off."""


class OpCode(IntEnum):
    SET_COMMUNICATION_INTERVAL = 1
    GET_COMMUNICATION_INTERVAL = 2
    COMMUNICATION_INTERVAL_RESPONSE = 3
    SET_CALIBRATION_VALUE = 4
    GET_CALIBRATION_VALUE = 5
    CALIBRATION_VALUE_RESPONSE = 6
    SET_PATIENT_HIGH_ALERT = 7
    GET_PATIENT_HIGH_ALERT = 8
    PATIENT_HIGH_ALERT_RESPONSE = 9
    SET_PATIENT_LOW_ALERT = 10
    GET_PATIENT_LOW_ALERT = 11
    PATIENT_LOW_ALERT_RESPONSE = 12
    SET_HYPO_ALERT = 13
    GET_HYPO_ALERT = 14
    HYPO_ALERT_RESPONSE = 15
    SET_HYPER_ALERT = 16
    GET_HYPER_ALERT = 17
    HYPER_ALERT_RESPONSE = 18
    SET_RATE_OF_DECREASE_ALERT = 19
    GET_RATE_OF_DECREASE_ALERT = 20
    RATE_OF_DECREASE_ALERT_RESPONSE = 21
    SET_RATE_OF_INCREASE_ALERT = 22
    GET_RATE_OF_INCREASE_ALERT = 23
    RATE_OF_INCREASE_ALERT_RESPONSE = 24
    RESET_DEVICE_SPECIFIC_ALERT = 25
    START_SESSION = 26
    STOP_SESSION = 27
    RESPONSE_CODE = 28


class ResponseCode(IntEnum):
    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_OPERAND = 3
    PROCEDURE_NOT_COMPLETED = 4
    PARAMETER_OUT_OF_RANGE = 5


_INTERVALS: Final = {OpCode.SET_COMMUNICATION_INTERVAL, OpCode.COMMUNICATION_INTERVAL_RESPONSE}
_CALIBRATIONS: Final = {OpCode.SET_CALIBRATION_VALUE, OpCode.CALIBRATION_VALUE_RESPONSE}
_LEVELS: Final = {
    code
    for code in OpCode
    if OpCode.SET_PATIENT_HIGH_ALERT <= code <= OpCode.RATE_OF_INCREASE_ALERT_RESPONSE and "GET" not in code.name
}
_OPERAND_LENGTH: Final[dict[int, int]] = {
    **dict.fromkeys(OpCode, 0),
    **dict.fromkeys(_INTERVALS, 1),
    **dict.fromkeys(_CALIBRATIONS, 10),
    **dict.fromkeys(_LEVELS, 2),
    OpCode.GET_CALIBRATION_VALUE: 2,
    OpCode.RESPONSE_CODE: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CgmControl:
    """Op code and operand. Codes stay plain integers, because a sensor must answer to those that it does not know; of such a one
    nobody knows how long it is, so a sum at its end stays in the operand."""

    op_code: int
    operand: bytes = b""
    is_sealed: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.op_code <= 0xFF, self.op_code
        assert not self.is_sealed or self.op_code in _OPERAND_LENGTH, (
            "nobody could tell the sum of an unknown code from its operand"
        )

    @classmethod
    def get_interval(cls, *, is_sealed: bool) -> Self:
        """The gateway asks how often the sensor notifies; `is_sealed` as the sensor's feature says."""
        return cls(op_code=OpCode.GET_COMMUNICATION_INTERVAL, is_sealed=is_sealed)

    @classmethod
    def set_interval(cls, minutes: int, *, is_sealed: bool) -> Self:
        """The gateway asks to be notified every so many minutes; 0 for not at all, `FASTEST_MIN`."""
        return cls(op_code=OpCode.SET_COMMUNICATION_INTERVAL, operand=bytes((minutes,)), is_sealed=is_sealed)

    @classmethod
    def interval(cls, minutes: int, *, is_sealed: bool) -> Self:
        """The sensor's answer."""
        return cls(op_code=OpCode.COMMUNICATION_INTERVAL_RESPONSE, operand=bytes((minutes,)), is_sealed=is_sealed)

    @classmethod
    def response(cls, op: int, code: int, *, is_sealed: bool) -> Self:
        """The sensor's answer `code` to the command `op`."""
        return cls(op_code=OpCode.RESPONSE_CODE, operand=bytes((op, code)), is_sealed=is_sealed)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length` if a known op code has an operand that cannot be its own, or `crc`."""
        check_minimum(data, 1)
        expected = _OPERAND_LENGTH.get(data[0])
        if expected is None:
            return cls(op_code=data[0], operand=data[1:])
        is_sealed = has_seal(data, expected=1 + expected)
        return cls(op_code=data[0], operand=data[1 : 1 + expected], is_sealed=is_sealed)

    def __bytes__(self) -> bytes:
        body = bytes((self.op_code,)) + self.operand
        return sealed(body) if self.is_sealed else body

    @property
    def interval_min(self) -> int | None:
        """Minutes between notifications, in a command to set them and in the answer; else None."""
        return self.operand[0] if self.op_code in _INTERVALS else None

    @property
    def alert_level(self) -> Sfloat | None:
        """mg/dL, or mg/dL a minute where the code says rate; None in other frames."""
        return Sfloat.from_bytes(self.operand) if self.op_code in _LEVELS else None

    @property
    def request_op_code(self) -> int | None:
        """Which command a response code answers."""
        return self.operand[0] if self.op_code == OpCode.RESPONSE_CODE else None

    @property
    def response_code_value(self) -> int | None:
        """How it went (`ResponseCode`); None if this is not a response code."""
        return self.operand[1] if self.op_code == OpCode.RESPONSE_CODE else None
