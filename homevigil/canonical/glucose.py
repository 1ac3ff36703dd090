"""0x2A18, 0x2A34 and 0x2A52 as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import Canonical, Decoder, doubt, named, number
from vitals.gatt import uuids
from vitals.gatt.frame import flag_words, word_of
from vitals.gatt.glucose import Feature, GlucoseMeasurement
from vitals.gatt.glucose_context import EXERCISE_OVERRUN, GlucoseContext
from vitals.gatt.record_access import FilterType, OpCode, Operator, RecordAccess, ResponseCode

CARBOHYDRATE_KG_MAX: Final = 1.0
"""More than a kilogram in one meal is a meter that sends grams where the specification has kilograms."""


def measurement(frame: bytes) -> Canonical:
    sent = GlucoseMeasurement.from_bytes(frame)
    measured = sent.to_measurement()
    return {
        "kind": "glucose",
        "glucose_mg_dl": measured.glucose_mg_dl,
        "glucose_mmol_l": measured.glucose_mmol_l,
        "censored": measured.censored,
        "sequence": sent.sequence,
        "meter_time": sent.meter_time,
        "offset_min": sent.time_offset_min,
        "sample_type": measured.sample_type,
        "sample_location": measured.sample_location,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "context_follows": sent.context_follows,
        "unit_sent": measured.unit_sent,
    } | doubt(measured)


def context(frame: bytes) -> Canonical:
    sent = GlucoseContext.from_bytes(frame)
    overrun = sent.exercise_duration_s == EXERCISE_OVERRUN
    carbohydrate_kg = number(sent.carbohydrate)
    is_implausible = carbohydrate_kg is not None and not 0 <= carbohydrate_kg <= CARBOHYDRATE_KG_MAX
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
        "medication_kg": number(sent.medication) if sent.medication_unit == "kg" else None,
        "medication_l": number(sent.medication) if sent.medication_unit == "L" else None,
        "hba1c_percent": number(sent.hba1c),
    } | ({"quality": "rejected", "reasons": ["carbohydrate_range"]} if is_implausible else {})


def record_access(frame: bytes) -> Canonical:
    sent = RecordAccess.from_bytes(frame)
    return {
        "kind": "record_access",
        "op_code": named(OpCode, sent.op_code),
        "operator": named(Operator, sent.operator),
        "filter_type": named(FilterType, sent.filter_type),
        "minimum": sent.minimum,
        "maximum": sent.maximum,
        "number_of_records": sent.number_of_records,
        "request_op_code": named(OpCode, sent.request_op_code),
        "response_code_value": named(ResponseCode, sent.response_code_value),
        "operand": sent.operand.hex(),
    }


def feature(frame: bytes) -> Canonical:
    return {"kind": "glucose_feature", "can_notice": flag_words(Feature, Feature.parse(frame))}


DECODERS: Final[dict[str, Decoder]] = {
    uuids.GLUCOSE_MEASUREMENT: measurement,
    uuids.GLUCOSE_CONTEXT: context,
    uuids.RECORD_ACCESS: record_access,
    uuids.GLUCOSE_FEATURE: feature,
}
