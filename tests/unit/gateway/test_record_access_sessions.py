"""Record Access with meters that refuse, fall silent, forget who listens, or are busy: nothing is lost."""

from dataclasses import replace
from pathlib import Path

import pytest
from unit.gateway.samples import GATEWAY, METER, NOW, SHANGHAI, TestClock
from unit.gateway.scripted_meter import Told

from gateway.keeping import OURS, Keeper, Tally
from gateway.outbox import Outbox
from gateway.readings import to_reading
from gateway.sessions.commands import MeterRecord
from gateway.sessions.glucose import collect
from gateway.sessions.quirks import Quirk
from gateway.sessions.record_access import NEARLY_ALL_NUMBERS, RECORD_COUNT
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.link import Disconnected, LinkError
from vitals.reading import Glucose

GLUCOSE = ("2a18", "2a34", "2a52")
DONE = ("2a52", "06000101")
NONE_FOUND = ("2a52", "06000106")
NOTHING_TO_ABORT = ("2a52", "06000307")
ABORTED = ("2a52", "06000301")


def drop(sequence: int) -> tuple[str, str]:
    """Clinical frame of 126 mg/dL with this number, without context."""
    return "2a18", f"02{sequence.to_bytes(2, 'little').hex()}ea070b15071900 7eb0 12"


def numbers(meter: Told) -> list[int | None]:
    return [record.sequence for record in meter.kept]


def written(meter: Told) -> list[str]:
    """What it was asked to do but count."""
    return [each for each in everything_written(meter) if not each.startswith("04")]


def everything_written(meter: Told) -> list[str]:
    return [each.removeprefix("write 2a52 ") for each in meter.asked if each.startswith("write 2a52")]


def test_no_records_is_a_success() -> None:
    meter = Told(answers={"0101": [NONE_FOUND]})
    assert meter.session(*GLUCOSE).highest_sequence is None
    assert written(meter) == ["0101"]


def test_a_meter_that_falls_silent_in_its_report_is_told_to_stop() -> None:
    meter = Told(answers={"0101": [drop(1)], "0300": [ABORTED]})
    with pytest.raises(LinkError, match="within 30 s"):
        meter.session(*GLUCOSE)
    assert written(meter) == ["0101", "0300"]
    assert numbers(meter) == [1]


def test_a_record_that_was_on_its_way_when_we_gave_up_is_kept() -> None:
    meter = Told(answers={"0101": [], "0300": [drop(1), ABORTED]})
    with pytest.raises(LinkError):
        meter.session(*GLUCOSE)
    assert numbers(meter) == [1]


@pytest.mark.parametrize("answer", [[], [Disconnected()], [("2a52", "0600")], [("2a19", "50")]])
def test_an_abort_that_nobody_answers_ends_the_session_too(answer: list[tuple[str, str] | Disconnected]) -> None:
    meter = Told(answers={"0300": answer})  # type: ignore[dict-item]
    with pytest.raises(LinkError, match="within 30 s"):
        meter.session(*GLUCOSE)


@pytest.mark.parametrize("code", [0xFE, 0x80])
def test_a_meter_that_is_still_busy_is_stopped_and_asked_again(code: int) -> None:
    meter = Told(answers={"0101": [drop(1), DONE], "0300": [ABORTED]}, refusals={"0101": [code]})
    assert meter.session(*GLUCOSE).highest_sequence == 1
    assert written(meter) == ["0101", "0300", "0101"]


@pytest.mark.parametrize("code", [0xFE, 0x80])
def test_a_meter_that_stays_busy_fails_the_session(code: int) -> None:
    meter = Told(answers={"0300": [NOTHING_TO_ABORT]}, refusals={"0101": [code, code]})
    with pytest.raises(LinkError):
        meter.session(*GLUCOSE)
    assert written(meter) == ["0101", "0300", "0101"]


@pytest.mark.parametrize("code", [0xFD, 0x81])
def test_a_meter_that_has_forgotten_who_listens_is_told_again(code: int) -> None:
    meter = Told(answers={"0101": [drop(1), DONE]}, refusals={"0101": [code]})
    assert meter.session(*GLUCOSE).highest_sequence == 1
    assert meter.asked.count("subscribe 2a18") == meter.asked.count("subscribe 2a52") == 2


def test_another_refusal_is_not_argued_with() -> None:
    meter = Told(refusals={"0101": [0x05]})
    with pytest.raises(LinkError):
        meter.session(*GLUCOSE)
    assert written(meter) == ["0101"]


def test_every_record_gives_the_meter_its_thirty_seconds_again() -> None:
    meter = Told(answers={"0101": [drop(n) for n in range(3)] + [DONE]}, slow_s=29.0)
    meter.session(*GLUCOSE)
    assert numbers(meter) == [0, 1, 2]


