"""What travels over MQTT: rows 16 to 18 of the bad-input table, and that good readings come through unchanged."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.envelope import (
    MAX_BYTES_TAKEN,
    MAX_READINGS,
    MAX_SPANS,
    Receipt,
    Rejection,
    decode_envelope,
    decode_reading,
    decode_receipt,
    decode_stored_reading,
    encode_envelope,
    encode_reading,
    encode_receipt,
)
from vitals.errors import MalformedError
from vitals.reading import (
    KINDS,
    BloodPressure,
    Glucose,
    HeartRate,
    Measurement,
    OxygenSaturation,
    Reading,
    SensorGlucose,
    Temperature,
    TimeQuality,
    Weight,
    kind_of,
)

EPOCH = "0123456789abcdef"
READING = Reading(
    reading_id=UUID("11111111-2222-5333-8444-555555555555"),
    gateway_id="gw-1",
    meter_id="F0:00:00:10:00:01",
    user_slot=1,
    measurement=BloodPressure(
        systolic_mmhg=148.0,
        diastolic_mmhg=92.0,
        mean_mmhg=111.0,
        pulse_bpm=72.0,
        unit_sent="mmHg",
        systolic_sent=148.0,
        diastolic_sent=92.0,
        mean_sent=111.0,
        status=4,
    ),
    measured_at=datetime(2026, 11, 20, 23, 5, 30, tzinfo=UTC),
    meter_time="2026-11-21T07:05:30",
    received_at=datetime(2026, 11, 20, 23, 5, 31, tzinfo=UTC),
    time_quality=TimeQuality.SYNCED,
    clock_offset_s=0.4,
    zone="Asia/Shanghai",
    characteristic="2a35",
    raw=bytes.fromhex("1e94005c006f00ea070b1507051e4800010400"),
    decoder="homevigil 0.1",
)
GLUCOSE = msgspec.structs.replace(
    READING,
    measurement=Glucose(
        sequence=43,
        glucose_mmol_l=None,
        glucose_mg_dl=None,
        unit_sent="kg/L",
        censored="HI",
        sample_type="capillary_plasma",
        sample_location="finger",
        status=0x20,
        meal="fasting",
    ),
    characteristic="2a18",
    context_raw=b"\x02\x2b\x00\x03",
)

OTHERS: tuple[Measurement, ...] = (
    SensorGlucose(
        sequence=65535,
        glucose_mmol_l=6.992929371413348,
        glucose_mg_dl=126.0,
        unit_sent="mg/dL",
        glucose_sent=126.0,
        status=0xC03F00,
        trend_mg_dl_per_min=-1.2,
        quality_percent=97.0,
    ),
    Weight(weight_kg=72.5, unit_sent="kg", weight_sent=72.5, bmi=24.2, height_m=1.73),
    OxygenSaturation(spo2_percent=97.0, pulse_bpm=66.0, status=0x0120, sensor_status=0x20),
    Temperature(temperature_celsius=37.0, unit_sent="°F", temperature_sent=98.6, site="gastro_intestinal_tract"),
    HeartRate(pulse_bpm=72.0, has_contact=True),
)
READINGS = (READING, GLUCOSE, *(msgspec.structs.replace(READING, measurement=each) for each in OTHERS))


def envelope(**other: Any) -> bytes:
    """A good envelope of one reading, with these keys instead."""
    good = json.loads(encode_envelope("gw-1", EPOCH, [(1, encode_reading(READING))]))
    return json.dumps(good | other).encode()


def row(**other: Any) -> bytes:
    """A good envelope whose reading has these keys instead."""
    body = json.loads(encode_reading(READING)) | other
    return envelope(readings=[{"seq": 1, "reading": body}])


def raw_row(old: str, new: str) -> bytes:
    """A good envelope with one piece of its text replaced."""
    good = encode_envelope("gw-1", EPOCH, [(1, encode_reading(READING))]).decode()
    assert old in good
    return good.replace(old, new, 1).encode("utf-8", "surrogatepass")


def take(payload: bytes) -> list[Reading]:
    return [decode_reading(row) for row in decode_envelope(payload).readings]


def test_every_kind_has_an_example_here() -> None:
    assert {kind_of(reading.measurement) for reading in READINGS} == set(KINDS)


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: kind_of(reading.measurement))
def test_a_reading_comes_through_unchanged(reading: Reading) -> None:
    body = encode_reading(reading)
    assert decode_stored_reading(body) == reading
    payload = encode_envelope("gw-1", EPOCH, [(7, body), (8, body)])
    received = decode_envelope(payload)
    assert (received.gateway_id, received.epoch, [r.seq for r in received.readings]) == ("gw-1", EPOCH, [7, 8])
    assert take(payload) == [reading, reading]
    assert encode_reading(take(payload)[0]) == body


numbers = st.floats(allow_nan=False, allow_infinity=False)
optional = st.none() | numbers
words24, words16 = st.none() | st.integers(0, 0xFFFFFF), st.none() | st.integers(0, 0xFFFF)
measurements = st.one_of(
    st.builds(
        SensorGlucose,
        sequence=st.integers(0, 0xFFFF),
        glucose_mmol_l=optional,
        glucose_mg_dl=optional,
        unit_sent=st.sampled_from((None, "mg/dL", "mmol/L")),
        glucose_sent=optional,
        censored=st.sampled_from((None, "HI", "LO")),
        status=words24,
        trend_mg_dl_per_min=optional,
        quality_percent=optional,
    ),
    st.builds(
        Weight,
        weight_kg=optional,
        unit_sent=st.sampled_from(("kg", "lb")),
        weight_sent=optional,
        bmi=optional,
        height_m=optional,
    ),
    st.builds(OxygenSaturation, spo2_percent=optional, pulse_bpm=optional, status=words16, sensor_status=words24),
    st.builds(
        Temperature,
        temperature_celsius=optional,
        unit_sent=st.sampled_from(("°C", "°F")),
        temperature_sent=optional,
        site=st.none() | st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True),
    ),
)


@given(measurements)
def test_whatever_is_measured_comes_through_unchanged(measured: Measurement) -> None:
    reading = msgspec.structs.replace(READING, measurement=measured)
    body = encode_reading(reading)
    assert take(encode_envelope("gw-1", EPOCH, [(1, body)])) == [reading]
    assert decode_stored_reading(body) == reading
    assert f'"kind":"{kind_of(measured)}"'.encode() in body


@pytest.mark.parametrize(
    ("measured", "flaw"),
    [
        (OTHERS[0], {"sequence": 65536}),
        (OTHERS[0], {"unit_sent": "kg/L"}),
        (OTHERS[0], {"status": 0x1000000}),
        (OTHERS[0], {"meal": "fasting"}),
        (OTHERS[1], {"unit_sent": "st"}),
        (OTHERS[1], {"unit_sent": None}),
        (OTHERS[1], {"weight_kg": "72.5"}),
        (OTHERS[2], {"status": 65536}),
        (OTHERS[2], {"sensor_status": -1}),
        (OTHERS[3], {"unit_sent": "C"}),
        (OTHERS[3], {"site": "under the arm"}),
    ],
)
def test_what_a_kind_does_not_know_is_refused(measured: Measurement, flaw: dict[str, Any]) -> None:
    body = json.loads(msgspec.json.encode(measured)) | flaw
    with pytest.raises(MalformedError) as refused:
        take(row(measurement=body))
    assert refused.value.reason == "decode:schema"


def test_a_kind_that_this_build_does_not_know_is_refused_as_newer_and_as_nothing_else() -> None:
    with pytest.raises(MalformedError) as refused:
        take(row(measurement={"kind": "spirometry" * 20, "fev1_l": 3.1}))
    assert refused.value.reason == "kind_newer"
    assert len(refused.value.message) < 200
    for flawed in ({"kind": None}, {"kind": 7}, {}, "spirometry", {"kind": "weight"}):
        with pytest.raises(MalformedError) as refused:
            take(row(measurement=flawed))
        assert refused.value.reason == "decode:schema"


def test_a_hundred_readings_of_the_largest_kind_stay_within_what_a_server_takes() -> None:
    payload = encode_envelope("gw-1", EPOCH, [(seq, encode_reading(GLUCOSE)) for seq in range(1, 41)])
    assert len(payload) < MAX_BYTES_TAKEN
    assert len(take(payload)) == 40


HOSTILE: dict[str, tuple[str, bytes]] = {
    "empty": ("decode:json", b""),
    "blank": ("decode:json", b"  "),
    "too large": ("decode:size", envelope() + b" " * MAX_BYTES_TAKEN),
    "ten thousand rows": ("decode:size", envelope(readings=[{"seq": 1, "reading": {}}] * 10_000)),
    "more rows than an envelope has": (
        "decode:schema",
        envelope(readings=[{"seq": 1, "reading": 0}] * (MAX_READINGS + 1)),
    ),
    "no rows": ("decode:schema", envelope(readings=[])),
    "a depth bomb": ("decode:json", b"[" * 30_000),
    "a closed depth bomb": ("decode:json", b"[" * 16_000 + b"]" * 16_000),
    "a depth bomb of objects": ("decode:json", b'{"a":' * 6_000),
    "a depth bomb in a row": ("decode:json", raw_row('"seq":1', '"seq":1,"x":' + "[" * 9_000 + "]" * 9_000)),
    "a number of 5,000 digits": ("decode:json", raw_row('"seq":1', '"seq":' + "9" * 5_000)),
    "a number of 5,000 digits as a value": ("decode:json", raw_row("148.0", "1" * 5_000)),
    "NaN": ("decode:json", raw_row("148.0", "NaN")),
    "Infinity": ("decode:json", raw_row("148.0", "Infinity")),
    "-Infinity": ("decode:json", raw_row("148.0", "-Infinity")),
    "1e400": ("decode:schema", raw_row("148.0", "1e400")),
    "a key said twice": ("decode:duplicate_key", raw_row('"v":1', '"v":1,"v":1')),
    "a key said twice in a reading": (
        "decode:duplicate_key",
        raw_row('"systolic_mmhg":148.0', '"systolic_mmhg":148.0,"systolic_mmhg":120.0'),
    ),
    "a key said twice in two spellings": (
        "decode:duplicate_key",
        raw_row('"systolic_mmhg":148.0', '"systolic_mmhg":148.0,"s\\u0079stolic_mmhg":120.0'),
    ),
    "invalid UTF-8": ("decode:utf8", raw_row("gw-1", "gw-1").replace(b"gw-1", b"gw-\xff", 1)),
    "an overlong slash": ("decode:utf8", raw_row("gw-1", "gw-1").replace(b"gw-1", b"gw\xc0\xaf", 1)),
    "a raw surrogate": ("decode:utf8", raw_row("gw-1", "gw-\ud800")),
    "an escaped lone surrogate": ("decode:json", raw_row('"gw-1","epoch"', '"gw-\\ud800","epoch"')),
    "a NUL in a name": ("decode:schema", envelope(gateway_id="gw\0")),
    "a NUL in a meter's clock": ("decode:schema", row(meter_time="2026-11-21T07:05:3\0")),
    "a byte order mark": ("decode:json", b"\xef\xbb\xbf" + envelope()),
    "UTF-16": ("decode:utf8", envelope().decode().encode("utf-16")),
    "trailing bytes": ("decode:json", envelope() + b"{}"),
    "a trailing NUL": ("decode:json", envelope() + b"\0"),
    "cut short": ("decode:json", envelope()[:-1]),
    "not JSON": ("decode:json", b"reading=148"),
    "single quotes": ("decode:json", b"{'v': 1}"),
    "an array": ("decode:schema", b"[]"),
    "a number": ("decode:schema", b"148"),
    "null": ("decode:schema", b"null"),
    "an unknown key": ("decode:schema", envelope(patient="Zhang Wei")),
    "an unknown key in a reading": ("decode:schema", row(patient="Zhang Wei")),
    "a gateway that is an MQTT wildcard": ("decode:schema", envelope(gateway_id="+")),
    "a gateway that is two levels": ("decode:schema", envelope(gateway_id="a/b")),
    "a gateway with a line end": ("decode:schema", envelope(gateway_id="gw-1\n")),
    "an epoch that is none": ("decode:schema", envelope(epoch="x")),
    "a sequence of nought": ("decode:schema", raw_row('"seq":1', '"seq":0')),
    "a negative sequence": ("decode:schema", raw_row('"seq":1', '"seq":-1')),
    "a sequence that is a float": ("decode:schema", raw_row('"seq":1', '"seq":1.0')),
    "a sequence that is true": ("decode:schema", raw_row('"seq":1', '"seq":true')),
    "a sequence beyond 2**53": ("decode:schema", raw_row('"seq":1', '"seq":9007199254740993')),
    "a value that is text": ("decode:schema", raw_row('"systolic_mmhg":148.0', '"systolic_mmhg":"148"')),
    "a value that is true": ("decode:schema", raw_row('"systolic_mmhg":148.0', '"systolic_mmhg":true')),
    "a value left out": ("decode:schema", raw_row('"systolic_mmhg":148.0,', "")),
    "an unknown kind": ("decode:schema", raw_row('"kind":"blood_pressure"', '"kind":"weight"')),
    "an unknown unit": ("decode:schema", raw_row('"unit_sent":"mmHg"', '"unit_sent":"bar"')),
    "a naive instant": ("decode:schema", row(measured_at="2026-11-20T23:05:30")),
    "an instant that is a number": ("decode:schema", row(measured_at=1_763_000_000)),
    "an instant that no other zone can hold": ("decode:schema", row(measured_at="0001-01-01T00:00:00+14:00")),
    "the last instant": ("decode:schema", row(received_at="9999-12-31T23:59:59-12:00")),
    "30 February": ("decode:schema", row(measured_at="2026-02-30T00:00:00Z")),
    "an identity that is none": ("decode:schema", row(reading_id="43")),
    "raw bytes that are no base64": ("decode:schema", row(raw="!")),
    "raw bytes beyond an attribute": ("decode:schema", row(raw="A" * 1000)),
    "a zone that is a path": ("decode:schema", row(zone="../../etc/passwd")),
    "a user slot beyond the wire": ("decode:schema", row(user_slot=256)),
    "a characteristic that is none": ("decode:schema", row(characteristic="2A35")),
    "a newer version": ("schema_newer", envelope(v=2)),
    "a newer version with another shape": ("schema_newer", b'{"v": 2, "readings": "elsewhere"}'),
    "a version of a later age": ("schema_newer", envelope(v=2**62)),
    "an older version": ("schema_older", envelope(v=0)),
    "a version that is text": ("decode:schema", envelope(v="1")),
}


@pytest.mark.parametrize(("reason", "payload"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_payload_is_malformed_for_its_reason(reason: str, payload: bytes) -> None:
    with pytest.raises(MalformedError) as refused:
        take(payload)
    assert refused.value.reason == reason


def test_the_payload_from_which_the_hostile_ones_are_made_is_good() -> None:
    assert take(envelope()) == [READING]
    assert take(row()) == [READING]


def test_one_bad_reading_never_costs_the_others() -> None:
    good = encode_reading(READING)
    bad = good.replace(b"148.0", b'"148"')
    received = decode_envelope(encode_envelope("gw-1", EPOCH, [(1, good), (2, bad), (3, good)]))
    outcomes = []
    for one in received.readings:
        try:
            outcomes.append((one.seq, decode_reading(one).reading_id))
        except MalformedError as e:
            outcomes.append((one.seq, e.reason))
    assert outcomes == [(1, READING.reading_id), (2, "decode:schema"), (3, READING.reading_id)]


@given(st.binary(max_size=400))
def test_any_bytes_are_an_envelope_or_malformed(payload: bytes) -> None:
    for decode in (take, decode_receipt, decode_stored_reading):
        _value_or_malformed(decode, payload)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_an_envelope_or_malformed(value: object) -> None:
    for decode in (take, decode_receipt, decode_stored_reading):
        _value_or_malformed(decode, json.dumps(value).encode())


def test_a_damaged_envelope_is_an_envelope_or_malformed() -> None:
    rng = random.Random(16)
    good = encode_envelope("gw-1", EPOCH, [(1, encode_reading(READING)), (2, encode_reading(GLUCOSE))])
    for _ in range(3000):
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        _value_or_malformed(take, bytes(damaged))


def _value_or_malformed(decode: Callable[[bytes], object], payload: bytes) -> None:
    try:
        decode(payload)
    except MalformedError as e:
        assert e.reason == "kind_newer" or e.reason.startswith(("decode:", "schema_"))  # noqa: PT017


def test_a_receipt_comes_through_unchanged() -> None:
    receipt = Receipt(epoch=EPOCH, upto=41, extra=(43, 44), rejected=(Rejection(seq=42, reason="decode:schema"),))
    assert decode_receipt(encode_receipt(receipt)) == receipt
    assert decode_receipt(encode_receipt(Receipt(epoch=EPOCH, upto=0))) == Receipt(epoch=EPOCH, upto=0)
    spans = (*((2 * at, 2 * at) for at in range(1, MAX_SPANS)), (2 * MAX_SPANS, 2**53))
    assert decode_receipt(encode_receipt(Receipt(epoch=EPOCH, upto=9, missing=spans))).missing == spans


def test_the_bytes_of_a_receipt_are_those_of_the_reference() -> None:
    rejected = (Rejection(seq=18, reason="unknown_meter"),)
    plain = Receipt(epoch=EPOCH, upto=16, extra=(19,), rejected=rejected)
    told = b'{"v":1,"epoch":"0123456789abcdef","upto":16,"extra":[19],"rejected":[{"seq":18,"reason":"unknown_meter"}]'
    assert encode_receipt(plain) == told + b"}", "nothing that a 0.1.0 gateway does not know"
    gone = Receipt(epoch=EPOCH, upto=16, extra=(19,), rejected=rejected, missing=((3, 5), (7, 7)))
    assert encode_receipt(gone) == told + b',"missing":[[3,5],[7,7]]}'
    clock = Receipt(epoch=EPOCH, upto=0, asked="boot 12.5", at=datetime(2026, 11, 21, 8, 0, 0, 250_000, tzinfo=UTC))
    nothing = b'{"v":1,"epoch":"0123456789abcdef","upto":0,"extra":[],"rejected":[]'
    assert encode_receipt(clock) == nothing + b',"asked":"boot 12.5","at":"2026-11-21T08:00:00.250000Z"}'
    assert decode_receipt(encode_receipt(clock)) == clock


@pytest.mark.parametrize(
    ("reason", "payload"),
    [
        ("decode:json", b""),
        ("decode:size", b" " * (MAX_BYTES_TAKEN + 1)),
        ("decode:schema", b'{"v":1,"epoch":"0123456789abcdef","upto":-1}'),
        ("decode:schema", b'{"v":1,"epoch":"0123456789abcdef","upto":1,"delete":"all"}'),
        ("decode:schema", b'{"v":1,"epoch":"","upto":1}'),
        ("decode:schema", b'{"v":1,"epoch":"0123456789abcdef"}'),
        *(
            ("decode:schema", b'{"v":1,"epoch":"0123456789abcdef","upto":0,%s}' % time)
            for time in (
                b'"asked":"boot 1"',
                b'"at":"2026-11-21T08:00:00Z"',
                b'"asked":"boot 1","at":"2026-11-21T08:00:00"',
                b'"asked":"boot 1","at":1795248000',
                b'"asked":"","at":"2026-11-21T08:00:00Z"',
                b'"asked":"%s","at":"2026-11-21T08:00:00Z"' % (b"x" * 97),
            )
        ),
        ("decode:duplicate_key", b'{"v":1,"epoch":"0123456789abcdef","upto":1,"upto":2}'),
        ("schema_newer", b'{"v":2,"epoch":"0123456789abcdef","upto":1}'),
        *(
            ("decode:schema", b'{"v":1,"epoch":"0123456789abcdef","upto":9,"missing":%s}' % spans)
            for spans in (
                b"[[0,1]]",
                b"[[2,1]]",
                b"[[1]]",
                b"[[1,2,3]]",
                b"[[4,5],[1,2]]",
                b"[[1,3],[3,4]]",
                b"[1,2]",
                b"null",
            )
        ),
        (
            "decode:schema",
            b'{"v":1,"epoch":"0123456789abcdef","upto":9,"missing":%s}'
            % json.dumps([(seq, seq) for seq in range(1, MAX_SPANS + 2)]).encode(),
        ),
        ("decode:utf8", b"\xff"),
    ],
)
def test_a_hostile_receipt_confirms_nothing(reason: str, payload: bytes) -> None:
    with pytest.raises(MalformedError) as refused:
        decode_receipt(payload)
    assert refused.value.reason == reason


def test_an_envelope_without_rows_or_with_too_many_is_our_mistake() -> None:
    body = encode_reading(READING)
    for count in (0, MAX_READINGS + 1):
        with pytest.raises(AssertionError):
            encode_envelope("gw-1", EPOCH, [(seq + 1, body) for seq in range(count)])


@pytest.mark.parametrize("year", [1, 9999])
def test_an_instant_that_no_zone_can_hold_cannot_be_built(year: int) -> None:
    with pytest.raises(ValueError, match=f"the year {year}"):
        msgspec.structs.replace(READING, measured_at=datetime(year, 1, 1, tzinfo=UTC))


def test_an_envelope_or_receipt_that_does_not_say_its_version_is_refused() -> None:
    for decode in (decode_envelope, decode_receipt):
        with pytest.raises(MalformedError) as refusal:
            decode(b'{"epoch":"%s"}' % EPOCH.encode())
        assert refusal.value.reason == "decode:schema"
