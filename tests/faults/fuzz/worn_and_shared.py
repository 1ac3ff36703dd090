"""What must hold for any bytes of a glucose sensor that is worn, of an enhanced cuff, and of a shared meter's users.

The sums are computed here a second time, by long division, and what a record says is taken out of its octets by hand.
"""

from collections.abc import Callable
from typing import Final

from faults.fuzz.checks import Target, assert_can_travel, decoded, frames, read
from vitals.gatt import cgm_control, cgm_session, enhanced_blood_pressure, user_data
from vitals.gatt.blood_pressure_record import BloodPressureRecord, RecordSegment
from vitals.gatt.cgm_measurement import CgmMeasurement, CgmRecord, split


def worn_sensor(data: bytes) -> None:
    """0x2AA7: the records of a notification are its octets, each by itself, and a sum that is taken is right."""
    found = read(split, data)
    if found is None:
        assert decoded(CgmMeasurement.from_bytes, data) is None
        return
    assert b"".join(found) == data
    for record in found:
        sent = decoded(CgmRecord.from_bytes, record)
        if sent is None:
            continue
        assert sent.is_sealed == _is_sealed(record, _octets(record[1]))
        measured = sent.to_measurement()
        assert_can_travel(measured)
        assert measured.sequence == record[4] | record[5] << 8
        assert measured.censored is None or measured.glucose_mg_dl is None
        assert measured.glucose_mg_dl in (None, measured.glucose_sent)


def sensor_session(data: bytes) -> None:
    """0x2AA8 to 0x2AAC."""
    feature = decoded(cgm_session.CgmFeature.from_bytes, data)
    assert feature is None or not data[1] & 0x10 or _remainder(data[:4]) == data[4:]
    for codec, plain in (
        (cgm_session.CgmStatus, 5),
        (cgm_session.SessionStartTime, 9),
        (cgm_session.SessionRunTime, 2),
    ):
        sent = decoded(codec.from_bytes, data)
        assert sent is None or (bytes(sent) == data and sent.is_sealed == _is_sealed(data, plain))
    start = read(cgm_session.SessionStartTime.from_bytes, data)
    for offset in (0, 0xFFFF):
        told = None if start is None else start.meter_time(offset)
        assert told is None or len(told) == 19
    control = decoded(cgm_control.CgmControl.from_bytes, data)
    assert control is None or bytes(control) == data


def enhanced_cuff(data: bytes) -> None:
    """0x2B34 to 0x2B36."""
    sent = decoded(enhanced_blood_pressure.EnhancedBloodPressureMeasurement.from_bytes, data)
    cuff = decoded(enhanced_blood_pressure.EnhancedIntermediateCuffPressure.from_bytes, data)
    for each in (sent, cuff):
        if each is not None:
            assert bytes(each) == bytes((data[0] & 0x7F,)) + data[1:]
            assert each.meter_time is None or each.meter_time[:2] in ("19", "20", "21")
    if sent is not None:
        assert_can_travel(sent.to_measurement())
    segment = decoded(RecordSegment.from_bytes, data)
    if segment is None:
        return
    assert bytes(segment) == data
    for is_sealed in (False, True):
        whole = read(_join(segment, is_sealed), data)
        if whole is not None:
            assert data[0] & 3 == 3
            assert whole.value == (data[5:-2] if is_sealed else data[5:])
            assert not is_sealed or _remainder(data[:-2]) == data[-2:]


def users(data: bytes) -> None:
    """0x2A99, 0x2A9A and 0x2A9F."""
    for codec in (user_data.UserControl, user_data.UserIndex, user_data.DatabaseChangeIncrement):
        sent = decoded(codec.from_bytes, data)
        assert sent is None or bytes(sent) == data
    control = read(user_data.UserControl.from_bytes, data)
    if control is not None:
        for octet in (control.user_index, control.number_of_users, control.request_op_code, control.response_value):
            assert octet is None or 0 <= octet <= 0xFF
        assert control.consent_code is None or 0 <= control.consent_code <= 0xFFFF


def _join(segment: RecordSegment, is_sealed: bool) -> Callable[[bytes], BloodPressureRecord]:
    return lambda _: BloodPressureRecord.joined([segment], is_sealed=is_sealed)


def _octets(flags: int) -> int:
    """How long a record with these flags is without its sum."""
    return 6 + (flags & 0xE0).bit_count() + 2 * (flags & 0x03).bit_count()


def _is_sealed(data: bytes, plain: int) -> bool:
    return len(data) == plain + 2 and _remainder(data[:plain]) == data[plain:]


def _remainder(data: bytes) -> bytes:
    """D16 + D12 + D5 + 1, seed 0xFFFF, bits least significant first (CGMS 1.0.2 section 3.11), by long division."""
    bits = [octet >> place & 1 for octet in data + b"\0\0" for place in range(8)]
    bits[:16] = [bit ^ 1 for bit in bits[:16]]
    for at in range(len(bits) - 16):
        if bits[at]:
            for term in (0, 4, 11, 16):
                bits[at + term] ^= 1
    return sum(bit << place for place, bit in enumerate(bits[-16:])).to_bytes(2, "little")


TARGETS: Final = {
    "worn_sensor": Target(check=worn_sensor, seeds=frames("2aa7"), max_bytes=32),
    "sensor_session": Target(check=sensor_session, seeds=frames("2aa8", "2aa9", "2aaa", "2aab", "2aac"), max_bytes=16),
    "enhanced_cuff": Target(check=enhanced_cuff, seeds=frames("2b34", "2b35", "2b36"), max_bytes=28),
    "users": Target(check=users, seeds=frames("2a99", "2a9a", "2a9f"), max_bytes=8),
}
