"""Which meter is read next, and which is left in peace."""

import pytest

from gateway.rota import AFTER_RECORDS_S, MAX_METERS, NEW_AFTER_S, SETTLE_S, STALE_S, STRANGE_AFTER, Rota
from vitals.gatt.link import Advertisement


def _from(nth: int) -> Advertisement:
    return Advertisement(address=f"F0:{nth:02X}", name=None, services=frozenset({"1810"}))


def test_a_meter_that_is_heard_is_read_at_once() -> None:
    rota = Rota()
    assert rota.next_due(0.0) is None
    rota.heard(_from(1), 0.0)
    assert rota.next_due(0.0) == _from(1)


def test_a_meter_is_read_by_one_worker_at_a_time() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    rota.heard(_from(1), 0.1)
    assert rota.next_due(0.1) is None


def test_the_meter_that_waits_longest_comes_first() -> None:
    rota = Rota()
    rota.heard(_from(2), 0.0)
    rota.heard(_from(1), 1.0)
    assert [rota.next_due(2.0), rota.next_due(2.0)] == [_from(2), _from(1)]


def test_an_old_advertisement_is_not_followed() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    assert rota.next_due(STALE_S + 0.1) is None
    rota.heard(_from(1), STALE_S + 1)
    assert rota.next_due(STALE_S + 1) == _from(1)


def test_a_meter_that_fell_silent_while_it_rested_is_not_followed_until_it_is_heard_again() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    rota.ended(_from(1).address, 0.0, failed=False, new_records=0)
    rota.heard(_from(1), 2.0)
    assert rota.next_due(5.0) is None
    rota.heard(_from(1), 7.0)
    assert rota.next_due(7.0) == _from(1)


def test_a_meter_that_failed_is_followed_though_it_was_heard_only_while_it_rested() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    for ended_s in (0.0, 2.0):
        rota.ended(_from(1).address, ended_s, failed=True, new_records=0)
        rota.heard(_from(1), ended_s + 1.5)
        assert rota.next_due(ended_s + 4.0) == _from(1)


def test_a_meter_that_is_heard_in_the_moment_after_its_session_is_not_followed() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    rota.ended(_from(1).address, 5.0, failed=False, new_records=1)
    rota.heard(_from(1), 5.0 + SETTLE_S / 2)
    assert rota.next_due(60.0) is None


def test_a_second_measurement_soon_after_the_first_is_read_soon() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    rota.ended(_from(1).address, 5.0, failed=False, new_records=1)
    later = 5.0 + max(SETTLE_S, AFTER_RECORDS_S)
    rota.heard(_from(1), later)
    assert rota.next_due(later) == _from(1)


def _sessions(rota: Rota, *, failed: bool, times: int) -> list[float]:
    """The pauses between sessions with a meter that advertises all the time."""
    now_s, pauses = 0.0, []
    rota.heard(_from(1), now_s)
    assert rota.next_due(now_s) is not None
    for _ in range(times):
        rota.ended(_from(1).address, now_s, failed=failed, new_records=0)
        began = now_s
        while True:
            now_s += 0.25
            rota.heard(_from(1), now_s)
            if rota.next_due(now_s) is not None:
                break
        pauses.append(now_s - began)
    return pauses


def test_a_meter_with_nothing_new_is_asked_less_and_less_often() -> None:
    assert _sessions(Rota(), failed=False, times=5) == [5.0, 10.0, 20.0, 30.0, 30.0]


def test_a_meter_that_fails_waits_longer_each_time_up_to_a_minute() -> None:
    assert _sessions(Rota(), failed=True, times=7) == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_success_forgives_the_failures_before() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    rota.ended(_from(1).address, 0.0, failed=True, new_records=0)
    assert rota.failures(_from(1).address) == 1
    rota.heard(_from(1), 3.0)
    rota.next_due(3.0)
    rota.ended(_from(1).address, 3.0, failed=False, new_records=2)
    assert rota.failures(_from(1).address) == 0


def test_a_worker_knows_when_to_look_again() -> None:
    rota = Rota()
    assert rota.wake_in_s(0.0) is None
    rota.heard(_from(1), 0.0)
    assert rota.wake_in_s(0.0) == 0.0
    rota.next_due(0.0)
    assert rota.wake_in_s(0.0) is None
    rota.ended(_from(1).address, 0.0, failed=True, new_records=0)
    rota.heard(_from(1), 1.5)
    assert rota.wake_in_s(1.5) == 0.5


