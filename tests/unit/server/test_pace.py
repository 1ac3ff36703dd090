"""The pace of a gateway: honest ones are never kept waiting for long, and a flood never gets more than its share."""

from hypothesis import given
from hypothesis import strategies as st

from server.pace import GATEWAYS_MAX, PATIENCE, SPEED, STATUSES, VOLUME, Bucket, Limit, Pace, cost_of

LIMIT = Limit(per_s=2.0, burst=10.0)
MESSAGE = b'{"seq":1}'

amounts = st.floats(0.1, 30.0)
pauses = st.floats(0.0, 20.0)


def message(readings: int) -> bytes:
    return b",".join(b'{"seq":%d}' % seq for seq in range(readings))


@given(st.lists(st.tuples(pauses, amounts), max_size=60))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(asked: list[tuple[float, float]]) -> None:
    now_s, given_away = 100.0, 0.0
    bucket = Bucket(LIMIT, now_s)
    for pause_s, amount in asked:
        now_s += pause_s
        if bucket.take_if(amount, now_s):
            given_away += min(amount, LIMIT.burst)
        assert given_away <= LIMIT.burst + (now_s - 100.0) * LIMIT.per_s + 1e-6


@given(st.lists(amounts, max_size=60))
def test_who_stays_within_the_rate_is_never_refused(asked: list[float]) -> None:
    now_s = 0.0
    bucket = Bucket(LIMIT, now_s)
    for amount in asked:
        small = min(amount, LIMIT.burst)
        assert bucket.take_if(small, now_s)
        now_s += small / LIMIT.per_s + 1e-6


@given(st.lists(amounts, max_size=40), amounts)
def test_a_bucket_is_full_again_after_a_pause(asked: list[float], last: float) -> None:
    bucket = Bucket(LIMIT, 0.0)
    for amount in asked:
        bucket.take_if(amount, 0.0)
    assert bucket.take_if(last, LIMIT.burst / LIMIT.per_s)


@given(st.integers(1, 100), st.integers(0, 40_000))
def test_a_message_costs_its_readings_and_junk_its_size(readings: int, junk: int) -> None:
    assert cost_of(message(readings)) == max(readings, -(-len(message(readings)) // 1024))
    assert cost_of(b"x" * junk) == max(1, -(-junk // 1024))


def test_a_whole_outbox_of_a_gateway_that_was_long_away_is_taken_in_within_seventeen_minutes() -> None:
    """As the uplink does: 50 rows on their way, the next at once after the receipt, the same after 3 s without one."""
    pace, now_s, left = Pace(), 0.0, 50_000
    while left:
        if pace.admits("gw", message(50), now_s):
            left -= 50
            now_s += 0.02
        else:
            now_s += 3.0
    assert now_s <= 17 * 60
    assert not any(each.is_flood for each in pace.excess().values())


def test_a_flood_gets_its_share_is_counted_and_said_to_be_one() -> None:
    pace, taken = Pace(), 0
    for nth in range(60_000):
        taken += pace.admits("gw", MESSAGE, nth / 1000)  # a thousand a second for a minute
    assert SPEED.burst + 59 * SPEED.per_s <= taken <= SPEED.burst + 61 * SPEED.per_s
    (excess,) = pace.excess().values()
    assert (excess.messages, excess.is_flood) == (60_000 - taken, True)


def test_who_never_stops_uses_up_the_volume_and_is_a_flood_though_slow() -> None:
    pace, now_s, taken = Pace(), 0.0, 0
    while not pace.excess():
        taken += 40 * pace.admits("gw", message(40), now_s)
        now_s += 1.0
    assert VOLUME.burst <= taken <= VOLUME.burst * 40 / 39 + 40
    assert pace.excess()["gw"].is_flood
    assert now_s > 20 * 60


def test_one_gateways_flood_takes_nothing_from_another() -> None:
    pace = Pace()
    for nth in range(5_000):
        pace.admits("flood", MESSAGE, nth / 1000)
        if nth % 1000 == 0:
            assert pace.admits("home", MESSAGE, nth / 1000)
    assert set(pace.excess()) == {"flood"}


def test_after_a_pause_a_gateway_that_flooded_is_taken_in_as_any_other() -> None:
    pace = Pace()
    for _ in range(5_000):
        pace.admits("gw", MESSAGE, 0.0)
    assert not pace.admits("gw", MESSAGE, 0.0)
    assert all(pace.admits("gw", MESSAGE, 11.0) for _ in range(int(SPEED.burst)))


def test_what_is_turned_away_is_counted_until_it_is_settled() -> None:
    pace = Pace()
    for _ in range(int(SPEED.burst) + 3):
        pace.admits("gw", MESSAGE, 0.0)
    noted = pace.excess()
    assert (noted["gw"].messages, noted["gw"].is_flood) == (3, False)
    pace.admits("gw", MESSAGE, 0.0)
    pace.settle(noted)
    assert pace.excess()["gw"].messages == 1
    for _ in range(int(PATIENCE.burst)):
        pace.admits("gw", MESSAGE, 0.0)
    pace.settle(noted := pace.excess())
    assert noted["gw"].is_flood
    assert pace.excess() == {}


def test_statuses_have_a_pace_of_their_own() -> None:
    pace = Pace()
    assert sum(pace.admits_status("gw", 0.0) for _ in range(1_000)) == STATUSES.burst
    assert pace.admits("gw", MESSAGE, 0.0)
    assert pace.admits_status("gw", 60.0)


def test_gateways_without_number_are_not_all_remembered() -> None:
    pace = Pace()
    for nth in range(GATEWAYS_MAX + 10):
        pace.admits(f"gw-{nth}", MESSAGE, 0.0)
    assert len(pace._gaits) == GATEWAYS_MAX
