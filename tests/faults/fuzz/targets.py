"""What is fuzzed, and what must hold for any bytes at all. A target that returns is content; whatever it raises is a find.

Only `MalformedError` may leave a decoder, and only where its docstring says so. What decodes must encode to the same meaning.
Numbers and rows are counted a second time here, by other means than the product's: a decoder and an encoder that share a
mistake agree with each other.
"""

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

from golden.frames import PUBLISHED
from unit.gateway.samples import GATEWAY, reading

from faults.fuzz import worn_and_shared
from faults.fuzz.checks import Target, assert_can_travel, decoded, frames, read
from homevigil.decode import canonical_or_error
from server.arrivals import RAW_KEPT, RESCUED_UP_TO, Candidate, open_message
from vitals.envelope import (
    MAX_READINGS,
    Receipt,
    Rejection,
    decode_envelope,
    decode_receipt,
    decode_stored_reading,
    encode_envelope,
    encode_reading,
    encode_receipt,
)
from vitals.gatt import blood_pressure, device_information, glucose, health_thermometer, pulse_oximeter, weight_scale
from vitals.gatt.current_time import CurrentTime
from vitals.gatt.date_time import DateTime
from vitals.gatt.float32 import Float32
from vitals.gatt.glucose_context import GlucoseContext
from vitals.gatt.heart_rate import HeartRateMeasurement, body_sensor_location
from vitals.gatt.record_access import RecordAccess
from vitals.gatt.sfloat import Sfloat
from vitals.quality import grade

EPOCH: Final = "0123456789abcdef"


def sfloat(data: bytes) -> None:
    """Against the arithmetic of IEEE 11073-20601, written another way."""
    found = decoded(Sfloat.from_bytes, data)
    if found is None:
        assert len(data) != 2
        return
    assert bytes(found) == data
    word = data[0] | data[1] << 8
    mantissa, exponent = (word & 0xFFF ^ 0x800) - 0x800, (word >> 12 ^ 8) - 8
    if word & 0xFFF in (0x7FE, 0x7FF, 0x800, 0x801, 0x802):
        assert found.value is None
        assert found.number is None
        assert found.special
    else:
        assert found.value is not None
        assert Fraction(found.value) == mantissa * Fraction(10) ** exponent


def pressure(data: bytes) -> None:
    """0x2A35 and 0x2A36, which share a layout."""
    sent = decoded(blood_pressure.BloodPressureMeasurement.from_bytes, data)
    cuff = decoded(blood_pressure.IntermediateCuffPressure.from_bytes, data)
    assert (sent is None) == (cuff is None)
    if sent is None or cuff is None:
        return
    assert bytes(sent)[0] == data[0] & 0x1F
    assert bytes(sent)[1:] == data[1:]
    assert cuff.pressure_mmhg == sent.to_measurement().systolic_mmhg
    for each in (sent, cuff):
        assert each.status_flags is None or len(set(each.status_flags)) == len(each.status_flags)
        assert each.meter_time is None or len(each.meter_time) == 19
    assert_can_travel(sent.to_measurement())


def sugar(data: bytes) -> None:
    """0x2A18."""
    sent = decoded(glucose.GlucoseMeasurement.from_bytes, data)
    if sent is not None:
        assert_can_travel(sent.to_measurement())
        assert sent.status_flags is None or len(sent.status_flags) <= 12
        assert sent.meter_time is None or sent.meter_time[:2].isdigit()


def context(data: bytes) -> None:
    """0x2A34."""
    decoded(GlucoseContext.from_bytes, data)


def record_access(data: bytes) -> None:
    """0x2A52."""
    asked = decoded(RecordAccess.from_bytes, data)
    if asked is not None:
        assert bytes(asked) == data
        for number in (asked.minimum, asked.maximum, asked.number_of_records):
            assert number is None or 0 <= number <= 0xFFFF
        assert asked.filter_type is None or 0 <= asked.filter_type <= 0xFF
        assert asked.request_op_code is None or 0 <= asked.request_op_code <= 0xFF
        assert asked.response_code_value is None or 0 <= asked.response_code_value <= 0xFF


def float32(data: bytes) -> None:
    """As `sfloat`, with the 32 bits of a thermometer."""
    found = decoded(Float32.from_bytes, data)
    if found is None:
        assert len(data) != 4
        return
    assert bytes(found) == data
    word = int.from_bytes(data, "little")
    mantissa, exponent = (word & 0xFFFFFF ^ 0x800000) - 0x800000, (word >> 24 ^ 0x80) - 0x80
    if word & 0xFFFFFF in (0x7FFFFE, 0x7FFFFF, 0x800000, 0x800001, 0x800002):
        assert (found.value, found.number) == (None, None)
        assert found.special
    else:
        assert found.value is not None
        assert Fraction(found.value) == mantissa * Fraction(10) ** exponent


