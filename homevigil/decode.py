"""`homevigil decode`: the bytes of a meter as canonical JSON, for people who debug meters.

    homevigil decode 2a35 16FF07FF07FF07E80706170E230AFF070000
    homevigil decode --stdin < frames        (lines `2a35 HEX`; one JSON object a line, in order)

It shows what the gateway would read out of a frame and stores nothing. A value that the meter says it lacks is null. What
cannot be decoded is `{"error": "reason: why"}`; what decodes but must not be believed carries `quality` and `reasons`.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Annotated, Any, Final

import typer

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

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="homevigil decode")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@app.command()
def decode(
    characteristic: Annotated[
        str | None, typer.Argument(help="2a35, 2a36, 2a18, 2a34 or 2a52; the long UUID too.")
    ] = None,
    frame: Annotated[list[str] | None, typer.Argument(help="The bytes in hex; spaces, colons and 0x are fine.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read lines of CHARACTERISTIC HEX.")] = False,
) -> None:
    """Decode a frame that a meter sent, as the gateway does, to one line of JSON."""
    if stdin:
        if characteristic is not None:
            raise typer.BadParameter("give a frame or --stdin, not both")
        _decode_lines()
        return
    if characteristic is None or frame is None:
        raise typer.BadParameter("give a characteristic and its bytes, such as: 2a35 0494005C006F004800")
    result = canonical_or_error(characteristic, " ".join(frame))
    _print(result)
    if "error" in result:
        raise typer.Exit(1)


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


def _decode_lines() -> None:
    """Bytes that are no text become U+FFFD, so that no line, however broken, ends the run or is left without an answer."""
    for line in sys.stdin.buffer:
        characteristic, *frame = line.decode("utf-8", "replace").split(maxsplit=1) or [""]
        _print(canonical_or_error(characteristic, " ".join(frame)))


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
