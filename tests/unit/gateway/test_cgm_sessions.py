"""Visits to a glucose sensor that is worn: the gateway's session against the simulated sensor, no radio between."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest
from golden.cgm_frames import MEASUREMENT, REFUSED
from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.joined import Home
from unit.gateway.samples import GATEWAY, METER, SHANGHAI

from firmware_sims.faults import Faults
from firmware_sims.glucose_sensor import GlucoseSensor
from firmware_sims.settings import Meter, WrongClock
from gateway.readings import to_reading
from gateway.sessions.cgm import REST_S
from gateway.sessions.clock_memory import ClockMemory
from gateway.sessions.commands import Command, MeterRecord, Read, Subscribe, Wait, Write
from gateway.timing import place
from vitals.gatt.cgm_measurement import CgmRecord, SensorStatus
from vitals.gatt.cgm_session import SessionStartTime
from vitals.gatt.link import LinkError
from vitals.gatt.sfloat import NEGATIVE_INFINITY, NRES, POSITIVE_INFINITY, Sfloat
from vitals.quality import Quality, grade
from vitals.reading import SensorGlucose, TimeQuality


@dataclass
class Wearer(Home):
    """A home with one sensor, whose records are told apart as the outbox does."""

    @property
    def sensor(self) -> GlucoseSensor:
        assert isinstance(self.meter, GlucoseSensor)
        return self.meter

    def measure(self, mg_dl: float = 126, *, after_min: int = 5, status: int | None = None) -> bytes:
        self.now += timedelta(minutes=after_min)
        return self.sensor.measure(wall=self.wall, glucose_mg_dl=mg_dl, status=status)

    def measured(self) -> list[SensorGlucose]:
        return [r.measurement for r in self.kept if isinstance(r.measurement, SensorGlucose)]

    def ids(self) -> list[object]:
        return [_id(record) for record in self.kept]

    def requests(self) -> list[str]:
        """The reports that it was asked for."""
        found = [c.value.hex() for c in self.commands if isinstance(c, Write) and c.characteristic == "2a52"]
        return [each for each in found if not each.startswith("04")]

    def _nth(self, record: MeterRecord) -> int | None:
        return next((nth for nth, each in enumerate(self.ids()) if each == _id(record)), None)


def _id(record: MeterRecord) -> object:
    return to_reading(record, meter_id="m", gateway_id="g", zone=SHANGHAI, decoder="t").reading_id


def worn(clock: object = "ok", *, is_sealed: bool = True, **faults: object) -> Wearer:
    meter = Meter(name="cgm", kind="sensor_glucose", index=1, clock=clock, faults=Faults(**faults))  # type: ignore[arg-type]
    return Wearer(GlucoseSensor(meter, is_sealed=is_sealed))


@pytest.mark.parametrize("is_sealed", [True, False])
def test_every_record_of_the_session_is_kept_as_it_was_sent(is_sealed: bool) -> None:
    home = worn(is_sealed=is_sealed)
    sent = [home.measure(100 + n) for n in range(5)]
    findings = home.session()
    assert [record.raw for record in home.kept] == sent
    assert [(m.sequence, m.glucose_mg_dl) for m in home.measured()] == [(5 * n, 100.0 + n) for n in range(5)]
    assert findings.highest_sequence == 20
    assert findings.rest_s == REST_S


def test_a_visit_asks_from_the_last_offset_on_and_deletes_nothing() -> None:
    home = worn()
    home.measure(100)
    home.measure(101)
    highest = home.session().highest_sequence
    home.measure(102)
    assert home.session(highest=highest).highest_sequence == 10
    assert home.requests() == ["0101", "0103010500"]
    assert len(home.kept) == 3
    assert len(home.sensor.records) == 3


def test_a_visit_with_nothing_new_is_no_failure() -> None:
    home = worn()
    home.measure(100)
    highest = home.session().highest_sequence
    assert home.session(highest=highest).highest_sequence == highest
    assert len(home.kept) == 1


def test_a_record_is_as_old_as_the_distance_of_its_offset_to_the_present() -> None:
    """Whoever has set the start to whatever: minutes are counted, not clocks compared."""
    home = worn(WrongClock(offset_s=-3 * 86400))
    home.measure(100)
    taken = home.now
    home.measure(101, after_min=60)
    home.now += timedelta(minutes=7)
    home.session()
    placed = [place(record.evidence, SHANGHAI) for record in home.kept]
    assert abs(placed[0].measured_at - taken) <= timedelta(minutes=1)
    assert abs(placed[1].measured_at - taken - timedelta(minutes=60)) <= timedelta(minutes=1)
    assert {each.time_quality for each in placed} == {TimeQuality.CORRECTED}


def test_a_record_is_named_by_the_start_and_its_offset() -> None:
    home = worn()
    home.measure(100, after_min=0)
    began = home.wall.replace(microsecond=0)
    home.measure(100)
    home.session()
    assert [r.meter_time for r in home.kept] == [began.isoformat(), (began + timedelta(minutes=5)).isoformat()]


def test_a_sensor_that_nobody_has_told_the_time_is_told_once() -> None:
    home = worn("unset")
    home.measure(100)
    highest = home.session().highest_sequence
    writes = [c for c in home.commands if isinstance(c, Write) and c.characteristic == "2aaa"]
    assert [SessionStartTime.from_bytes(c.value).zone for c in writes] == [32]
    home.measure(101)
    home.session(highest=highest)
    assert len([c for c in home.commands if isinstance(c, Write) and c.characteristic == "2aaa"]) == 1
    assert len(set(home.ids())) == len(home.kept) == 2
    ages = [home.now - place(record.evidence, SHANGHAI).measured_at for record in home.kept]
    assert timedelta(minutes=4) < ages[0] < timedelta(minutes=7)


def test_the_start_is_written_before_anything_is_kept() -> None:
    home = worn("unset")
    home.measure(100)
    home.session()
    names = [f"{type(c).__name__} {getattr(c, 'characteristic', '')}".strip() for c in home.commands]
    assert names.index("Write 2aaa") < names.index("Keep")


def test_a_start_that_somebody_has_told_is_never_touched() -> None:
    home = worn(WrongClock(offset_s=86400))
    home.measure(100)
    home.session()
    assert not [c for c in home.commands if isinstance(c, Write) and c.characteristic == "2aaa"]


def test_our_own_doubtful_time_is_never_told_and_the_records_wait() -> None:
    home = worn("unset")
    home.measure(100)
    with pytest.raises(LinkError, match="cannot be believed"):
        home.session(is_clock_believable=False)
    assert home.kept == []
    home.session()
    assert len(home.kept) == 1


def test_a_sensor_that_takes_no_start_is_not_read() -> None:
    home = worn("unset", ignores_clock_writes=True)
    home.measure(100)
    with pytest.raises(LinkError, match="still has no start"):
        home.session()
    assert home.kept == []


def test_a_new_sensor_session_is_noticed_and_read_from_its_beginning() -> None:
    """The same offset and the same glucose in two sessions are two readings."""
    home = worn()
    for _ in range(4):
        home.measure(100)
    highest = home.session().highest_sequence
    home.now += timedelta(days=1)
    home.sensor.put_on(wall=home.wall)
    home.measure(100)
    assert home.session(highest=highest).highest_sequence == 5
    assert home.requests()[-1] == "0101"
    assert len(set(home.ids())) == len(home.kept) == 5


def test_a_new_sensor_session_that_has_passed_the_old_offset_is_noticed_too() -> None:
    home = worn()
    home.measure(100)
    home.measure(100)
    highest = home.session().highest_sequence
    home.now += timedelta(days=1)
    home.sensor.put_on(wall=home.wall)
    for _ in range(6):
        home.measure(100)
    home.session(highest=highest)
    assert home.requests()[-2:] == ["0103010500", "0101"]
    assert len(set(home.ids())) == len(home.kept) == 8


def test_of_a_session_that_is_over_the_present_is_not_believed() -> None:
    home = worn()
    home.measure(100)
    home.sensor.stop()
    home.now += timedelta(hours=9)
    home.session()
    placed = place(home.kept[0].evidence, SHANGHAI)
    assert placed.time_quality is TimeQuality.SUSPECT
    assert home.now - placed.measured_at > timedelta(hours=8)


def test_a_record_with_a_wrong_sum_is_set_aside_and_costs_no_other() -> None:
    home = worn()
    good = home.measure(100)
    bad = good[:-1] + bytes((good[-1] ^ 1,))
    home.sensor.keep(bad)
    home.sensor.keep(good[:2] + bytes((0x65, 0x00, 10, 0)) + b"\0\0")
    also_good = home.measure(103, after_min=30)
    home.session()
    assert [r.raw for r in home.kept] == [good, also_good]
    assert {(s.raw[:6], s.reason) for s in home.set_aside} == {(bad[:6], "crc"), (good[:2] + b"\x65\0\x0a\0", "crc")}
    assert home.requests() == ["0101", "0101"]


def test_a_record_without_the_sum_that_the_sensor_promises_is_set_aside() -> None:
    home = worn(is_sealed=True)
    home.measure(100)
    naked = bytes(CgmRecord(concentration=Sfloat.of(101), time_offset_min=1))
    home.sensor.keep(naked)
    home.session()
    assert next((s.raw, s.reason) for s in home.set_aside) == (naked, "crc")
    assert len(home.kept) == 1


@pytest.mark.parametrize("frame", [f for _, c, f, _ in REFUSED if c == "2aa7"])
def test_a_published_frame_that_is_refused_is_set_aside_whole(frame: str) -> None:
    home = worn()
    home.measure(100)
    home.sensor.keep(bytes.fromhex(frame))
    home.session()
    assert bytes.fromhex(frame) in {each.raw for each in home.set_aside}
    assert len(home.kept) == 1


def test_two_records_of_one_notification_are_two_readings_with_octets_of_their_own() -> None:
    """NordicSemiconductor/Android-BLE-Common-Library, ContinuousGlucoseMeasurement double."""
    home = worn(is_sealed=False)
    home.measure(100)
    double = next(p for p in MEASUREMENT if p.source.endswith("double"))
    home.sensor.keep(bytes.fromhex(double.frame))
    home.session()
    assert [r.raw.hex() for r in home.kept][1:] == ["06000c100500", "06000c100600"]


SPECIAL = [
    (bytes.fromhex("0600FF070500"), None, (Quality.INVALID, ("value_special",))),
    (bytes(CgmRecord(concentration=NRES, time_offset_min=5)), None, (Quality.INVALID, ("value_special",))),
    (bytes(CgmRecord(concentration=POSITIVE_INFINITY, time_offset_min=5)), None, (Quality.INVALID, ("value_special",))),
    (bytes(CgmRecord(concentration=NEGATIVE_INFINITY, time_offset_min=5)), None, (Quality.INVALID, ("value_special",))),
    (
        bytes(CgmRecord(concentration=Sfloat.of(400), time_offset_min=5, status=SensorStatus.ABOVE_DEVICE_RANGE)),
        "HI",
        (Quality.ACCEPTED, ("censored_hi",)),
    ),
    (
        bytes(CgmRecord(concentration=Sfloat.of(40), time_offset_min=5, status=SensorStatus.BELOW_DEVICE_RANGE)),
        "LO",
        (Quality.ACCEPTED, ("censored_lo",)),
    ),
    (
        bytes.fromhex("0FE3D2E405000214FF02F0E5F38E3F"),  # Nordic, full with E2E-CRC: both above and below
        None,
        (Quality.REJECTED, ("sensor_status",)),
    ),
]


@pytest.mark.parametrize(("raw", "censored", "graded"), SPECIAL)
def test_a_special_value_ends_as_what_it_is(raw: bytes, censored: str | None, graded: object) -> None:
    """Special words: CGMS 1.0.2 section 3.10."""
    home = worn(is_sealed=False)
    home.measure(100)
    home.sensor.keep(raw)
    home.session()
    measurement = home.measured()[-1]
    assert (measurement.glucose_mmol_l, measurement.censored) == (None, censored)
    assert grade(measurement) == graded


def test_the_status_of_a_record_is_kept() -> None:
    home = worn()
    home.measure(100, status=SensorStatus.BATTERY_LOW | SensorStatus.BELOW_HYPO)
    home.session()
    assert home.measured()[0].status == 0x040002


def test_what_is_measured_while_the_gateway_is_there_is_taken_and_asked_for_again() -> None:
    home = worn()
    home.measure(100)
    asked = False

    def measure_once(command: Command) -> bool:
        nonlocal asked
        if isinstance(command, Wait) and not asked:
            asked = True
            home.measure(101)
        return False

    home.loses_link_before = measure_once
    highest = home.session().highest_sequence
    assert home.session(highest=highest).highest_sequence == 5
    assert [m.glucose_mg_dl for m in home.measured()] == [100.0, 101.0]


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_record_that_a_sensor_marks_otherwise_when_it_is_asked_again_is_one_reading(is_sealed: bool) -> None:
    """Its battery has grown low, its session is over: that is said in the octets of the status, and the sum is another too."""
    ids = set()
    for status in (
        None,
        0,
        SensorStatus.BATTERY_LOW,
        SensorStatus.SESSION_STOPPED | SensorStatus.CALIBRATION_RECOMMENDED,
    ):
        home = worn(is_sealed=is_sealed)
        home.measure(100, status=status)
        home.session()
        (record,) = home.kept
        ids.add(to_reading(record, meter_id=METER, gateway_id=GATEWAY, zone=SHANGHAI, decoder="t").reading_id)
    assert len(ids) == 1


def test_the_control_point_of_a_sensor_is_not_touched() -> None:
    home = worn()
    home.measure(100)
    home.session()
    touched = {c.characteristic for c in home.commands if isinstance(c, Read | Write | Subscribe)}
    assert "2aac" not in touched


def test_people_can_see_how_the_sensor_is() -> None:
    home = worn()
    home.measure(100)
    home.sensor.status = int(SensorStatus.BATTERY_LOW)
    findings = home.session()
    assert findings.worn is not None
    told = findings.worn.told()
    assert told["runs_for_h"] == 336
    assert told["status"] == ("battery_low",)
    assert "100" not in str(told)


def test_a_sensor_that_fails_gives_records_without_a_number() -> None:
    home = worn(fails=True)
    home.measure(100)
    home.session()
    assert grade(home.measured()[0]) == (Quality.INVALID, ("value_special",))


def _phone_tells(home: Wearer, wrong_by: timedelta) -> None:
    """Somebody else makes the sensor compute another start."""
    told = SessionStartTime.of((home.now + wrong_by).astimezone(SHANGHAI), is_sealed=True)
    home.sensor.write("2aaa", bytes(told), wall=home.wall)


@pytest.mark.parametrize("wrong_by", [timedelta(seconds=40), timedelta(hours=-8)])
def test_a_start_that_is_moved_makes_no_second_readings_of_the_first(wrong_by: timedelta) -> None:
    home = worn()
    for _ in range(4):
        home.measure(100)
    first = home.session()
    _phone_tells(home, wrong_by)
    home.measure(101)
    again = home.session(highest=first.highest_sequence, clock=first.clock_memory)
    assert len(home.kept) == len(set(home.ids())) == 5
    assert home.requests() == ["0101", "0103010f00"]
    assert again.clock_memory is None, "what was remembered stays"
    placed = place(home.kept[-1].evidence, SHANGHAI)
    assert home.now - placed.measured_at < timedelta(minutes=2)


def test_a_new_sensor_session_is_known_by_when_it_began() -> None:
    home = worn()
    home.measure(100)
    first = home.session()
    home.now += timedelta(hours=3)
    home.sensor.put_on(wall=home.wall)
    home.measure(100)
    home.measure(100)
    second = home.session(highest=first.highest_sequence, clock=first.clock_memory)
    assert home.requests() == ["0101", "0101"]
    assert second.clock_memory not in (None, first.clock_memory)
    assert len(home.kept) == len(set(home.ids())) == 3


def test_nothing_is_recognised_by_a_clock_of_ours_that_cannot_be_believed() -> None:
    home = worn()
    home.measure(100)
    first = home.session()
    home.measure(101)
    home.now += timedelta(days=200)
    home.sensor._began = home.wall - timedelta(minutes=10)  # the sensor is as it was: our clock is not
    doubtful = home.session(highest=first.highest_sequence, clock=first.clock_memory, is_clock_believable=False)
    assert doubtful.clock_memory is None
    assert len(home.kept) == len(set(home.ids())) == 2


@dataclass
class _Memory:
    """What a collector remembers of the sensor between whole visits."""

    highest: int | None = None
    clock: ClockMemory | None = None


def _visit(home: Wearer, memory: _Memory) -> None:
    with suppress(LinkError):
        found = home.session(highest=memory.highest, clock=memory.clock)
        memory.highest = memory.highest if found.highest_sequence is None else found.highest_sequence
        memory.clock = found.clock_memory or memory.clock


def _whole_visit(home: Wearer, memory: _Memory) -> None:
    home.loses_link_before = lambda _: False
    _visit(home, memory)


@given(
    steps=st.lists(
        st.one_of(
            st.integers(0, 40).map(lambda n: ("visit", n)),
            st.integers(1, 7).map(lambda n: ("measure", n)),
            st.integers(-90, 90).map(lambda n: ("phone", n)),
            st.just(("new sensor", 0)),
        ),
        max_size=12,
    ),
    is_unset=st.booleans(),
)
def test_however_links_break_nothing_is_lost_and_nothing_doubled(steps: list[tuple[str, int]], is_unset: bool) -> None:
    """A visit is cut before its nth command. What the sensor still has at a whole visit has been kept once, and only once."""
    home, memory, measured = worn("unset" if is_unset else "ok"), _Memory(), 0
    for what, n in steps:
        match what:
            case "new sensor":
                _whole_visit(home, memory)
                home.now += timedelta(days=1)
                home.sensor.put_on(wall=home.wall)
            case "measure":
                measured += n
                for _ in range(n):
                    home.measure(100)
            case "phone":
                if home.sensor.is_advertising:
                    _whole_visit(home, memory)
                    _phone_tells(home, timedelta(minutes=n))
            case _:
                left = len(home.commands) + n
                home.loses_link_before = lambda _, left=left: len(home.commands) > left  # type: ignore[misc]
                _visit(home, memory)
    _whole_visit(home, memory)
    assert len(home.kept) == len(set(home.ids())) == measured