def test_what_is_no_record_does_not_prolong_a_report() -> None:
    meter = Told(answers={"0101": [("2a19", "50")] * 100}, slow_s=1.0)
    with pytest.raises(LinkError, match="within 30 s"):
        meter.session(*GLUCOSE)
    assert len(meter.says) >= 60


def test_a_record_that_comes_twice_with_other_bytes_is_kept_both_times() -> None:
    """The number that is asked from is held back; if two records have it, neither is lost."""
    first, second = drop(5), (drop(5)[0], drop(5)[1].replace("7eb0", "7fb0"))
    meter = Told(answers={"0103010500": [first, second, DONE], "0101": [first, second, DONE]})
    meter.session(*GLUCOSE, highest_sequence=5)
    values = [r.measurement.glucose_mg_dl for r in meter.kept if isinstance(r.measurement, Glucose)]
    assert set(values) == {126.0, 127.0}


def drop_of(sequence: int, minute: int, *, has_context: bool = False, status: str = "") -> tuple[str, str]:
    """A drop of a minute of its own."""
    flags = 0x02 | 0x10 * has_context | 0x08 * bool(status)
    return "2a18", f"{flags:02x}{sequence.to_bytes(2, 'little').hex()}ea070b1507{minute:02x}00 7eb0 12 {status}"


def context_of(sequence: int, meal: int) -> tuple[str, str]:
    return "2a34", f"02{sequence.to_bytes(2, 'little').hex()}{meal:02x}"


def test_two_records_of_one_number_that_both_wait_for_a_context_are_two_readings() -> None:
    """A meter that was reset gives a number again while the old record of that number is still in its memory."""
    old, new = drop_of(5, 1, has_context=True), drop_of(5, 9, has_context=True)
    meter = Told(answers={"0101": [old, new, context_of(5, 1), DONE]})
    meter.session(*GLUCOSE)
    assert [(record.raw[8], record.context_raw) for record in meter.kept] == [
        (1, None),
        (9, bytes.fromhex(context_of(5, 1)[1])),
    ]


def test_a_context_belongs_to_one_record_and_not_to_the_next_of_its_number() -> None:
    said = [drop_of(5, 1, has_context=True), context_of(5, 2), drop_of(5, 9, has_context=True), DONE]
    meter = Told(answers={"0101": said})
    meter.session(*GLUCOSE)
    assert [getattr(record.measurement, "meal", None) for record in meter.kept] == ["postprandial", None]


def test_a_ketone_that_the_meter_sends_twice_is_a_ketone_both_times() -> None:
    said = [drop_of(5, 1, has_context=True), context_of(5, 6), drop_of(5, 1, has_context=True), DONE]
    meter = Told(answers={"0101": said})
    meter.session(*GLUCOSE)
    assert (meter.kept, {each.reason for each in meter.set_aside}) == ([], {"ketone"})


@pytest.mark.parametrize("said", [[context_of(5, 1)], [drop_of(4, 1), context_of(5, 1), context_of(5, 1)]])
def test_a_context_without_its_measurement_is_set_aside(said: list[tuple[str, str]]) -> None:
    meter = Told(answers={"0101": [*said, DONE]})
    meter.session(*GLUCOSE)
    assert {(each.characteristic, each.reason) for each in meter.set_aside} == {("2a34", "context_alone")}


LATER = [
    (drop_of(5, 1), drop_of(5, 1, has_context=True)),
    (drop_of(5, 1, status="0000"), drop_of(5, 1, status="0100")),
    (drop_of(5, 1, status="2000"), drop_of(5, 1, has_context=True, status="2100")),
]
"""A record as it was, and as a meter gives it when somebody has told it about the meal, or its battery has grown low."""


@pytest.mark.parametrize(("then", "now"), LATER)
def test_what_a_meter_marks_on_a_record_later_makes_no_second_reading_of_it(
    then: tuple[str, str], now: tuple[str, str]
) -> None:
    ids = set()
    for frame in (then, now):
        meter = Told(answers={"0101": [frame, DONE]})
        meter.session(*GLUCOSE)
        (record,) = meter.kept
        ids.add(to_reading(record, meter_id=METER, gateway_id=GATEWAY, zone=SHANGHAI, decoder="t").reading_id)
    assert len(ids) == 1


@pytest.mark.parametrize("status", ["0200", "0008", "4000"])
def test_what_a_meter_says_of_the_measurement_itself_makes_another_record(status: str) -> None:
    frames = [bytes.fromhex(each[1]) for each in (drop_of(5, 1, status="0000"), drop_of(5, 1, status=status))]
    assert len({GlucoseMeasurement.lasting(frame) for frame in frames}) == 2


