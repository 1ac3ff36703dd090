"""Sessions with enhanced cuffs (Blood Pressure Service 1.1): every inflation is one reading, by whichever of its faces."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest
from golden.enhanced_frames import MEASUREMENT
from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.joined import Home
from unit.gateway.samples import SHANGHAI
from unit.gateway.scripted_meter import Told

from firmware_sims.enhanced_blood_pressure_meter import NUMBERS, EnhancedBloodPressureMeter
from firmware_sims.faults import BOSO_FAILED, Faults
from firmware_sims.record_access_point import Numbered
from firmware_sims.settings import Meter, WrongClock
from gateway.readings import to_reading
from gateway.sessions.commands import MeterRecord, Subscribe, Write
from gateway.timing import place
from vitals.gatt.blood_pressure_record import BloodPressureRecord
from vitals.gatt.link import LinkError
from vitals.quality import Quality, grade
from vitals.reading import GUEST, BloodPressure, TimeQuality

RECORDS = ("2b36", "2a52", "2a49")
DONE = ("2a52", "06000101")
MORNING = MEASUREMENT[0].frame.replace(" ", "")
"""Half past seven in Shanghai, base time in UTC (golden/enhanced_frames.py)."""


@dataclass
class Household(Home):
    """A home with an enhanced cuff, whose records are told apart as the outbox does."""

    @property
    def cuff(self) -> EnhancedBloodPressureMeter:
        assert isinstance(self.meter, EnhancedBloodPressureMeter)
        return self.meter

    def inflate(self, systolic: int = 152, *, user: int | None = 1, ago: timedelta = timedelta(0)) -> bytes:
        self.now += timedelta(minutes=1)
        return self.cuff.measure(
            wall=self.wall - ago, systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72, user_slot=user
        )

    def ids(self) -> list[object]:
        return [_id(record) for record in self.kept]

    def requests(self) -> list[str]:
        return [c.value.hex() for c in self.commands if isinstance(c, Write) and c.characteristic == "2a52"]

    def _nth(self, record: MeterRecord) -> int | None:
        return next((nth for nth, each in enumerate(self.ids()) if each == _id(record)), None)


def _id(record: MeterRecord) -> object:
    return to_reading(record, meter_id="m", gateway_id="g", zone=SHANGHAI, decoder="t").reading_id


def at_home(
    clock: object = "ok", *, is_sealed: bool = True, has_combined: bool = True, first_number: int = 0, **faults: object
) -> Household:
    meter = Meter(
        name="ebp",
        kind="enhanced_blood_pressure",
        index=1,
        clock=clock,  # type: ignore[arg-type]
        faults=Faults(**faults),  # type: ignore[arg-type]
    )
    return Household(
        EnhancedBloodPressureMeter(meter, is_sealed=is_sealed, has_combined=has_combined, first_number=first_number)
    )


def pressures(home: Household | Told) -> list[tuple[float | None, float | None]]:
    found = [r.measurement for r in home.kept if isinstance(r.measurement, BloodPressure)]
    return [(each.systolic_mmhg, each.diastolic_mmhg) for each in found]


@pytest.mark.parametrize("is_sealed", [True, False])
@pytest.mark.parametrize("has_combined", [True, False])
def test_every_stored_record_is_one_reading_in_the_bytes_of_its_measurement(
    is_sealed: bool, has_combined: bool
) -> None:
    home = at_home(is_sealed=is_sealed, has_combined=has_combined)
    sent = [home.inflate(150 + n) for n in range(4)]
    home.session()
    assert [(r.characteristic, r.raw) for r in home.kept] == [("2b34", raw) for raw in sent]
    assert pressures(home) == [(150.0 + n, 94.0) for n in range(4)]
    assert {r.user_slot for r in home.kept} == {1}
    assert home.requests() == ["0701"] if has_combined else ["0701", "0101"]
    assert len(home.cuff.stored) == 4
    assert home.set_aside == []


def test_a_cuff_that_is_classic_too_is_read_one_way_and_nothing_is_doubled() -> None:
    home = at_home()
    home.inflate()
    home.session()
    assert len(home.kept) == 1
    subscribed = {c.characteristic for c in home.commands if isinstance(c, Subscribe)}
    assert subscribed == {"2b36", "2a52"}


def test_what_comes_again_the_next_time_is_known() -> None:
    home = at_home()
    home.inflate(150)
    home.session()
    home.inflate(151)
    home.session()
    assert pressures(home) == [(150.0, 94.0), (151.0, 94.0)]


def test_two_users_have_numbers_of_their_own_and_none_is_missed() -> None:
    """User 2's number 0 is newer than user 1's number 5."""
    home = at_home()
    for n in range(6):
        home.inflate(140 + n, user=1)
    highest = home.session().highest_sequence
    home.inflate(160, user=2)
    home.inflate(161, user=2)
    home.session(highest=highest)
    assert [(r.user_slot, r.sequence) for r in home.kept][6:] == [(2, 0), (2, 1)]


def test_numbers_that_begin_again_after_65535_hide_nothing() -> None:
    home = at_home(first_number=NUMBERS - 2)
    home.inflate(150)
    home.inflate(151)
    home.session()
    home.inflate(152)
    home.inflate(153)
    home.session()
    assert [r.sequence for r in home.kept] == [65534, 65535, 0, 1]


def test_a_guest_is_a_guest() -> None:
    home = at_home()
    home.inflate(user=255)
    home.session()
    assert home.kept[0].user_slot == GUEST


def test_the_base_time_names_a_reading_and_the_display_places_it() -> None:
    home = at_home(WrongClock(offset_s=-600))
    home.inflate(ago=timedelta(minutes=30))
    taken = home.now - timedelta(minutes=30)
    home.session()
    (record,) = home.kept
    assert record.meter_time is not None
    assert record.meter_time.startswith((taken - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M"))
    placed = place(record.evidence, SHANGHAI)
    assert abs(placed.measured_at - taken) <= timedelta(seconds=1)
    assert placed.time_quality is TimeQuality.CORRECTED


def test_records_of_a_cuff_whose_clock_was_never_set_are_told_apart_by_their_numbers() -> None:
    home = at_home("1970")
    home.inflate(150)
    home.inflate(150)
    home.session()
    home.session()
    assert len(home.kept) == len(set(home.ids())) == 2
    assert {place(r.evidence, SHANGHAI).time_quality for r in home.kept} == {TimeQuality.ORPHAN}


def test_records_of_a_cuff_without_a_clock_are_kept_once_and_nobody_knows_when() -> None:
    home = at_home("absent")
    home.inflate(150)
    home.inflate(150)
    home.session()
    home.session()
    assert len(home.kept) == 2
    assert {place(r.evidence, SHANGHAI).time_quality for r in home.kept} == {TimeQuality.SUSPECT}


def test_a_failed_measurement_is_kept_without_a_number() -> None:
    home = at_home(fails=True)
    home.inflate()
    home.session()
    assert pressures(home) == [(None, None)]
    assert grade(home.kept[0].measurement) == (Quality.INVALID, ("value_special",))


def test_a_record_that_holds_a_classic_measurement_is_read_as_one() -> None:
    """Captured from a boso medicus whose user moved, in a record of our own making."""
    home = at_home()
    home.cuff.put_away("2a35", BOSO_FAILED)
    home.session()
    assert [(r.characteristic, r.raw) for r in home.kept] == [("2a35", BOSO_FAILED)]
    assert pressures(home) == [(None, None)]


def test_a_record_of_something_else_is_set_aside_and_is_no_reading() -> None:
    home = at_home()
    home.cuff.put_away("2b35", bytes.fromhex("00A000"))
    good = home.inflate()
    home.session()
    assert {each.reason for each in home.set_aside} == {"record_kind"}
    assert [r.raw for r in home.kept] == [good]


def test_a_record_with_a_wrong_sum_is_set_aside_with_all_its_segments() -> None:
    home = at_home()
    home.inflate(150)
    record = BloodPressureRecord(sequence=9, uuid=0x2B34, value=bytes.fromhex(MORNING))
    *first, last = [bytes(each) for each in record.segments(part_max=15, is_sealed=True)]
    broken = last[:-1] + bytes((last[-1] ^ 1,))
    home.cuff._store_record(Numbered(number=9, frames=(*first, broken)))
    home.session()
    assert {(each.raw, each.reason) for each in home.set_aside} == {(b"".join(first) + broken, "crc")}
    assert pressures(home) == [(150.0, 94.0)]
    assert home.requests() == ["0701", "0701"]


@pytest.mark.parametrize("lost", ["first", "last", "middle"])
def test_a_record_with_a_segment_missing_is_set_aside_and_costs_no_other(lost: str) -> None:
    value = bytes.fromhex(MORNING)
    segments = [
        bytes(s)
        for s in BloodPressureRecord(sequence=1, uuid=0x2B34, value=value).segments(part_max=8, is_sealed=False)
    ]
    assert len(segments) == 3
    del segments[{"first": 0, "middle": 1, "last": 2}[lost]]
    whole = bytes(BloodPressureRecord(sequence=2, uuid=0x2B34, value=value).segments(part_max=40, is_sealed=False)[0])
    frames = [("2b36", each.hex()) for each in (*segments, whole)]
    meter = Told(values={"2a49": "0000"}, answers={"0701": [*frames, combined(2)]})
    meter.session(*RECORDS)
    assert [each.reason for each in meter.set_aside] == ["segments"] * len(meter.set_aside)
    assert {r.sequence for r in meter.kept} == {2}


def combined(count: int) -> tuple[str, str]:
    """The answer to a combined report of so many records."""
    return "2a52", f"0800{count:02x}00"


def test_a_combined_report_that_lacks_a_record_is_asked_for_again_and_a_person_can_see_it() -> None:
    value = bytes.fromhex(MORNING)
    whole = bytes(BloodPressureRecord(sequence=2, uuid=0x2B34, value=value).segments(part_max=40, is_sealed=False)[0])
    meter = Told(values={"2a49": "0000"}, answers={"0701": [("2b36", whole.hex()), combined(3)]})
    meter.session(*RECORDS)
    assert {r.raw.hex() for r in meter.kept} == {MORNING.lower()}
    assert [each for each in meter.asked if each.startswith("write")] == ["write 2a52 0701"] * 2
    assert [(each.characteristic, each.raw.hex(), each.reason) for each in meter.set_aside] == [
        ("2a52", "08000300", "record_count")
    ]


def test_a_cuff_with_nothing_stored_is_no_failure() -> None:
    home = at_home()
    home.session()
    assert home.kept == []


def test_a_cuff_that_refuses_every_report_is_read_as_a_classic_one() -> None:
    refusing = {"0701": [("2a52", "06000702")], "0101": [("2a52", "06000102"), ("2a35", BOSO_FAILED.hex())]}
    meter = Told(values={"2a49": "0000"}, answers=refusing)
    meter.session(*RECORDS, "2a35")
    assert [r.characteristic for r in meter.kept] == ["2a35"]


def test_a_cuff_that_refuses_every_report_and_sends_nothing_fails_visibly() -> None:
    refusing = {"0701": [("2a52", "06000702")], "0101": [("2a52", "06000102")]}
    meter = Told(values={"2a49": "0000"}, answers=refusing)
    with pytest.raises(LinkError, match="refuses to report"):
        meter.session(*RECORDS)


def test_a_report_that_the_cuff_does_not_complete_fails() -> None:
    meter = Told(values={"2a49": "0000"}, answers={"0701": [("2a52", "06000708")]})
    with pytest.raises(LinkError, match="code 8"):
        meter.session(*RECORDS)


def test_a_cuff_that_keeps_no_records_is_listened_to() -> None:
    meter = Told(values={"2a49": "0001"}, says=[("2b34", MORNING)])
    meter.session("2b34", "2a35")
    (record,) = meter.kept
    assert (record.characteristic, record.meter_time) == ("2b34", "2026-11-20T23:30:00")
    assert record.evidence.meter_wall is not None
    assert record.evidence.meter_wall.isoformat() == "2026-11-21T07:30:00"
    assert "subscribe 2a35" not in meter.asked


BASE_ONLY = "46 9400 5C00 6F00 78949332 4800".replace(" ", "")
"""The same without its user-facing time."""
CLOCK = "EA070B15071F00060000"


@pytest.mark.parametrize(
    ("feature", "clock", "wall"),
    [
        ("0000", CLOCK, "2026-11-20T23:30:00"),
        ("0000", None, None),
        ("0001", CLOCK, None),
        ("refused", CLOCK, None),
    ],
    ids=["one clock, readable", "one clock, unreadable", "two clocks", "it does not say"],
)
def test_a_base_time_is_a_wall_clock_only_of_a_cuff_with_one_clock(
    feature: str, clock: str | None, wall: str | None
) -> None:
    """It may be UTC, and then it is eight hours off in Shanghai: no time is better than that."""
    values = {"2a49": feature} | ({} if clock is None else {"2a2b": clock})
    meter = Told(values=values, says=[("2b34", BASE_ONLY)])
    meter.session("2b34")
    (record,) = meter.kept
    found = record.evidence.meter_wall
    assert (None if found is None else found.isoformat()) == wall
    assert record.meter_time == "2026-11-20T23:30:00"
    if wall is None:
        assert place(record.evidence, SHANGHAI).time_quality is TimeQuality.SUSPECT


@pytest.mark.parametrize("published", MEASUREMENT, ids=lambda p: p.source)
def test_a_published_frame_ends_as_what_it_is(published: object) -> None:
    frame = published.frame.replace(" ", "")  # type: ignore[attr-defined]
    expected = published.expected  # type: ignore[attr-defined]
    meter = Told(values={"2a49": "0001"}, says=[("2b34", frame)])
    meter.session("2b34")
    (record,) = meter.kept
    assert isinstance(record.measurement, BloodPressure)
    for name in ("systolic_mmhg", "diastolic_mmhg", "mean_mmhg"):
        if name in expected:
            assert getattr(record.measurement, name) == pytest.approx(expected[name])
    assert record.raw.hex() == frame.lower()


@given(
    steps=st.lists(
        st.one_of(
            st.integers(0, 40).map(lambda n: ("visit", n)),
            st.integers(1, 4).map(lambda n: ("inflate", n)),
        ),
        max_size=10,
    ),
    clock=st.sampled_from(["ok", "1970", "absent"]),
    has_combined=st.booleans(),
)
def test_however_links_break_nothing_is_lost_and_nothing_doubled(
    steps: list[tuple[str, int]], clock: str, has_combined: bool
) -> None:
    """A session is cut before its nth command; the next whole one brings what is missing, and no more."""
    home = at_home(clock, has_combined=has_combined)
    inflated = 0
    for what, n in steps:
        if what == "inflate":
            for each in range(n):
                home.inflate(150, user=each % 2)
            inflated += n
            continue
        left = len(home.commands) + n
        home.loses_link_before = lambda _, left=left: len(home.commands) > left  # type: ignore[misc]
        with suppress(LinkError):
            home.session()
    home.loses_link_before = lambda _: False
    home.session()
    assert len(home.kept) == len(set(home.ids())) == inflated