def weight(data: bytes) -> None:
    """0x2A9D and 0x2A9E, whose steps are counted here a second time."""
    decoded(weight_scale.WeightScaleFeature.from_bytes, data)
    sent = decoded(weight_scale.WeightMeasurement.from_bytes, data)
    if sent is None:
        return
    assert not data[0] & 0x10
    assert bytes(sent) == bytes((data[0] & 0x0F,)) + data[1:]
    measured, count = sent.to_measurement(), data[1] | data[2] << 8
    if count == 0xFFFF:
        assert (measured.weight_kg, measured.weight_sent, measured.bmi) == (None, None, None)
    else:
        kg = Fraction(count * 45359237, 10**10) if data[0] & 1 else Fraction(count, 200)
        assert measured.weight_kg == float(kg)
    assert measured.bmi is None or 0 < measured.bmi < 6553.5
    assert measured.height_m is None or 0 < measured.height_m < 166.5
    assert_can_travel(measured)


def temperature(data: bytes) -> None:
    """0x2A1C and 0x2A1E, which share a layout, and 0x2A1D."""
    sent = decoded(health_thermometer.TemperatureMeasurement.from_bytes, data)
    rising = decoded(health_thermometer.IntermediateTemperature.from_bytes, data)
    assert (sent is None) == (rising is None)
    read(health_thermometer.temperature_type, data)
    if sent is None or rising is None:
        return
    assert bytes(sent) == bytes(rising) == bytes((data[0] & 0x07,)) + data[1:]
    assert sent.celsius == rising.celsius
    measured = sent.to_measurement()
    assert measured.unit_sent == ("°F" if data[0] & 1 else "°C")
    assert_can_travel(measured)


def oximeter(data: bytes) -> None:
    """0x2A5E, 0x2A5F and 0x2A60."""
    sent = decoded(pulse_oximeter.SpotCheck.from_bytes, data)
    stream = decoded(pulse_oximeter.Continuous.from_bytes, data)
    features = decoded(pulse_oximeter.Features.from_bytes, data)
    assert features is None or bytes(features) == data
    for each in (sent, stream):
        if each is not None:
            assert bytes(each) == bytes((data[0] & 0x1F,)) + data[1:]
            assert len(each.status_flags or ()) <= 11
            assert len(each.sensor_status_flags or ()) <= 16
    if sent is not None:
        assert sent.is_clock_set != bool(data[0] & 0x10)
        assert_can_travel(sent.to_measurement())


def heart_rate(data: bytes) -> None:
    """0x2A37 and 0x2A38."""
    sent = decoded(HeartRateMeasurement.from_bytes, data)
    read(body_sensor_location, data)
    if sent is not None:
        rest = len(data) - 2 - (data[0] & 1) - 2 * (data[0] >> 3 & 1)
        assert rest == 2 * len(sent.intervals)
        assert all(0 <= interval < 64 for interval in sent.intervals_s)


def clocks_and_names(data: bytes) -> None:
    """0x2A08, 0x2A2B, the two feature words, and what a meter says of itself."""
    decoded(blood_pressure.Feature.parse, data)
    decoded(glucose.Feature.parse, data)
    for clock in (decoded(DateTime.from_bytes, data), decoded(CurrentTime.from_bytes, data)):
        if clock is not None:
            assert bytes(clock) == data
            assert clock.naive is None or clock.naive.tzinfo is None
    name = device_information.text(data)
    assert name is None or (0 < len(name) <= device_information.MAX_CHARACTERS and name.isprintable())


def envelope(data: bytes) -> None:
    """An envelope and each of its rows."""
    found = read(decode_envelope, data)
    if found is not None:
        rows = [(row.seq, bytes(row.reading)) for row in found.readings]
        assert decode_envelope(encode_envelope(found.gateway_id, found.epoch, rows)) == found
        for row in found.readings:
            read(decode_stored_reading, bytes(row.reading))


def stored_reading(data: bytes) -> None:
    """A reading as it lies in the outbox."""
    found = read(decode_stored_reading, data)
    if found is not None:
        assert decode_stored_reading(encode_reading(found)) == found
        grade(found.measurement)


def receipt(data: bytes) -> None:
    """A receipt as the gateway reads it."""
    found = read(decode_receipt, data)
    assert found is None or decode_receipt(encode_receipt(found)) == found


