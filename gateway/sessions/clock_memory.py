"""What is remembered of a meter's clock from one session to the next: how it was left, and whether it lets itself be set.

Two things cannot be seen in one session. A cuff that starts at 2021-01-01 with each power-off has stored records of three days
with nearly one time stamp, and each of them looks as if it were of just now. And a meter that takes the time and ignores it would
be written to at every visit, for ever.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct

JUMP_S: Final = 120.0
"""Two readings of one running clock differ by no more: a resolution of a minute, and a slow link."""
DRIFT: Final = 2e-4
"""Seconds by which two good clocks part with every second: a meter's crystal and ours, each off by 100 ppm at worst."""
LEFT_IN_PEACE_FOR: Final = timedelta(days=7)
"""A meter that has refused the time, or ignored it, is not written to again before, unless it has been reset (engineering choice:
asking at every visit teaches nothing, and another user may have changed its mind)."""


class ClockMemory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`wall` is what the meter's clock showed at our instant `at`, as it was left; None if it was never read together with one of
    ours that could be believed. `is_pending`: it was set before the meter's stored records had come, and some may not have come
    yet. `unwilling_at`: when it last refused the time, or ignored it, and `care` how.
    """

    wall: Annotated[datetime, Meta(tz=False)] | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None
    is_pending: bool = False
    care: str | None = None
    unwilling_at: Annotated[datetime, Meta(tz=True)] | None = None

    def has_jumped(self, wall: datetime, at: datetime) -> bool:
        """Whether a clock that shows `wall` at `at` is on another time line than it was left on."""
        if self.wall is None or self.at is None:
            return False
        elapsed_s = (at - self.at).total_seconds()
        apart_s = abs((wall - self.wall).total_seconds() - elapsed_s)
        return self.is_pending or apart_s > JUMP_S + DRIFT * abs(elapsed_s)

    def is_left_in_peace(self, at: datetime) -> bool:
        """Whether it is too early to try to set the clock again."""
        return self.unwilling_at is not None and timedelta(0) <= at - self.unwilling_at < LEFT_IN_PEACE_FOR
