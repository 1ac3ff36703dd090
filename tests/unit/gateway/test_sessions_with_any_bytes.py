"""Whatever a meter says in a report, nothing but `LinkError` ends its session, and every octet it sent is kept or set aside."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.scripted_meter import Told

from vitals.gatt.cgm_measurement import CgmRecord
from vitals.gatt.link import LinkError
from vitals.gatt.sfloat import Sfloat

ANSWERS = st.sampled_from(["06000101", "06000106", "06000108", "08000200", "0600", "050001", "06000701", "00"])
START = "ea070b150700000000"

CGM_RECORD = st.builds(
    lambda mg_dl, offset, is_sealed: bytes(
        CgmRecord(concentration=Sfloat.of(mg_dl), time_offset_min=offset, is_sealed=is_sealed)
    ),
    st.integers(0, 500),
    st.integers(0, 0xFFFF),
    st.booleans(),
)
CGM_FRAME = st.one_of(
    st.binary(max_size=20),
    st.lists(CGM_RECORD, min_size=1, max_size=3).map(b"".join),
    st.builds(lambda head, tail: head + tail, CGM_RECORD, st.binary(max_size=4)),
)
SEGMENT = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda header, number, value: bytes((header,)) + number.to_bytes(2, "little") + b"\x34\x2b" + value,
        st.integers(0, 255),
        st.integers(0, 3),
        st.sampled_from([bytes.fromhex("007800500064 00"), b"\x00\x78", b"\x00\x50\x00\x64\x00", b""]),
    ),
)
Said = list[tuple[str, str]]


def spoken(characteristic: str, frames: st.SearchStrategy[bytes]) -> st.SearchStrategy[Said]:
    return st.lists(
        st.one_of(
            frames.map(lambda frame: (characteristic, frame.hex())),
            ANSWERS.map(lambda answer: ("2a52", answer)),
        ),
        max_size=8,
    )


def octets(meter: Told, characteristic: str) -> list[bytes]:
    kept = [r.raw for r in meter.kept]
    return kept + [each.raw for each in meter.set_aside if each.characteristic == characteristic]


@given(said=spoken("2aa7", CGM_FRAME), is_sealed=st.booleans())
def test_of_a_sensor_every_octet_is_kept_or_set_aside(said: Said, is_sealed: bool) -> None:
    feature = "00100059" if is_sealed else "00000059ffff"
    meter = Told(values={"2aa8": feature, "2aaa": START, "2aa9": "0a00000000"}, says=list(said))
    with suppress(LinkError):
        meter.session("2aa7", "2a52")
    heard = said[: len(said) - len(meter.says)]
    sent = b"".join(bytes.fromhex(frame) for characteristic, frame in heard if characteristic == "2aa7")
    assert sorted(sent) == sorted(b"".join(octets(meter, "2aa7")))


@given(said=spoken("2b36", SEGMENT), feature=st.sampled_from(["0000", "4000", "refused", "00"]))
def test_of_an_enhanced_cuff_every_segment_of_a_whole_report_is_in_a_reading_or_set_aside(
    said: Said, feature: str
) -> None:
    """Segments of a report that breaks off are asked for again: the record stays in the cuff."""
    meter = Told(values={"2a49": feature}, says=list(said))
    try:
        meter.session("2b36", "2a52")
    except LinkError:
        return
    heard = [bytes.fromhex(frame) for c, frame in said[: len(said) - len(meter.says)] if c == "2b36"]
    aside = b"".join(each.raw for each in meter.set_aside if each.characteristic == "2b36")
    heads = len(b"".join(heard)) - len(aside) - sum(len(record.raw) for record in meter.kept)
    assert 5 * len(meter.kept) <= heads <= (5 + 2) * len(heard)


@given(said=spoken("2a18", st.binary(max_size=20)))
def test_of_a_glucometer_every_frame_is_kept_or_set_aside(said: Said) -> None:
    meter = Told(says=list(said))
    with suppress(LinkError):
        meter.session("2a18", "2a34", "2a52")
    assert len(meter.kept) + len(meter.set_aside) <= len(said)


@pytest.mark.parametrize("value", ["", "00", "ffffffffffffffffffff"])
@pytest.mark.parametrize("characteristic", ["2aa8", "2aa9", "2aaa", "2aab"])
def test_what_a_sensor_says_of_itself_that_cannot_be_read_is_set_aside(characteristic: str, value: str) -> None:
    values = {"2aa8": "00000059ffff", "2aaa": START, "2aa9": "0a00000000", "2aab": "5001"} | {characteristic: value}
    meter = Told(values=values, answers={"0101": [("2aa7", "06007e000500"), ("2a52", "06000101")]})
    if characteristic == "2aaa":
        with pytest.raises(LinkError, match="when its session began"):
            meter.session("2aa7", "2a52")
    else:
        meter.session("2aa7", "2a52")
        assert len(meter.kept) == 1
    assert {each.characteristic for each in meter.set_aside} == {characteristic}
