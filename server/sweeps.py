"""A sweep on all cores: threads over ranges of patients, because the kernels do not hold the interpreter's lock.

It adds to `rules.sweep` the threads that a pure room must not have, nothing else. What happens to the stretches is the caller's.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

from server.rules.sweep import Cohort, stretches
from server.rules.sweep_plan import Plan
from server.rules.trend_kernels import Int64s

RANGE_PATIENTS: Final = 256
"""Some ten milliseconds of work for twenty rules and a year: short to cancel, long beside a thread's switch."""

_AHEAD: Final = 3
"""Ranges that each thread may be ahead of the caller."""

T = TypeVar("T")


def sweep(
    cohort: Cohort,
    plan: Plan,
    *,
    threads: int,
    take: Callable[[Iterator[Int64s]], T],
    range_patients: int = RANGE_PATIENTS,
) -> Iterator[tuple[int, T]]:
    """Judge everybody; (patients judged so far, what `take` made of the newest range's stretches), in the order of patients.

    `take` is called in the threads, once a range, with its tables (see `rules.sweep.stretches`). Closing the iterator cancels
    what has not begun.
    """

    def judge(begin: int) -> T:
        return take(stretches(cohort, plan, begin, min(begin + range_patients, cohort.patients)))

    begins = iter(range(0, cohort.patients, range_patients))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="sweep")
    try:
        waiting: deque[Future[T]] = deque(pool.submit(judge, begin) for begin in islice(begins, _AHEAD * threads))
        judged = 0
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(judge, begin) for begin in islice(begins, 1))
            judged = min(judged + range_patients, cohort.patients)
            yield judged, result
    finally:
        pool.shutdown(cancel_futures=True)
