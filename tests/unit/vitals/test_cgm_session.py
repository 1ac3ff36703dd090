"""A glucose sensor's session: what it can, how it is, when it began, how long it lasts; and the time of a record by it."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.timing import Evidence, place
from vitals.errors import MalformedError
from vitals.gatt.cgm_session import (
    Ability,
    CgmFeature,
    CgmStatus,
    SampleLocation,
    SessionRunTime,
    SessionStartTime,
)
from vitals.gatt.date_time import DateTime
from vitals.gatt.e2e_crc import sealed
from vitals.gatt.glucose import SampleType
from vitals.reading import TimeQuality

SHANGHAI = ZoneInfo("Asia/Shanghai")
START = SessionStartTime.from_bytes(bytes.fromhex("EA070B150701 1E 20 00"))

date_times = st.binary(min_size=7, max_size=7).map(DateTime.from_bytes)
offsets = st.integers(0, 0xFFFF)


@given(st.integers(0, 0xFFFFFF), st.none() | st.sampled_from(SampleType), st.none() | st.sampled_from(SampleLocation))
def test_a_feature_is_read_again(abilities: int, kind: SampleType | None, place: SampleLocation | None) -> None:
    sent = CgmFeature(abilities=abilities, sample_type=kind, sample_location=place)
    assert CgmFeature.from_bytes(bytes(sent)) == sent
    assert len(bytes(sent)) == 6


@given(offsets, st.integers(0, 0xFFFFFF), st.booleans())
def test_a_status_is_read_again(offset: int, status: int, is_sealed: bool) -> None:
    sent = CgmStatus(time_offset_min=offset, status=status, is_sealed=is_sealed)
    assert CgmStatus.from_bytes(bytes(sent)) == sent


@given(date_times, st.integers(-128, 127), st.integers(0, 255), st.booleans())
def test_a_start_is_read_again(date_time: DateTime, zone: int, dst: int, is_sealed: bool) -> None:
    sent = SessionStartTime(date_time=date_time, zone=zone, dst=dst, is_sealed=is_sealed)
    assert SessionStartTime.from_bytes(bytes(sent)) == sent


@given(offsets, st.booleans())
def test_a_run_time_is_read_again(hours: int, is_sealed: bool) -> None:
    sent = SessionRunTime(hours=hours, is_sealed=is_sealed)
    assert SessionRunTime.from_bytes(bytes(sent)) == sent


@given(st.binary(max_size=16))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    for codec in (CgmFeature, CgmStatus, SessionStartTime, SessionRunTime):
        try:
            value = codec.from_bytes(data)
        except MalformedError as e:
            assert e.reason in ("frame_length", "crc")  # noqa: PT017
        else:
            assert codec.from_bytes(bytes(value)) == value


@pytest.mark.parametrize(
    ("codec", "plain"),
    [(CgmStatus, bytes(5)), (SessionStartTime, bytes(9)), (SessionRunTime, bytes(2))],
    ids=["status", "start", "run time"],
)
def test_a_frame_has_its_length_with_the_right_sum_or_without(
    codec: type[CgmStatus | SessionStartTime | SessionRunTime], plain: bytes
) -> None:
    whole = len(plain)
    assert not codec.from_bytes(plain).is_sealed
    assert codec.from_bytes(sealed(plain)).is_sealed
    for length in {*range(20), 40} - {whole, whole + 2}:
        with pytest.raises(MalformedError) as refused:
            codec.from_bytes(bytes(length))
        assert refused.value.reason == "frame_length"
    with pytest.raises(MalformedError) as refused:
        codec.from_bytes(plain + b"\x01\x01")
    assert refused.value.reason == "crc"


@pytest.mark.parametrize("length", [*range(6), 7, 8, 20])
def test_a_feature_has_six_octets_always(length: int) -> None:
    with pytest.raises(MalformedError) as refused:
        CgmFeature.from_bytes(bytes(length))
    assert refused.value.reason == "frame_length"


def test_the_sum_of_a_feature_counts_where_the_feature_says_so() -> None:
    with_it = CgmFeature(abilities=int(Ability.E2E_CRC | Ability.TREND))
    assert with_it.has_e2e_crc
    assert with_it.ability_words == ("e2e_crc", "trend")
    with pytest.raises(MalformedError) as refused:
        CgmFeature.from_bytes(bytes(with_it)[:4] + b"\xff\xff")
    assert refused.value.reason == "crc"
    without = CgmFeature(abilities=int(Ability.TREND))
    assert bytes(without)[4:] == b"\xff\xff"
    assert CgmFeature.from_bytes(bytes(without)[:4] + b"\0\0") == without


@pytest.mark.parametrize("nibbles", [0x00, 0x6B, 0xEF])
def test_a_reserved_sample_is_none(nibbles: int) -> None:
    feature = CgmFeature.from_bytes(bytes((0, 0, 0, nibbles, 0xFF, 0xFF)))
    assert (feature.sample_type, feature.sample_location) == (None, None)


def test_the_display_of_a_record_is_the_start_and_its_minutes() -> None:
    assert START.meter_time(0) == "2026-11-21T07:01:30"
    assert START.meter_time(65) == "2026-11-21T08:06:30"
    assert str(START.user_facing_time(0xFFFF)) == "2027-01-05 19:16:30"
    unknown = SessionStartTime(date_time=DateTime(year=0, month=0, day=0))
    assert (unknown.meter_time(5), unknown.user_facing_time(5), unknown.instant(5)) == (None, None, None)


def test_the_sensors_zone_makes_an_instant_only_if_all_of_it_is_known() -> None:
    assert START.instant(0) == datetime(2026, 11, 20, 23, 1, 30, tzinfo=UTC)
    known, unknown = {-48, -1, 0, 56}, {-128, -49, 57, 127}
    for zone in known | unknown:
        for dst in (0, 2, 4, 8, 1, 3, 255):
            start = SessionStartTime(date_time=START.date_time, zone=zone, dst=dst)
            is_known = zone in known and dst in (0, 2, 4, 8)
            assert start.utc_offset == (timedelta(minutes=15 * (zone + dst)) if is_known else None)
            assert (start.instant(0) is None) is not is_known


@given(date_times, offsets, st.integers(-48, 56), st.sampled_from((0, 2, 4, 8)))
def test_no_offset_leaves_the_calendar(date_time: DateTime, offset: int, zone: int, dst: int) -> None:
    start = SessionStartTime(date_time=date_time, zone=zone, dst=dst)
    told = start.meter_time(offset)
    assert told is None or len(told) == 19
    assert (start.instant(offset) is None) is (told is None)


@pytest.mark.parametrize(
    ("moment", "zone", "dst"),
    [
        (datetime(2026, 11, 21, 7, 1, 30, tzinfo=SHANGHAI), 32, 0),
        (datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")), 4, 4),
        (datetime(2026, 12, 1, 12, tzinfo=ZoneInfo("Asia/Kathmandu")), 23, 0),
        (datetime(2026, 12, 1, 12, tzinfo=ZoneInfo("Australia/Lord_Howe")), 42, 2),
        (datetime(2026, 12, 1, 12, tzinfo=timezone(timedelta(minutes=7))), -128, 255),
        (datetime(2026, 12, 1, 12, tzinfo=timezone(timedelta(hours=-13))), -128, 255),
    ],
)
def test_a_collector_writes_its_wall_clock_and_what_can_be_said_of_its_zone(
    moment: datetime, zone: int, dst: int
) -> None:
    start = SessionStartTime.of(moment, is_sealed=True)
    assert (start.zone, start.dst) == (zone, dst)
    assert start.user_facing_time(0) == moment.replace(tzinfo=None)
    assert start.instant(0) == (None if zone == -128 else moment.astimezone(UTC))
    assert len(bytes(start)) == 11


@given(
    offsets,
    st.integers(0, 0xFFFF),
    st.integers(0, 59),
    st.sampled_from(("EA070B150701 1E 20 00", "DB070101000000 80 FF", "0E270C1F173B3B 80 FF")),
)
def test_a_record_is_as_old_as_the_offsets_are_apart_whatever_the_start(
    age: int, now: int, seconds: int, start: str
) -> None:
    """What `cgm_session` says of `Evidence`, tried on the gateway's own table: a start of years ago or ahead changes nothing."""
    age = min(age, now)
    session = SessionStartTime.from_bytes(bytes.fromhex(start))
    read_at = datetime(2026, 11, 21, 7, 0, seconds, tzinfo=UTC)
    placed = place(
        Evidence(
            received_at=read_at + timedelta(seconds=3),
            is_stamped=True,
            meter_wall=session.user_facing_time(now - age),
            clock_meter=session.user_facing_time(now),
            clock_at=read_at,
        ),
        SHANGHAI,
    )
    assert placed.time_quality is TimeQuality.CORRECTED
    assert placed.measured_at == read_at - timedelta(minutes=age)


def test_a_record_of_the_next_minute_is_still_of_the_same_session() -> None:
    """The sensor's minute may tick over between its status and a record that it sends by itself."""
    read_at = datetime(2026, 11, 21, 7, tzinfo=UTC)
    placed = place(
        Evidence(
            received_at=read_at + timedelta(seconds=1),
            is_stamped=True,
            meter_wall=START.user_facing_time(11),
            clock_meter=START.user_facing_time(10),
            clock_at=read_at,
            is_live=True,
        ),
        SHANGHAI,
    )
    assert placed.time_quality is TimeQuality.CORRECTED
    assert placed.measured_at == read_at + timedelta(seconds=1)
