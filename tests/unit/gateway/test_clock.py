"""When the box's clock can be believed."""

from datetime import timedelta

from unit.gateway.samples import NOW, TestClock

from gateway.clock import RELEASED_AT, Clock, is_believable


def test_no_time_before_this_build_was_made_is_believable_whatever_the_kernel_says() -> None:
    assert not is_believable(RELEASED_AT - timedelta(seconds=1), None, synchronised=True)
    assert is_believable(RELEASED_AT, None, synchronised=False)


def test_a_clock_behind_the_newest_kept_reading_is_not_believable() -> None:
    assert not is_believable(NOW, NOW + timedelta(hours=1), synchronised=False)
    assert is_believable(NOW, NOW, synchronised=False)


def test_a_clock_that_is_stepped_back_a_little_is_not_doubted() -> None:
    assert is_believable(NOW, NOW + timedelta(seconds=30), synchronised=False)


def test_a_synchronised_clock_outvotes_a_reading_from_the_future() -> None:
    assert is_believable(NOW, NOW + timedelta(days=400), synchronised=True)


def test_the_boxs_own_clocks_can_be_read() -> None:
    clock = Clock()
    assert clock.now().tzinfo is not None
    assert clock.since_boot_s() <= clock.since_boot_s()
    assert len(clock.boot_id()) == 36
    assert clock.is_synchronised() in (True, False)


def test_a_clock_in_1970_is_not_believed() -> None:
    assert not TestClock(wall=NOW - timedelta(days=20_000), synchronised=True).clock.is_believable(None)
