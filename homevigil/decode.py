"""`homevigil decode`: the bytes of a meter as canonical JSON, for people who debug meters.

    homevigil decode 2a35 16FF07FF07FF07E80706170E230AFF070000
    homevigil decode --stdin < frames        (lines `2a35 HEX`; one JSON object a line, in order)

It shows what the gateway would read out of a frame and stores nothing. A value that the meter says it lacks is null. What
cannot be decoded is `{"error": "reason: why"}`; what decodes but must not be believed carries `quality` and `reasons`.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final

from vitals import quality
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement, IntermediateCuffPressure
from vitals.gatt.frame import member, word_of
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.glucose_context import EXERCISE_OVERRUN, GlucoseContext
from vitals.gatt.record_access import FilterType, OpCode, Operator, RecordAccess, ResponseCode
from vitals.gatt.sfloat import Sfloat
from vitals.reading import Measurement

Canonical = dict[str, Any]
"""What is printed: JSON values only, never NaN."""

CARBOHYDRATE_KG_MAX: Final = 1.0
"""More than a kilogram in one meal is a meter that sends grams where the specification has kilograms."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 well, 1 undecodable (not with --stdin), 2 not understood."""
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
        if given.stdin == (given.characteristic is not None) or given.stdin == bool(given.frame):
            parser.error("give a characteristic and its bytes, such as 2a35 0494005C006F004800; or --stdin")
        return _decode_lines() if given.stdin else _decode_one(given.characteristic, " ".join(given.frame))
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else 2
    except BrokenPipeError:  # whoever read our lines has seen enough; Python must not complain again while it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    """argparse and not typer, which loads pydantic: this word is for a terminal at the bedside too."""
    parser = argparse.ArgumentParser(
        prog="homevigil decode", description="Bytes of a meter to one line of canonical JSON."
    )
    known = ", ".join(_DECODERS)
    parser.add_argument("characteristic", nargs="?", help=f"{known}; 0x2A35 and the long UUID too")
    parser.add_argument("frame", nargs="*", metavar="HEX", help="the bytes; spaces, colons, dashes and 0x are fine")
    parser.add_argument(
        "--stdin", action="store_true", help="read lines of CHARACTERISTIC HEX and answer each with one"
    )
    return parser


def _decode_one(characteristic: str, frame: str) -> int:
    result = canonical_or_error(characteristic, frame)
    _print(result)
    return int("error" in result)


def canonical_or_error(characteristic: str, frame: str) -> Canonical:
    """What `canonical` says of the frame, or `{"error": reason}`."""
    try:
        return canonical(characteristic, hex_bytes(frame))
    except MalformedError as e:
        return {"error": str(e)}


def canonical(characteristic: str, frame: bytes) -> Canonical:
    """The frame of this characteristic as JSON values; raises `MalformedError`."""
    short = uuids.short(characteristic)
    if short is None or short not in _DECODERS:
        known = ", ".join(_DECODERS)
        raise MalformedError("characteristic", f"{characteristic[:64]!r} is not read here; known are {known}")
    return _DECODERS[short](frame)


def hex_bytes(text: str) -> bytes:
    """The bytes in `16FF`, `16 ff`, `16:FF`, `0x16 0xFF` or `(0x) 16-FF`; raises `MalformedError` (`hex`)."""
    words = [word.removeprefix("0x").removeprefix("0X") for word in re.split(r"[\s:,()-]+", text)]
    try:
        return b"".join(map(bytes.fromhex, words))
    except ValueError as e:
        raise MalformedError("hex", "bytes are pairs of hex digits, such as 16FF07 or 16:FF:07", text[:64]) from e


def _decode_lines() -> int:
    """Bytes that are no text become U+FFFD, so that no line, however broken, ends the run or is left without an answer."""
    for line in sys.stdin.buffer:
        characteristic, *frame = line.decode("utf-8", "replace").split(maxsplit=1) or [""]
        _print(canonical_or_error(characteristic, " ".join(frame)))
    return 0


def _print(result: Canonical) -> None:
    print(json.dumps(result, ensure_ascii=False, allow_nan=False), flush=True)


def _blood_pressure(frame: bytes) -> Canonical:
    sent = BloodPressureMeasurement.from_bytes(frame)
    measurement = sent.to_measurement()
    return {
        "kind": "blood_pressure",
        "systolic_mmhg": measurement.systolic_mmhg,
        "diastolic_mmhg": measurement.diastolic_mmhg,
        "mean_mmhg": measurement.mean_mmhg,
        "pulse_bpm": measurement.pulse_bpm,
        "user_slot": sent.user_slot,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    } | _doubt(measurement)