async def test_a_record_that_an_earlier_build_named_by_all_its_bytes_is_not_kept_again(tmp_path: Path) -> None:
    meter = Told(answers={"0101": [drop_of(5, 1, has_context=True), context_of(5, 1), DONE]})
    meter.session(*GLUCOSE)
    (record,) = meter.kept
    assert record.lasting != record.raw
    with Outbox(tmp_path / "outbox.sqlite", now=NOW) as outbox:
        clock = TestClock().clock
        keeper = Keeper(outbox=outbox, gateway_id=GATEWAY, zone=lambda: SHANGHAI, clock=clock, on_kept=lambda: None)
        timeline, tally = keeper.timeline(), Tally()
        assert await keeper.keep(METER, replace(record, lasting=None), timeline, tally, decoder=OURS)
        assert await keeper.knows(METER, record)
        assert not await keeper.keep(METER, record, timeline, tally, decoder=OURS)
        assert (tally.new, tally.repeated) == (1, 1)


def test_numbers_that_are_about_to_begin_again_are_asked_for_as_a_whole() -> None:
    meter = Told(answers={"0101": [drop(0xFFFF), drop(0), drop(1), DONE]})
    meter.session(*GLUCOSE, highest_sequence=0xFFFF)
    assert sorted(numbers(meter), key=str) == [0, 1, 0xFFFF]
    assert written(meter) == ["0101"]
    below = Told(
        answers={f"010301{(NEARLY_ALL_NUMBERS - 1).to_bytes(2, 'little').hex()}": [NONE_FOUND], "0101": [DONE]}
    )
    below.session(*GLUCOSE, highest_sequence=NEARLY_ALL_NUMBERS - 1)
    assert written(below)[0].startswith("0103")


def test_a_report_that_the_meter_does_not_complete_fails_and_is_asked_for_again() -> None:
    meter = Told(answers={"0101": [drop(1), ("2a52", "06000108")]})
    with pytest.raises(LinkError, match="code 8"):
        meter.session(*GLUCOSE)
    assert numbers(meter) == [1]


def test_an_oximeter_that_falls_silent_in_its_report_has_five_seconds_and_is_told_to_stop() -> None:
    """PLXP 1.0: the procedure's timeout of an oximeter is 5 s."""
    meter = Told(values={"2a60": "0400"}, answers={"0101": [("2a5e", "0161004200EA070B15071E00")], "0300": [ABORTED]})
    before = meter.now
    with pytest.raises(LinkError, match="within 5 s"):
        meter.session("2a5e", "2a52")
    assert written(meter) == ["0101", "0300"]
    assert len(meter.kept) == 1
    assert 5 <= (meter.now - before).total_seconds() < 7


@pytest.mark.parametrize("code", [0x81, 0xFD])
def test_an_oximeter_that_has_forgotten_who_listens_is_told_again(code: int) -> None:
    spot = ("2a5e", "0161004200EA070B15071E00")
    meter = Told(values={"2a60": "0400"}, answers={"0101": [spot, DONE]}, refusals={"0101": [code]})
    meter.session("2a5e", "2a52")
    assert len(meter.kept) == 1
    assert meter.asked.count("subscribe 2a5e") == 2


def test_a_sensor_that_falls_silent_in_its_report_is_told_to_stop() -> None:
    values = {"2aa8": "00000059ffff", "2aaa": "ea070b150700000000", "2aa9": "0a00000000"}
    meter = Told(values=values, answers={"0101": [("2aa7", "06007e000500")], "0300": [ABORTED]})
    with pytest.raises(LinkError, match="within 30 s"):
        meter.session("2aa7", "2a52")
    assert written(meter) == ["0101", "0300"]
    assert numbers(meter) == [5]


def test_an_enhanced_cuff_that_falls_silent_in_its_report_is_told_to_stop() -> None:
    meter = Told(values={"2a49": "0000"}, answers={"0300": [ABORTED]})
    with pytest.raises(LinkError, match="within 30 s"):
        meter.session("2b36", "2a52")
    assert written(meter) == ["0701", "0300"]


def counts(number: int) -> list[tuple[str, str]]:
    return [("2a52", f"0500{number.to_bytes(2, 'little').hex()}")]


def kept(*sequences: int) -> list[MeterRecord]:
    """As an earlier session has left them."""
    meter = Told(answers={"0101": [drop(n) for n in sequences] + [DONE]})
    meter.session(*GLUCOSE)
    return meter.kept


