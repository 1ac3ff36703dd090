"""Stored blood-pressure records in segments: joined only if they are whole, one record, and arrived as they were sent."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.gatt.blood_pressure_record import BloodPressureRecord, RecordSegment
from vitals.gatt.enhanced_blood_pressure import EnhancedBloodPressureMeasurement

VALUE = bytes.fromhex("66 9400 5C00 6F00 78949332 4800 F8049432")
RECORD = BloodPressureRecord(sequence=42, uuid=0x2B34, value=VALUE)

records = st.builds(
    BloodPressureRecord, sequence=st.integers(0, 0xFFFF), uuid=st.integers(0, 0xFFFF), value=st.binary(max_size=60)
)


@given(records, st.integers(2, 20), st.booleans(), st.integers(0, 63))
def test_a_record_that_is_cut_is_joined_again(
    record: BloodPressureRecord, part_max: int, sealed: bool, counter: int
) -> None:
    segments = record.segments(part_max=part_max, is_sealed=sealed, counter=counter)
    assert all(len(segment.part) <= part_max for segment in segments)
    sent = [RecordSegment.from_bytes(bytes(segment)) for segment in segments]
    assert BloodPressureRecord.joined(sent, is_sealed=sealed) == record


@given(records, st.integers(2, 20), st.data())
def test_no_segment_is_lost_repeated_or_swapped_unseen(
    record: BloodPressureRecord, part_max: int, data: st.DataObject
) -> None:
    segments = list(record.segments(part_max=part_max, is_sealed=True, counter=data.draw(st.integers(0, 63))))
    at = data.draw(st.integers(0, len(segments) - 1))
    wrong = {
        "lost": segments[:at] + segments[at + 1 :],
        "repeated": [*segments[: at + 1], *segments[at:]],
        "swapped": segments[::-1],
    }
    if len(segments) == 1:
        del wrong["swapped"]
    for segments_of in wrong.values():
        with pytest.raises(MalformedError) as refused:
            BloodPressureRecord.joined(segments_of, is_sealed=True)
        assert refused.value.reason == "segments"


@given(records, st.integers(2, 20), st.data())
def test_no_bit_of_any_segment_changes_unseen(record: BloodPressureRecord, part_max: int, data: st.DataObject) -> None:
    frames = [bytearray(bytes(each)) for each in record.segments(part_max=part_max, is_sealed=True)]
    frame = data.draw(st.sampled_from(frames))
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MalformedError) as refused:
        BloodPressureRecord.joined([RecordSegment.from_bytes(bytes(each)) for each in frames], is_sealed=True)
    assert refused.value.reason in ("segments", "crc")


def test_a_record_holds_a_measurement() -> None:
    (segment,) = RECORD.segments(part_max=50, is_sealed=False)
    assert bytes(segment) == bytes.fromhex("03 2A00 342B") + VALUE
    whole = BloodPressureRecord.joined([segment], is_sealed=False)
    assert EnhancedBloodPressureMeasurement.from_bytes(whole.value).to_measurement().systolic_mmhg == 148.0


def test_the_sum_covers_every_field_of_every_segment() -> None:
    """GATT Specification Supplement 3.35.5. The sum of the two segments below is 0xD15D by crcmod 1.7, CRC-16/MCRF4XX."""
    segments = RECORD.segments(part_max=15, is_sealed=True, counter=63)
    assert [bytes(segment).hex() for segment in segments] == [
        "fd2a00342b6694005c006f00789493324800f804",
        "022a00342b94325dd1",
    ]


def test_segments_without_numbers_of_their_own_are_not_joined() -> None:
    """im97mori/JavaBLEUtil would send the second segment like this; its first four octets of pressure would be our numbers."""
    first, second = RECORD.segments(part_max=10, is_sealed=False)
    bare = RecordSegment.from_bytes(bytes(second)[:1] + second.part)
    with pytest.raises(MalformedError) as refused:
        BloodPressureRecord.joined([first, bare], is_sealed=False)
    assert refused.value.reason == "segments"


def test_segments_of_two_records_are_not_joined() -> None:
    first, second = RECORD.segments(part_max=10, is_sealed=False)
    for other in (replace(second, sequence=43), replace(second, uuid=0x2A35)):
        with pytest.raises(MalformedError) as refused:
            BloodPressureRecord.joined([first, other], is_sealed=False)
        assert refused.value.reason == "segments"
    with pytest.raises(MalformedError):
        BloodPressureRecord.joined([], is_sealed=False)


def test_a_sum_that_is_not_whole_in_the_last_segment_is_none() -> None:
    (segment,) = RECORD.segments(part_max=50, is_sealed=False)
    with pytest.raises(MalformedError) as refused:
        BloodPressureRecord.joined([replace(segment, part=b"\0")], is_sealed=True)
    assert refused.value.reason == "frame_length"


@pytest.mark.parametrize("length", range(5))
def test_a_segment_without_its_numbers_is_malformed(length: int) -> None:
    with pytest.raises(MalformedError) as refused:
        RecordSegment.from_bytes(bytes(length))
    assert refused.value.reason == "frame_length"


@given(st.binary(min_size=5, max_size=40))
def test_any_segment_comes_back_unchanged(data: bytes) -> None:
    assert bytes(RecordSegment.from_bytes(data)) == data