def _intermediate_cuff_pressure(frame: bytes) -> Canonical:
    sent = IntermediateCuffPressure.from_bytes(frame)
    doubt = {} if sent.pressure.special is None else {"quality": "invalid", "reasons": ["value_special"]}
    return {
        "kind": "intermediate_cuff_pressure",
        "cuff_pressure_mmhg": sent.pressure_mmhg,
        "pulse_bpm": _number(sent.pulse),
        "user_slot": sent.user_slot,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "meter_time": sent.meter_time,
        "unit_sent": sent.unit,
    } | doubt


def _glucose(frame: bytes) -> Canonical:
    sent = GlucoseMeasurement.from_bytes(frame)
    measurement = sent.to_measurement()
    return {
        "kind": "glucose",
        "glucose_mg_dl": measurement.glucose_mg_dl,
        "glucose_mmol_l": measurement.glucose_mmol_l,
        "censored": measurement.censored,
        "sequence": sent.sequence,
        "meter_time": sent.meter_time,
        "offset_min": sent.time_offset_min,
        "sample_type": measurement.sample_type,
        "sample_location": measurement.sample_location,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "context_follows": sent.context_follows,
        "unit_sent": measurement.unit_sent,
    } | _doubt(measurement)


def _glucose_context(frame: bytes) -> Canonical:
    sent = GlucoseContext.from_bytes(frame)
    overrun = sent.exercise_duration_s == EXERCISE_OVERRUN
    carbohydrate_kg = _number(sent.carbohydrate)
    is_implausible = carbohydrate_kg is not None and not 0 <= carbohydrate_kg <= CARBOHYDRATE_KG_MAX
    doubt = {"quality": "rejected", "reasons": ["carbohydrate_range"]} if is_implausible else {}
    return {
        "kind": "glucose_context",
        "sequence": sent.sequence,
        "meal": word_of(sent.meal),
        "carbohydrate_id": word_of(sent.carbohydrate_id),
        "carbohydrate_kg": carbohydrate_kg,
        "tester": word_of(sent.tester),
        "health": word_of(sent.health),
        "exercise_duration_s": None if overrun else sent.exercise_duration_s,
        "exercise_intensity_percent": sent.exercise_intensity_percent,
        "medication_id": word_of(sent.medication_id),
        "medication_kg": _number(sent.medication) if sent.medication_unit == "kg" else None,
        "medication_l": _number(sent.medication) if sent.medication_unit == "L" else None,
        "hba1c_percent": _number(sent.hba1c),
    } | doubt


def _record_access(frame: bytes) -> Canonical:
    sent = RecordAccess.from_bytes(frame)
    return {
        "kind": "record_access",
        "op_code": _named(OpCode, sent.op_code),
        "operator": _named(Operator, sent.operator),
        "filter_type": _named(FilterType, sent.filter_type),
        "minimum": sent.minimum,
        "maximum": sent.maximum,
        "number_of_records": sent.number_of_records,
        "request_op_code": _named(OpCode, sent.request_op_code),
        "response_code_value": _named(ResponseCode, sent.response_code_value),
        "operand": sent.operand.hex(),
    }


_DECODERS: Final[dict[str, Callable[[bytes], Canonical]]] = {
    uuids.BLOOD_PRESSURE_MEASUREMENT: _blood_pressure,
    uuids.INTERMEDIATE_CUFF_PRESSURE: _intermediate_cuff_pressure,
    uuids.GLUCOSE_MEASUREMENT: _glucose,
    uuids.GLUCOSE_CONTEXT: _glucose_context,
    uuids.RECORD_ACCESS: _record_access,
}


def _doubt(measurement: Measurement) -> Canonical:
    graded, reasons = quality.grade(measurement)
    return {} if graded is quality.Quality.ACCEPTED else {"quality": graded.value, "reasons": list(reasons)}


def _number(sent: Sfloat | None) -> float | None:
    return None if sent is None else sent.number


def _named(enumeration: type[IntEnum], code: int | None) -> str | int | None:
    """The specification's name; the bare number of a reserved code."""
    return None if code is None else word_of(member(enumeration, code)) or code


if __name__ == "__main__":
    sys.exit(main())