def test_the_meters_followed_are_bounded_and_a_busy_one_is_not_forgotten() -> None:
    rota = Rota()
    rota.heard(_from(0), 0.0)
    assert rota.next_due(0.0) == _from(0)
    for nth in range(1, MAX_METERS + 20):
        rota.heard(_from(nth), float(nth))
    rota.ended(_from(0).address, 100.0, failed=False, new_records=0)
    assert len(rota._meters) == MAX_METERS


def test_a_meter_that_is_there_all_the_time_is_left_in_peace_as_long_as_it_wants() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    assert rota.next_due(0.0) is not None
    rota.ended(_from(1).address, 10.0, failed=False, new_records=5, wanted_rest_s=300.0)
    rota.heard(_from(1), 309.0)
    assert rota.next_due(309.0) is None
    rota.heard(_from(1), 310.0)
    assert rota.next_due(310.0) is not None


def test_a_rest_that_was_wanted_does_not_delay_what_has_failed() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    assert rota.next_due(0.0) is not None
    rota.ended(_from(1).address, 10.0, failed=True, new_records=0, wanted_rest_s=300.0)
    rota.heard(_from(1), 20.0)
    assert rota.next_due(20.0) is not None


def test_what_never_gives_anything_is_asked_every_quarter_of_an_hour_at_last() -> None:
    for failed in (True, False):
        pauses = _sessions(Rota(), failed=failed, times=12)
        assert pauses[STRANGE_AFTER - 1] >= 30.0
        assert pauses[-1] == 900.0


def test_a_meter_that_has_given_once_is_no_stranger_however_often_it_has_nothing() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    rota.ended(_from(1).address, 0.0, failed=False, new_records=1)
    now_s, pauses = 0.0, []
    for _ in range(12):
        began = now_s
        while True:
            now_s += 0.25
            rota.heard(_from(1), now_s)
            if rota.next_due(now_s) is not None:
                break
        pauses.append(now_s - began)
        rota.ended(_from(1).address, now_s, failed=False, new_records=0)
    assert max(pauses) == 30.0


def test_a_stranger_that_was_silent_and_is_heard_again_is_new() -> None:
    rota = Rota()
    now_s = sum(_sessions(rota, failed=True, times=10)) + 0.0
    rota.ended(_from(1).address, now_s, failed=True, new_records=0)
    rota.heard(_from(1), now_s + SETTLE_S + NEW_AFTER_S)
    assert rota.next_due(now_s + SETTLE_S + NEW_AFTER_S) == _from(1)


def test_all_workers_but_one_read_whom_nobody_knows_yet_where_there_is_a_friend() -> None:
    rota = Rota(friends=[_from(0xFF).address.upper()], workers=4)
    for nth in range(6):
        rota.heard(_from(nth), 0.0)
    assert [rota.next_due(1.0) for _ in range(4)] == [*map(_from, range(3)), None]
    rota.heard(_from(0xFF), 1.0)
    assert rota.next_due(1.0) == _from(0xFF)


def test_one_worker_alone_reads_strangers_too() -> None:
    rota = Rota(friends=[_from(0xFF).address.upper()], workers=1)
    rota.heard(_from(1), 0.0)
    assert rota.next_due(0.0) == _from(1)


def test_those_that_were_tried_in_vain_wait_for_each_other_and_for_everybody_else() -> None:
    rota = Rota(workers=3)
    for nth in (1, 2):
        rota.heard(_from(nth), 0.0)
        rota.next_due(0.0)
        rota.ended(_from(nth).address, 0.0, failed=True, new_records=0)
    for nth in (1, 2, 3):
        rota.heard(_from(nth), 10.0 + nth / 10)
    assert rota.next_due(11.0) == _from(3), "heard last, and never tried"
    assert rota.next_due(11.0) == _from(1)
    assert rota.next_due(11.0) is None, "one at a time"
    rota.heard(_from(4), 11.0)
    assert rota.next_due(11.0) == _from(4), "a worker is left for whoever comes"


