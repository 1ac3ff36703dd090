"""0x2A99, 0x2A9A and 0x2A9F as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import Canonical, Decoder, named
from vitals.gatt import uuids
from vitals.gatt.user_data import DatabaseChangeIncrement, OpCode, ResponseValue, UserControl, UserIndex


def database_change_increment(frame: bytes) -> Canonical:
    return {"kind": "database_change_increment", "count": DatabaseChangeIncrement.from_bytes(frame).count}


def user_index(frame: bytes) -> Canonical:
    return {"kind": "user_index", "user_slot": UserIndex.from_bytes(frame).user_slot}


def user_control(frame: bytes) -> Canonical:
    sent = UserControl.from_bytes(frame)
    return {
        "kind": "user_control",
        "op_code": named(OpCode, sent.op_code),
        "user_index": sent.user_index,
        "consent_code": sent.consent_code,
        "number_of_users": sent.number_of_users,
        "request_op_code": named(OpCode, sent.request_op_code),
        "response_value": named(ResponseValue, sent.response_value),
        "parameter": sent.parameter.hex(),
    }


DECODERS: Final[dict[str, Decoder]] = {
    uuids.DATABASE_CHANGE_INCREMENT: database_change_increment,
    uuids.USER_INDEX: user_index,
    uuids.USER_CONTROL: user_control,
}
