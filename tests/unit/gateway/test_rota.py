"""Which meter is read next, and which is left in peace."""

from gateway.rota import AFTER_RECORDS_S, MAX_METERS, SETTLE_S, STALE_S, Rota
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


def test_the_echo_of_a_disconnection_is_not_an_advertisement() -> None:
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
