"""What only a sweep asks of the time between two readings: was a hit repeated soon, was nothing measured for long? numba, pure.

In the form of `trend_kernels`: stretches are written to the first rows of `found`. A live judging looks at repeats in
`confirmation` and at silence in `absences`, one patient's at a time.
"""

from server.rules.compiling import inner
from server.rules.trend_kernels import BEGAN, ENDED, LAST, Flags, Int64s, note


@inner
def repeated(at: Int64s, hits: Flags, start: int, within: int, found: Int64s) -> int:
    """Where a hit is the repeat of another: the reading before it was one too, at most `within` earlier."""
    m = 0
    holds = False
    for i in range(max(start, 1), len(at)):
        is_met = hits[i] == 1 and hits[i - 1] == 1 and at[i] - at[i - 1] <= within
        if is_met or holds:
            m = note(found, m, i, holds, is_met)
            holds = is_met
    return m


@inner
def silent(at: Int64s, width: int, now: int, found: Int64s) -> int:
    """Where nothing follows a reading for `width`: it holds from that instant on, though no row says so.

    BEGAN and LAST: the reading after which nothing came. ENDED: the next one, or -1 if there is none until `now`.
    """
    m, n = 0, len(at)
    for i in range(n - 1):
        if at[i + 1] - at[i] > width:
            found[m, BEGAN], found[m, LAST], found[m, ENDED] = i, i, i + 1
            m += 1
    if n and now - at[n - 1] > width:
        found[m, BEGAN], found[m, LAST], found[m, ENDED] = n - 1, n - 1, -1
        m += 1
    return m