def test_a_cuff_in_a_home_full_of_strangers_finds_a_worker_at_once() -> None:
    """Two workers, a dozen neighbours that take forty seconds to fail, and a cuff that advertises for five every few minutes."""
    rota, busy, waits = Rota(), dict[str, float](), []
    cuff, cuff_heard_s = _from(0xFF), 0.0
    for tick in range(4 * 3600):
        now_s = float(tick)
        for nth in range(12):
            rota.heard(_from(nth), now_s)
        if tick % 300 < 5:
            cuff_heard_s = now_s if tick % 300 == 0 else cuff_heard_s
            rota.heard(cuff, now_s)
        for address in [each for each, until_s in busy.items() if until_s <= now_s]:
            del busy[address]
            rota.ended(address, now_s, failed=address != cuff.address, new_records=address == cuff.address)
        while len(busy) < 2 and (due := rota.next_due(now_s)) is not None:
            busy[due.address] = now_s + (5.0 if due == cuff else 40.0)
            if due == cuff:
                waits.append(now_s - cuff_heard_s)
    assert len(waits) >= 4 * 12 - 3, "of 48 measurements, all but those of the first quarter of an hour"
    assert sorted(waits)[-4] <= 5.0


def _crowd_of_an_hour(rota: Rota, *, own: Advertisement, try_s: float) -> float | None:
    """How long our own meter, which advertises for half a minute, waits among 500 strangers a minute of whom none is heard twice;
    two workers, and each try of a stranger takes `try_s` and fails. None if it is not read."""
    busy: list[tuple[float, str]] = []
    for tick in range(500 * 30):
        now_s = 100.0 + tick * 0.12
        while busy and busy[0][0] <= now_s:
            rota.ended(busy.pop(0)[1], now_s, failed=True, new_records=0)
        rota.heard(Advertisement(address=f"stranger {tick}", name=None, services=frozenset({"1810"})), now_s)
        if 700.0 <= now_s < 730.0 and tick % 8 == 0:
            rota.heard(own, now_s)
        while len(busy) < 2 and (due := rota.next_due(now_s)) is not None:
            if due == own:
                return now_s - 700.0
            busy.append((now_s + try_s, due.address))
    return None


@pytest.mark.parametrize("try_s", [3.0, 45.0])
def test_a_known_meter_is_read_at_once_in_a_crowd_that_no_worker_could_get_through(try_s: float) -> None:
    waited_s = _crowd_of_an_hour(Rota(friends=[_from(1).address]), own=_from(1), try_s=try_s)
    assert waited_s is not None
    assert waited_s < 1.5


def test_a_new_meter_that_somebody_stands_beside_is_read_at_once_in_a_crowd() -> None:
    rota = Rota()
    rota.hurry(_from(1).address)
    waited_s = _crowd_of_an_hour(rota, own=_from(1), try_s=3.0)
    assert waited_s is not None
    assert waited_s <= 3.5


def test_a_known_meter_is_not_forgotten_for_a_crowd() -> None:
    rota = Rota()
    rota.heard(_from(1), 0.0)
    rota.next_due(0.0)
    rota.ended(_from(1).address, 1.0, failed=False, new_records=1)
    for nth in range(2, 2 * MAX_METERS):
        rota.heard(Advertisement(address=f"X{nth}", name=None, services=frozenset()), 2.0 + nth)
    rota.heard(Advertisement(address="X-last", name=None, services=frozenset()), 1000.0)
    rota.heard(_from(1), 1001.0)
    assert rota.next_due(1001.0) == _from(1)


def test_two_meters_that_never_end_leave_a_worker_to_the_others() -> None:
    rota = Rota()
    for nth in (1, 2):
        rota.heard(_from(nth), 0.0)
        rota.next_due(0.0)
        rota.ended(_from(nth).address, 300.0, failed=True, endless=True, new_records=500, fraction=0.0)
    now_s = 500.0
    rota.heard(_from(1), now_s)
    rota.heard(_from(2), now_s)
    assert rota.next_due(now_s) is not None
    assert rota.next_due(now_s) is None, "the other one must wait, whatever it has given"
    rota.heard(_from(3), now_s)
    assert rota.next_due(now_s) == _from(3)


def test_a_worker_does_not_wake_for_a_meter_that_must_wait_for_another() -> None:
    rota = Rota()
    for nth in (1, 2):
        rota.heard(_from(nth), 0.0)
        rota.next_due(0.0)
        rota.ended(_from(nth).address, 1.0, failed=True, new_records=0, fraction=0.0)
        rota.heard(_from(nth), 20.0)
    assert rota.next_due(20.0) is not None
    assert rota.next_due(20.0) is None
    assert rota.wake_in_s(20.0) is None, "it would turn in a circle for as long as the session lasts"