def test_what_a_successful_report_lacks_by_the_meters_own_count_is_asked_for_from_before_the_gap() -> None:
    """The host has dropped two notifications, and the meter does not know."""
    meter = Told(answers={"0101": [drop(1), drop(4), DONE], "0401": counts(4)})
    meter.answers["0103010100"] = [drop(n) for n in (1, 2, 3, 4)] + [DONE]
    assert meter.session(*GLUCOSE).highest_sequence == 4
    assert set(numbers(meter)) == {1, 2, 3, 4}
    assert everything_written(meter) == ["0101", "0401", "0103010100"]


def test_a_gap_in_what_is_new_is_counted_too_and_no_gap_is_not() -> None:
    since = "0103010100"
    whole = Told(answers={since: [drop(1), drop(2), drop(3), DONE]}, kept=kept(1))
    whole.session(*GLUCOSE, highest_sequence=1)
    assert everything_written(whole) == [since]
    meter = Told(answers={since: [drop(1), drop(3), DONE], "0403010100": counts(2)}, kept=kept(1))
    assert meter.session(*GLUCOSE, highest_sequence=1).highest_sequence == 3
    assert everything_written(meter) == [since, "0403010100"]


def test_what_does_not_come_when_it_is_asked_for_again_is_told_to_people_and_asked_for_the_next_time() -> None:
    meter = Told(answers={"0101": [drop(1), drop(2), drop(4), DONE], "0401": counts(4)})
    meter.answers["0103010200"] = [drop(2), drop(4), DONE]
    meter.answers["0102010400"] = [drop(4), DONE]
    assert meter.session(*GLUCOSE).highest_sequence == 2
    assert set(numbers(meter)) == {1, 2, 4}
    assert [(each.reason, each.raw.hex()) for each in meter.set_aside] == [(RECORD_COUNT, "05000400")]


@pytest.mark.parametrize("answer", [[], [("2a52", "06000402")], [Disconnected()], [("2a52", "0500")]])
def test_a_meter_that_does_not_count_is_believed(answer: list[tuple[str, str] | Disconnected]) -> None:
    meter = Told(answers={"0101": [drop(1), drop(3), DONE], "0401": answer})  # type: ignore[dict-item]
    assert meter.session(*GLUCOSE).highest_sequence == 3
    assert numbers(meter) == [1, 3]


def test_a_record_that_comes_after_the_answer_is_kept() -> None:
    meter = Told(answers={"0101": [drop(1), DONE, drop(2)], "0401": counts(2)})
    assert meter.session(*GLUCOSE).highest_sequence == 2
    assert numbers(meter) == [1, 2]


def test_a_context_that_was_lost_is_asked_for_once_more() -> None:
    with_context = drop_of(5, 1, has_context=True)
    meter = Told(answers={"0101": [with_context, DONE], "0103010500": [with_context, context_of(5, 2), DONE]})
    meter.session(*GLUCOSE)
    (record,) = meter.kept
    assert isinstance(record.measurement, Glucose)
    assert record.measurement.meal == "postprandial"


@pytest.mark.parametrize("then", [[DONE], [Disconnected()], [("2a52", "06000108")], []])
def test_a_record_whose_context_never_comes_is_kept_without(then: list[tuple[str, str] | Disconnected]) -> None:
    """Whatever the meter does when it is asked for it once more."""
    meter = Told(answers={"0101": [drop_of(5, 1, has_context=True), DONE], "0103010500": then})  # type: ignore[dict-item]
    meter.session(*GLUCOSE)
    assert [record.context_raw for record in meter.kept] == [None]


def test_a_link_that_is_lost_while_records_are_missing_fails_the_session() -> None:
    meter = Told(answers={"0101": [drop(1), drop(3), DONE], "0401": counts(3)})
    meter.answers["0103010100"] = [Disconnected()]  # type: ignore[list-item]
    with pytest.raises(LinkError, match="went away"):
        meter.session(*GLUCOSE)
    assert numbers(meter) == [1, 3]


def test_a_meter_that_is_known_to_count_from_its_newest_record_is_not_asked_to_count() -> None:
    meter = Told(answers={"0101": [drop(0), drop(3), DONE]})
    quirk = Quirk(id="counts-down", meter="one that counts down", source=("here",), are_numbers_reversed=True)
    meter.play(collect(frozenset(GLUCOSE), None, highest=None, quirk=quirk))
    assert everything_written(meter) == ["0101"]


def test_nothing_of_a_report_is_kept_before_a_record_has_vouched_for_its_numbers() -> None:
    """The newest comes first, and the numbers have begun anew: 2 is another record now."""
    meter = Told(answers={"0103010200": [drop_of(3, 23), drop_of(2, 22), DONE]}, kept=kept(1, 2))
    with pytest.raises(LinkError):
        meter.session(*GLUCOSE, highest_sequence=2)
    assert len(meter.kept) == 2
