"""Record Access with meters that refuse, fall silent, forget who listens, or are busy: nothing is lost."""

import pytest
from unit.gateway.scripted_meter import Told

from gateway.sessions.record_access import NEARLY_ALL_NUMBERS
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
