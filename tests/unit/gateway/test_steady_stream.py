"""Meters that only show what they see: one frame is kept, of a stretch that is steady."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.firmware_sims.told import tell
from unit.gateway.joined import Home
from unit.gateway.samples import GATEWAY, METER, NOW, SHANGHAI
from unit.gateway.scripted_meter import Told

from firmware_sims.happenings import firmware_of
from firmware_sims.pulse_oximeter import SETTLES
from firmware_sims.settings import Meter
from gateway.readings import to_reading
from gateway.sessions.commands import Command, SetAside, Wait
from gateway.sessions.conversation import Findings, take_late
from gateway.sessions.steady_stream import FRAMES, REST_S, SET_ASIDE_AT_MOST, WATCH_S
from gateway.timing import place
from vitals.gatt.heart_rate import HeartRateMeasurement
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.pulse_oximeter import Continuous, SensorStatus, SpO2PR, Status
from vitals.gatt.sfloat import NAN, Sfloat
from vitals.quality import Quality, grade
from vitals.reading import HeartRate, OxygenSaturation, TimeQuality

STREAM = "2a5f"
CHOICEMMED = "0C62004E002000000000"
"""Captured (golden/sensor_frames.py): 98 %, 78, "measurement ongoing" and no doubt."""
NRES = Sfloat(mantissa=-2048, exponent=0)


def shown(
    spo2: int | Sfloat = 97, pulse: int | Sfloat = 66, *, status: int | None = None, sensor_status: int | None = None
) -> tuple[str, str]:
    spo2, pulse = (each if isinstance(each, Sfloat) else Sfloat.of(each) for each in (spo2, pulse))
    frame = Continuous(normal=SpO2PR(spo2=spo2, pulse=pulse), status=status, sensor_status=sensor_status)
    return STREAM, bytes(frame).hex()


def steady(count: int = FRAMES) -> list[tuple[str, str]]:
    return [shown()] * count


def visit(says: Iterable[tuple[str, str] | Disconnected], *characteristics: str) -> tuple[Told, Findings]:
    """A second between the frames."""
    meter = Told(says=list(says), slow_s=1.0)
    return meter, meter.session(STREAM, *characteristics)


def test_a_finger_that_lies_still_gives_one_reading_as_it_was_sent_and_of_now() -> None:
    meter, findings = visit([(STREAM, CHOICEMMED)] * 90)
    (record,) = meter.kept
    assert record.raw == bytes.fromhex(CHOICEMMED)
    assert record.characteristic == STREAM
    assert record.measurement == OxygenSaturation(spo2_percent=98.0, pulse_bpm=78.0, status=0x20, sensor_status=0)
    assert record.evidence.is_live
    placed = place(record.evidence, SHANGHAI)
    assert (placed.time_quality, placed.measured_at) == (TimeQuality.RECEIVED, record.evidence.received_at)
    assert (meter.asked, len(meter.says)) == (["subscribe 2a5f"], 30)
    assert (findings.rest_s, findings.was_unsteady) == (REST_S, False)


def test_what_is_shown_in_the_first_minute_is_not_what_is_kept_if_the_finger_stays() -> None:
    meter, _ = visit([*[shown(88)] * 50, *[shown(96)] * 40])
    assert [record.raw.hex() for record in meter.kept] == [shown(96)[1]]
    assert len(meter.says) == 30


@pytest.mark.parametrize("end", [Disconnected(), *[shown(NAN)] * 1], ids=["link gone", "finger gone"])
def test_who_takes_the_finger_out_early_leaves_the_last_stretch_that_was_steady(
    end: Disconnected | tuple[str, str],
) -> None:
    meter, findings = visit([*[shown(93)] * 12, *[shown(96)] * FRAMES, shown(90), shown(85), end])
    assert [record.raw.hex() for record in meter.kept] == [shown(96)[1]]
    assert (findings.rest_s, findings.was_unsteady) == (REST_S, False)


def test_the_frame_in_the_middle_is_kept_by_saturation_and_then_by_pulse() -> None:
    pairs = [(98, 70), (96, 80), (97, 75), (97, 71), (98, 72), (96, 70), (97, 73), (97, 72)]
    meter, _ = visit([shown(spo2, pulse) for spo2, pulse in pairs])
    (record,) = meter.kept
    assert record.measurement == OxygenSaturation(spo2_percent=97.0, pulse_bpm=72.0)
    assert record.raw.hex() == shown(97, 72)[1]


def test_the_time_is_that_of_the_frame_that_is_kept() -> None:
    meter, _ = visit([*[shown(97)] * 3, shown(98), *[shown(99)] * 4, Disconnected()])
    (record,) = meter.kept
    assert record.measurement == OxygenSaturation(spo2_percent=98.0, pulse_bpm=66.0)
    assert timedelta(seconds=5) < meter.now - record.evidence.received_at < timedelta(seconds=6)


@pytest.mark.parametrize(("spo2", "count"), [((95, 97), 1), ((95, 98), 0)])
def test_two_percent_apart_is_still_and_three_is_not(spo2: tuple[int, int], count: int) -> None:
    meter, findings = visit([shown(each) for _ in range(50) for each in spo2])
    assert len(meter.kept) == count
    assert findings.was_unsteady is (count == 0)


def test_a_tenth_beyond_two_percent_is_not_still() -> None:
    low, high, higher = (Sfloat(mantissa=tenths, exponent=-1) for tenths in (951, 971, 972))
    assert len(visit([shown(each) for _ in range(30) for each in (low, high)])[0].kept) == 1
    assert visit([shown(each) for _ in range(30) for each in (low, higher)])[0].kept == []


def test_a_restless_finger_gives_nothing_and_is_no_failure() -> None:
    meter, findings = visit([shown(88 + 4 * (n % 3)) for n in range(200)])
    assert (meter.kept, meter.set_aside) == ([], [])
    assert findings.was_unsteady
    assert findings.rest_s is None
    assert WATCH_S <= (meter.now - NOW).total_seconds() <= WATCH_S + 3


DOUBTED = {
    **{
        status.name: {"status": status.value}
        for status in (
            Status.EARLY_ESTIMATE,
            Status.FROM_STORAGE,
            Status.DEMONSTRATION,
            Status.TESTING,
            Status.CALIBRATION_ONGOING,
            Status.UNAVAILABLE,
            Status.QUESTIONABLE,
            Status.INVALID,
        )
    },
    **{
        status.name: {"sensor_status": status.value}
        for status in SensorStatus
        if status
        not in (
            SensorStatus.EXTENDED_DISPLAY_UPDATE,
            SensorStatus.LOW_PERFUSION,
            SensorStatus.SIGNAL_ANALYSIS_ONGOING,
        )
    },
    "no saturation": {"spo2": NAN},
    "not at this resolution": {"spo2": NRES},
    "no pulse": {"pulse": NAN},
    "an impossible saturation": {"spo2": 127},
    "an impossible pulse": {"pulse": 255},
}


@pytest.mark.parametrize("doubt", DOUBTED.values(), ids=DOUBTED)
def test_what_the_meter_does_not_stand_by_never_counts_and_interrupts(doubt: dict[str, int | Sfloat]) -> None:
    meter, findings = visit([shown(**doubt)] * 90)  # type: ignore[arg-type]
    assert (meter.kept, meter.set_aside, findings.was_unsteady) == ([], [], True)
    doubted = shown(**doubt)  # type: ignore[arg-type]
    meter, _ = visit([*steady(FRAMES - 1), doubted, *steady(FRAMES - 1), Disconnected()])
    assert meter.kept == []
    meter, _ = visit([*steady(FRAMES - 1), doubted, *steady(FRAMES)])
    assert len(meter.kept) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"status": Status.MEASUREMENT_ONGOING.value},
        {"status": Status.FULLY_QUALIFIED | Status.VALIDATED},
        {"sensor_status": SensorStatus.LOW_PERFUSION.value},
    ],
)
def test_what_is_no_doubt_counts_and_is_graded_as_a_spot_check_would_be(said: dict[str, int]) -> None:
    meter, _ = visit([shown(**said)] * FRAMES)
    (record,) = meter.kept
    assert grade(record.measurement)[0] is Quality.ACCEPTED


@pytest.mark.parametrize("before", range(FRAMES))
def test_a_finger_taken_out_midway_gives_nothing_and_is_no_failure(before: int) -> None:
    meter, findings = visit([*steady(before), Disconnected()])
    assert (meter.kept, findings.was_unsteady) == ([], True)


def test_a_meter_without_a_finger_that_says_nothing_is_left_in_time() -> None:
    meter, findings = visit([])
    assert findings.was_unsteady
    assert WATCH_S <= (meter.now - NOW).total_seconds() <= WATCH_S + 1


def test_of_a_stream_that_cannot_be_read_a_few_frames_are_set_aside() -> None:
    meter, findings = visit([(STREAM, "0062")] * 100)
    assert [(each.characteristic, each.raw.hex()) for each in meter.set_aside] == [(STREAM, "0062")] * SET_ASIDE_AT_MOST
    assert findings.was_unsteady


def test_a_frame_that_cannot_be_read_interrupts() -> None:
    meter, _ = visit([*steady(FRAMES - 1), (STREAM, "0062"), *steady(FRAMES - 1), Disconnected()])
    assert (meter.kept, len(meter.set_aside)) == ([], 1)


def test_what_is_no_frame_of_the_stream_neither_counts_nor_interrupts() -> None:
    meter, _ = visit([*steady(FRAMES - 1), ("2a19", "50"), shown()])
    assert len(meter.kept) == 1


def test_a_meter_that_makes_spot_checks_keeps_to_them() -> None:
    meter, findings = visit([*steady(), ("2a5e", "0061004200")], "2a5e")
    assert meter.asked == ["subscribe 2a5e"]
    assert [record.characteristic for record in meter.kept] == ["2a5e"]
    assert (findings.rest_s, findings.was_unsteady) == (None, False)


STRAP = "2a37"


def beats(bpm: int, *, has_contact: bool | None = True) -> tuple[str, str]:
    return STRAP, bytes(HeartRateMeasurement(bpm=bpm, has_contact=has_contact)).hex()


@pytest.mark.parametrize("has_contact", [True, None])
def test_a_strap_gives_a_steady_rate_as_it_was_sent(has_contact: bool | None) -> None:
    meter = Told(says=[beats(rate, has_contact=has_contact) for rate in (70, 75, 71, 72, 73, 74, 75, 73)], slow_s=1.0)
    findings = meter.session(STRAP)
    (record,) = meter.kept
    assert record.measurement == HeartRate(pulse_bpm=73.0, has_contact=has_contact)
    assert record.raw.hex() == beats(73, has_contact=has_contact)[1]
    assert (findings.rest_s, findings.was_unsteady) == (REST_S, False)


@pytest.mark.parametrize(
    "frames",
    [[beats(70), beats(76)], [beats(0)], [beats(19)], [beats(251)], [beats(72, has_contact=False)]],
    ids=["6 apart", "no beat", "too slow for anybody", "too fast for anybody", "not on the skin"],
)
def test_a_strap_that_is_unsteady_or_on_nobody_gives_nothing(frames: list[tuple[str, str]]) -> None:
    meter = Told(says=frames * 60, slow_s=1.0)
    findings = meter.session(STRAP)
    assert (meter.kept, meter.set_aside, findings.was_unsteady) == ([], [], True)


def test_an_oximeter_that_has_a_heart_rate_too_is_read_for_its_oxygen() -> None:
    meter = Told(says=[frame for _ in range(FRAMES) for frame in (beats(66), shown())], slow_s=1.0)
    meter.session(STREAM, STRAP)
    assert meter.asked == ["subscribe 2a5f"]
    assert [record.characteristic for record in meter.kept] == [STREAM]


def test_a_cuff_that_has_a_heart_rate_too_is_read_for_its_pressure() -> None:
    meter = Told(says=[beats(66)] * 60, slow_s=1.0)
    meter.session("2a35", STRAP)
    assert meter.asked == ["subscribe 2a35"]
    assert meter.kept == []


@given(
    frames=st.lists(
        st.tuples(st.integers(92, 97), st.integers(50, 90), st.sampled_from((None, 0, 0, 0, 0x40))), max_size=100
    )
)
def test_what_is_kept_is_the_middle_of_the_last_stretch_that_agrees(frames: list[tuple[int, int, int | None]]) -> None:
    """Told without any of the session's code. The sixth bit: an early estimate."""
    meter, findings = visit([*(shown(spo2, pulse, status=status) for spo2, pulse, status in frames), Disconnected()])
    expected = None
    for end in range(FRAMES, len(frames) + 1):
        stretch = frames[end - FRAMES : end]
        values = [spo2 for spo2, _, _ in stretch]
        if not any(status for _, _, status in stretch) and max(values) - min(values) <= 2:
            expected = sorted((spo2, pulse) for spo2, pulse, _ in stretch)[FRAMES // 2 - 1]
            if end >= 60:
                break
        if end == 88:  # a second each, and the watch is over
            break
    kept = [(each.measurement.spo2_percent, each.measurement.pulse_bpm) for each in meter.kept]  # type: ignore[union-attr]
    assert kept == ([] if expected is None else [expected])
    assert findings.was_unsteady is (expected is None)


def test_what_is_shown_while_the_gateway_leaves_is_no_second_reading() -> None:
    meter, findings = visit(steady())
    meter.play(take_late(Notified(characteristic=STREAM, value=bytes.fromhex(shown()[1])), findings, received_at=NOW))
    assert len(meter.kept) == 1


def test_the_same_second_of_two_visits_is_two_readings() -> None:
    records = [visit(steady())[0].kept[0]]
    later = Told(says=list(steady()), slow_s=1.0, now=NOW + timedelta(minutes=10))
    later.session(STREAM)
    records += later.kept
    ids = {
        to_reading(each, meter_id=METER, gateway_id=GATEWAY, zone=SHANGHAI, decoder="test").reading_id
        for each in records
    }
    assert (len(records), len({each.raw for each in records}), len(ids)) == (2, 1, 2)


# -- with the meter's own firmware -------------------------------------------------------------------------------------


def worn(**settings: object) -> Home:
    """An oximeter on a finger; it shows something each time that somebody waits."""
    home = Home(firmware_of(Meter(name="m", kind="oxygen_saturation", index=1, shows_only=True, **settings)))  # type: ignore[arg-type]
    tell(home.meter, spo2_percent=96, pulse_bpm=71, is_worn=True)

    def tick(command: Command) -> bool:
        if isinstance(command, Wait):
            home.now += timedelta(seconds=1)
            home.meter.on_tick(wall=home.wall)
        return False

    home.loses_link_before = tick
    return home


def test_an_early_estimate_of_the_meters_own_is_waited_out() -> None:
    home = worn()
    home.session()
    (record,) = home.kept
    assert record.measurement == OxygenSaturation(spo2_percent=96, pulse_bpm=71, status=0x0120, sensor_status=0)
    assert sum(isinstance(each, Wait) for each in home.commands) == 60


def test_a_link_that_is_cut_at_any_step_leaves_one_reading_or_none_and_breaks_nothing() -> None:
    whole = worn()
    whole.session()
    steps = len(whole.commands)
    for left in range(steps + 1):
        home = worn()
        tick = home.loses_link_before
        home.loses_link_before = lambda c, home=home, tick=tick, left=left: tick(c) or len(home.commands) > left  # type: ignore[misc]
        try:
            home.session()
        except LinkError:
            assert home.kept == []
        heard = sum(isinstance(each, Wait) for each in whole.commands[:left])
        assert len(home.kept) == (heard >= SETTLES + FRAMES), f"cut before command {left} of {steps}"
        assert not any(isinstance(each, SetAside) for each in home.commands)
        home.loses_link_before = tick
        home.session()
        assert 1 <= len(home.kept) <= 2
