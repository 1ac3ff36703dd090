"""What time it is, and who vouches for it."""

from datetime import datetime, timedelta

import pytest
from unit.gateway.samples import NOW, TestClock

from gateway.clock import DRIFT, LONGEST_ROUND_S, OUTLIVED_AT, RELEASED_AT, Answer, Clock, Time, Witness, tell

DAY = timedelta(days=1)
YEARS_1970 = timedelta(days=20_000)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize("off_by", [-DAY, DAY, -YEARS_1970, 14 * 365 * DAY, timedelta()])
def test_a_clock_that_nobody_keeps_is_not_believed_whatever_it_says(off_by: timedelta) -> None:
    assert tell(NOW + off_by, None, is_synchronised=False) == Time(now=NOW + off_by, witness=None)


@pytest.mark.parametrize("off_by", [-DAY, DAY, -YEARS_1970, 3650 * DAY])
def test_while_nobody_keeps_the_clock_the_time_is_the_servers(off_by: timedelta) -> None:
    assert tell(NOW + off_by, NOW, is_synchronised=False) == Time(now=NOW, witness=Witness.SERVER, differs_by=off_by)


def test_ntp_is_believed_before_the_server_and_the_difference_is_known() -> None:
    assert tell(NOW, NOW - DAY, is_synchronised=True) == Time(now=NOW, witness=Witness.NTP, differs_by=DAY)
    assert tell(NOW, None, is_synchronised=True) == Time(now=NOW, witness=Witness.NTP)


def test_no_time_before_this_build_was_made_is_believed_whatever_the_kernel_says() -> None:
    before = RELEASED_AT - MOMENT
    assert tell(before, None, is_synchronised=True).witness is None
    assert tell(RELEASED_AT, None, is_synchronised=True).witness is Witness.NTP
    assert tell(before, NOW, is_synchronised=True).now == NOW


def unkept(**said: object) -> TestClock:
    return TestClock(**({"wall": NOW - DAY, "synchronised": False} | said))  # type: ignore[arg-type]


def ask(clock: TestClock, at: datetime, *, round_s: float = 0.0) -> bool:
    """The server answers with `at`, half-way."""
    question = clock.clock.question()
    clock.tick(round_s)
    return clock.clock.learn(question, at)


def test_the_servers_time_goes_on_with_the_seconds_since_boot_and_not_with_the_wall_clock() -> None:
    clock = unkept()
    assert not clock.clock.is_believable()
    assert ask(clock, NOW)
    assert (clock.clock.now(), clock.clock.is_believable()) == (NOW, True)
    clock.tick(60)
    clock.wall += 400 * DAY
    assert clock.clock.now() == NOW + timedelta(seconds=60)


def test_an_answer_is_taken_to_have_been_given_half_way() -> None:
    clock = unkept()
    assert ask(clock, NOW, round_s=10.0)
    assert clock.clock.now() == NOW + timedelta(seconds=5)


@pytest.mark.parametrize(
    "question",
    [
        "boot-0 100.0",
        "boot-1 100.5",
        "boot-1 69.9",
        "boot-1 nan",
        "boot-1 -inf",
        "boot-1 1e999",
        "boot-1",
        "boot-1 x",
        " ",
    ],
)
def test_an_answer_to_no_question_of_the_last_half_minute_of_this_boot_is_not_heeded(question: str) -> None:
    clock = unkept()
    assert not clock.clock.learn(question, NOW)
    assert not clock.clock.is_believable()


def test_the_time_of_a_server_that_cannot_know_it_is_not_heeded() -> None:
    clock = unkept()
    assert not ask(clock, RELEASED_AT - MOMENT)
    assert not ask(clock, OUTLIVED_AT)
    assert not clock.clock.is_believable()
    assert not ask(clock, NOW, round_s=LONGEST_ROUND_S + 1)
    assert ask(clock, NOW, round_s=LONGEST_ROUND_S)


def test_the_quicker_answer_counts_until_it_is_so_old_that_a_new_one_is_surer() -> None:
    quick = Answer(at=NOW, asked_s=100.0, heard_s=100.1)
    slow = Answer(at=NOW + timedelta(seconds=101.1), asked_s=200.0, heard_s=202.0)
    assert quick.or_rather(slow) is quick
    surer_after_s = (slow.within_s(202.0) - quick.within_s(100.1)) / DRIFT
    late = timedelta(seconds=surer_after_s)
    later = Answer(at=slow.at + late, asked_s=200.0 + surer_after_s, heard_s=202.0 + surer_after_s)
    assert quick.or_rather(later) is later


def test_when_the_servers_clock_has_been_set_the_newer_answer_counts() -> None:
    clock = unkept()
    ask(clock, NOW + DAY, round_s=0.01)
    ask(clock, NOW, round_s=5.0)
    assert clock.clock.now() == NOW + timedelta(seconds=2.5)


def test_after_a_boot_nothing_is_left_of_what_the_server_told() -> None:
    clock = unkept()
    asked_before = clock.clock.question()
    booted = unkept(boot="boot-2", boot_s=101.0)
    assert not booted.clock.learn(asked_before, NOW)


def test_a_session_goes_on_as_it_began_when_the_time_becomes_known() -> None:
    clock = unkept()
    timeline = clock.clock.timeline(is_believed=clock.clock.is_believable())
    clock.tick(3)
    clock.wall = NOW
    ask(clock, NOW)
    assert (timeline.now(), timeline.is_believed) == (NOW - DAY + timedelta(seconds=3), False)


def test_the_boxs_own_clocks_can_be_read() -> None:
    clock = Clock()
    assert clock.now().tzinfo is not None
    assert clock.since_boot_s() <= clock.since_boot_s()
    assert len(clock.boot_id()) == 36
    assert clock.is_synchronised() in (True, False)
    assert clock.learn(clock.question(), NOW)
