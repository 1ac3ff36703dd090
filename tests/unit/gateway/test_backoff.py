"""How long is waited before the next try."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.backoff import Backoff

BACKOFF = Backoff(first_s=0.5, longest_s=30.0)


def test_no_failure_no_wait() -> None:
    assert BACKOFF.delay_s(0) == 0.0


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    assert [BACKOFF.delay_s(n) for n in range(1, 9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_any_wait_is_between_half_and_the_whole_and_bounded(failures: int, fraction: float) -> None:
    whole = BACKOFF.delay_s(failures)
    assert whole / 2 <= BACKOFF.delay_s(failures, fraction) <= whole <= 30.0
