"""How fast this machine's memory is in this minute: STREAM's copy and triad, and a sum, by one thread and by all.

The yardstick beside the engines' figures, taken in the same run, because a busy neighbour takes bandwidth too. Bytes are counted
as STREAM does: each array once for each time it is read or written.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

ARRAY_BYTES: Final = 320_000_000
"""Ten times a large last-level cache."""

_REPETITIONS: Final = 5
_GIGA: Final = 1e9

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """The best of some repetitions, in GB/s."""

    threads: int
    copy: float
    triad: float
    read: float


def measure(threads: int) -> Bandwidth:
    """Three arrays of `ARRAY_BYTES` are held while it runs."""
    a, b, c = (np.full(ARRAY_BYTES // 8, fill) for fill in (1.0, 2.0, 3.0))
    works: dict[str, tuple[Callable[..., Any], int]] = {"copy": (_copy, 2), "triad": (_triad, 3), "read": (_read, 1)}
    best = dict.fromkeys(works, 0.0)
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(1 + _REPETITIONS):  # the first compiles
            for name, (work, arrays) in works.items():
                shares = list(zip(*(np.array_split(array, threads) for array in (a, b, c)), strict=True))
                began_s = time.perf_counter()
                for each in [pool.submit(work, *share) for share in shares]:
                    each.result()
                took_s = time.perf_counter() - began_s
                best[name] = max(best[name], arrays * ARRAY_BYTES / took_s / _GIGA)
    return Bandwidth(threads=threads, **best)


@numba.njit(nogil=True, cache=True)
def _copy(a: Doubles, b: Doubles, c: Doubles) -> None:
    for i in range(len(a)):
        c[i] = a[i]


@numba.njit(nogil=True, cache=True)
def _triad(a: Doubles, b: Doubles, c: Doubles) -> None:
    for i in range(len(a)):
        a[i] = b[i] + 3.0 * c[i]


@numba.njit(nogil=True, fastmath=True, cache=True)
def _read(a: Doubles, b: Doubles, c: Doubles) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i]
    return total
