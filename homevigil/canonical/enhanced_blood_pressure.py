"""0x2B34, 0x2B35 and 0x2B36 as canonical JSON."""

from typing import Final

from homevigil.canonical import blood_pressure
from homevigil.canonical.answer import Canonical, Decoder
from vitals.errors import MalformedError
from vitals.gatt import e2e_crc, uuids
from vitals.gatt.blood_pressure_record import BloodPressureRecord, RecordSegment
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement, EnhancedIntermediateCuffPressure


def measurement(frame: bytes) -> Canonical:
    sent = EnhancedBloodPressureMeasurement.from_bytes(frame)
    return blood_pressure.measured(sent) | _user_facing_time(sent)


def intermediate_cuff_pressure(frame: bytes) -> Canonical:
    sent = EnhancedIntermediateCuffPressure.from_bytes(frame)
    return blood_pressure.still_inflating(sent) | _user_facing_time(sent)


def _user_facing_time(sent: EnhancedBloodPressureMeasurement | EnhancedIntermediateCuffPressure) -> Canonical:
    return {"user_facing_time": None if sent.user_facing_time is None else sent.user_facing_time.isoformat()}


def record(frame: bytes) -> Canonical:
    """One segment; what it holds, if it is a whole record of a measurement that is read here.

    A cuff says elsewhere whether it sends an E2E-CRC. Here the last two octets are taken for one if they are the right sum.
    """
    segment = RecordSegment.from_bytes(frame)
    told: Canonical = {
        "kind": "blood_pressure_record",
        "sequence": segment.sequence,
        "characteristic": f"{segment.uuid:04x}",
        "is_first": segment.is_first,
        "is_last": segment.is_last,
        "counter": segment.counter,
    }
    if not (segment.is_first and segment.is_last):
        return told | {"part": segment.part.hex()}
    has_crc = _ends_with_its_sum(frame)
    whole = BloodPressureRecord.joined([segment], is_sealed=has_crc)
    decoder = _RECORDED.get(told["characteristic"])
    held = {"value": whole.value.hex()} if decoder is None else {"record": decoder(whole.value)}
    return told | {"has_crc": has_crc} | held


def _ends_with_its_sum(frame: bytes) -> bool:
    try:
        e2e_crc.check_seal(frame)
    except MalformedError:
        return False
    return True


_RECORDED: Final[dict[str, Decoder]] = {
    uuids.BLOOD_PRESSURE_MEASUREMENT: blood_pressure.measurement,
    uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT: measurement,
}
DECODERS: Final[dict[str, Decoder]] = {
    uuids.ENHANCED_BLOOD_PRESSURE_MEASUREMENT: measurement,
    uuids.ENHANCED_INTERMEDIATE_CUFF_PRESSURE: intermediate_cuff_pressure,
    uuids.BLOOD_PRESSURE_RECORD: record,
}
