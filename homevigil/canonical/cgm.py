"""The characteristics of a glucose sensor that is worn (0x2AA7 to 0x2AAC) as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import Canonical, Decoder, doubt, named, number
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.cgm_control import CgmControl, OpCode, ResponseCode
from vitals.gatt.cgm_measurement import CgmRecord, split
from vitals.gatt.cgm_session import UNKNOWN_DST, UNKNOWN_ZONE, CgmFeature, CgmStatus, SessionRunTime, SessionStartTime
from vitals.gatt.frame import word_of


def measurement(frame: bytes) -> Canonical:
    """Every record of the notification; one that cannot be decoded is an error in its place and costs no other."""
    told: list[Canonical] = []
    faults = []
    for record in split(frame):
        try:
            told.append(_record(record))
        except MalformedError as e:
            told.append({"error": str(e)})
            faults.append(e)
    if len(faults) == len(told):
        raise faults[0]
    return {"kind": "cgm_measurement", "records": told}


def _record(frame: bytes) -> Canonical:
    sent = CgmRecord.from_bytes(frame)
    measured = sent.to_measurement()
    return {
        "kind": "sensor_glucose",
        "glucose_mg_dl": measured.glucose_mg_dl,
        "glucose_mmol_l": measured.glucose_mmol_l,
        "censored": measured.censored,
        "offset_min": sent.time_offset_min,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "trend_mg_dl_per_min": measured.trend_mg_dl_per_min,
        "quality_percent": measured.quality_percent,
        "has_crc": sent.is_sealed,
        "unit_sent": measured.unit_sent,
    } | doubt(measured)


def feature(frame: bytes) -> Canonical:
    sent = CgmFeature.from_bytes(frame)
    return {
        "kind": "cgm_feature",
        "abilities": sent.ability_words,
        "sample_type": word_of(sent.sample_type),
        "sample_location": word_of(sent.sample_location),
    }


def status(frame: bytes) -> Canonical:
    sent = CgmStatus.from_bytes(frame)
    return {
        "kind": "cgm_status",
        "offset_min": sent.time_offset_min,
        "status": sent.status,
        "status_flags": sent.status_flags,
        "has_crc": sent.is_sealed,
    }


def session_start_time(frame: bytes) -> Canonical:
    sent = SessionStartTime.from_bytes(frame)
    instant = sent.instant(0)
    return {
        "kind": "cgm_session_start_time",
        "meter_time": sent.meter_time(0),
        "zone_quarters": None if sent.zone == UNKNOWN_ZONE else sent.zone,
        "dst_quarters": None if sent.dst == UNKNOWN_DST else sent.dst,
        "instant": None if instant is None else instant.isoformat(),
        "has_crc": sent.is_sealed,
    }


def session_run_time(frame: bytes) -> Canonical:
    sent = SessionRunTime.from_bytes(frame)
    return {"kind": "cgm_session_run_time", "hours": sent.hours, "has_crc": sent.is_sealed}


def control(frame: bytes) -> Canonical:
    sent = CgmControl.from_bytes(frame)
    return {
        "kind": "cgm_control",
        "op_code": named(OpCode, sent.op_code),
        "interval_min": sent.interval_min,
        "alert_level": number(sent.alert_level),
        "request_op_code": named(OpCode, sent.request_op_code),
        "response_code_value": named(ResponseCode, sent.response_code_value),
        "operand": sent.operand.hex(),
        "has_crc": sent.is_sealed,
    }


DECODERS: Final[dict[str, Decoder]] = {
    uuids.CGM_MEASUREMENT: measurement,
    uuids.CGM_FEATURE: feature,
    uuids.CGM_STATUS: status,
    uuids.CGM_SESSION_START_TIME: session_start_time,
    uuids.CGM_SESSION_RUN_TIME: session_run_time,
    uuids.CGM_CONTROL: control,
}