def message(data: bytes) -> None:
    """Whatever comes in at the server's door: nothing is raised, and every row that can be counted is accounted for."""
    arrival = open_message(data, topic_gateway=GATEWAY)
    assert arrival.gateway_id == GATEWAY
    assert arrival.rows, "a message leaves no trace"
    for row in arrival.rows:
        if isinstance(row, Candidate):
            assert row.reading.gateway_id == GATEWAY
            assert decode_stored_reading(row.sent) == row.reading
        else:
            assert row.reason
            assert row.kept == row.raw or len(row.kept) == RAW_KEPT
    told = _counted(data)
    is_whole = [row.seq for row in arrival.rows] == [None] and arrival.rows[0].raw == data  # type: ignore[union-attr]
    if told is None or len(data) > RESCUED_UP_TO:
        return
    if is_whole:
        assert {seq for seq in told[:MAX_READINGS] if seq} <= set(arrival.answered)
    else:
        assert Counter(row.seq for row in arrival.rows) == Counter(told), "rows are lost between the lines"


def decode_command(data: bytes) -> None:
    """`homevigil decode`: any words of any characteristic, and always an answer that is JSON."""
    known = (*sorted({each.characteristic for each in PUBLISHED}), "0x2A36", "2A34", "2a6e", "")
    characteristic = known[data[0] % len(known)] if data else ""
    for frame in (data[1:].hex(" "), data.decode("latin-1")):
        answer = canonical_or_error(characteristic, frame)
        assert answer
        json.dumps(answer, allow_nan=False)


def _counted(data: bytes) -> list[int | None] | None:
    """The seq of each row that a lenient reader sees in the message; None where it sees no rows."""
    try:
        found = json.loads(data.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    rows = found.get("readings") if isinstance(found, dict) else None
    return [_seq(row) for row in rows] if isinstance(rows, list) else None


def _seq(row: Any) -> int | None:
    seq = row.get("seq") if isinstance(row, dict) else None
    return seq if type(seq) is int and 1 <= seq <= 2**53 else None


def _envelopes() -> Iterator[bytes]:
    rows = [(nth + 1, encode_reading(reading(nth))) for nth in range(2)]
    honest = encode_envelope(GATEWAY, EPOCH, rows)
    yield honest
    yield encode_envelope("gw-2", EPOCH, rows[:1])
    yield honest.replace(b'"seq":2', b'"seq":NaN')
    yield honest.replace(b'"v":1', b'"v":2')
    yield honest.replace(b'"systolic_mmhg":152.0', b'"systolic_mmhg":"\xff"', 1)
    yield honest.replace(b'"seq":2', b'"seq":3,"seq":4')


_RECEIPTS: Final = (
    Receipt(epoch=EPOCH, upto=0),
    Receipt(epoch=EPOCH, upto=9, extra=(11, 12), rejected=(Rejection(seq=10, reason="range"),)),
    Receipt(epoch=EPOCH, upto=9, missing=((2, 3), (5, 5))),
)
TARGETS: Final = {
    "sfloat": Target(check=sfloat, seeds=(b"\xff\x07", b"\x78\x00", b"\x00\x08", b"\x02\x08"), max_bytes=4),
    "pressure": Target(check=pressure, seeds=frames("2a35", "2a36"), max_bytes=24),
    "sugar": Target(check=sugar, seeds=frames("2a18"), max_bytes=24),
    "context": Target(check=context, seeds=frames("2a34"), max_bytes=24),
    "record_access": Target(check=record_access, seeds=frames("2a52"), max_bytes=24),
    "float32": Target(
        check=float32, seeds=(b"\x6e\x01\x00\xff", b"\xff\xff\x7f\x00", b"\x02\x00\x80\x00"), max_bytes=6
    ),
    "weight": Target(check=weight, seeds=frames("2a9d", "2a9e"), max_bytes=20),
    "temperature": Target(check=temperature, seeds=frames("2a1c", "2a1e"), max_bytes=18),
    "oximeter": Target(check=oximeter, seeds=frames("2a5e", "2a5f", "2a60"), max_bytes=24),
    "heart_rate": Target(check=heart_rate, seeds=frames("2a37"), max_bytes=24),
    "clocks_and_names": Target(
        check=clocks_and_names,
        seeds=(bytes.fromhex("EA070B15081E00060000"), b"HV-BP1\0", "血压计".encode(), b"\x1f\0"),
        max_bytes=40,
    ),
    "stored_reading": Target(
        check=stored_reading, seeds=tuple(encode_reading(reading(nth)) for nth in range(2)), max_bytes=900, is_json=True
    ),
    "envelope": Target(check=envelope, seeds=tuple(_envelopes()), max_bytes=1600, is_json=True),
    "receipt": Target(
        check=receipt, seeds=tuple(encode_receipt(each) for each in _RECEIPTS), max_bytes=300, is_json=True
    ),
    "message": Target(check=message, seeds=tuple(_envelopes()), max_bytes=1600, is_json=True),
    "decode_command": Target(check=decode_command, seeds=(b"\0" + b"16FF07", b"\x02\x03"), max_bytes=48),
} | worn_and_shared.TARGETS
