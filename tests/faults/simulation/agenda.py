"""What happens when, and the diary of what did: the simulation's only clock and its only memory of the way.

Ties are broken by the order of writing, so that nothing depends on hashes or addresses. It decides nothing.
"""

import hashlib
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple


class Agenda:
    """Things to happen, by time in seconds since `start` (aware)."""

    def __init__(self, start: datetime) -> None:
        assert start.tzinfo is not None, start
        self.start = start
        self.now_s = 0.0
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    @property
    def now(self) -> datetime:
        return self.instant(self.now_s)

    def instant(self, at_s: float) -> datetime:
        return self.start + timedelta(seconds=at_s)

    def at(self, at_s: float, what: Callable[[], None]) -> None:
        """`what` happens at `at_s`, or now if that is past."""
        heapq.heappush(self._entries, (max(at_s, self.now_s), next(self._numbers), what))

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        self.at(self.now_s + delay_s, what)

    def run(self, until_s: float) -> None:
        """Let everything happen that is due before or at `until_s`; then it is `until_s`."""
        while self._entries and self._entries[0][0] <= until_s:
            self.now_s, _, what = heapq.heappop(self._entries)
            what()
        self.now_s = max(self.now_s, until_s)


class Entry(NamedTuple):
    """One line of the diary. `inflation` is the measurement concerned, if it is one."""

    at_s: float
    home: int | None
    inflation: int | None
    words: str


class Diary:
    """Everything that happened, to be told again for one reading or one home, and to be compared between two runs."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, at_s: float, words: str, *, home: int | None = None, inflation: int | None = None) -> None:
        self.entries.append(Entry(at_s, home, inflation, words))

    def trail(self, home: int | None, inflation: int | None = None) -> list[str]:
        """What concerns this measurement, and what befell its home as a whole."""
        chosen = [
            each
            for each in self.entries
            if (each.inflation == inflation and each.home == home) or (each.inflation is None and each.home == home)
        ]
        return [f"day {each.at_s / 86400:7.4f}: {each.words}" for each in chosen]

    @property
    def digest(self) -> str:
        """Equal for two runs in which the same things happened at the same times."""
        text = "\n".join(repr(tuple(each)) for each in self.entries)
        return hashlib.sha256(text.encode()).hexdigest()
