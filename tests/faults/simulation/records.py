"""What the simulation itself knows: every measurement, every reading that an outbox kept, and where copies of it still are.

It is told what the product did (kept, settled, committed, judged) and what befell it, and never asks the product what is true.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from faults.simulation.agenda import Diary
from faults.simulation.meters import Inflation, SimMeter
from gateway.sessions.commands import MeterRecord
from vitals.reading import Reading


@dataclass(slots=True)
class File:
    """One outbox file as the model knows it: its rows by seq, and the frames set aside in it. `given_upto`: numbers up to this
    one were given in a life of the file that was undone."""

    rows: dict[int, str] = field(default_factory=dict)
    set_aside: set[bytes] = field(default_factory=set)
    given_upto: int = 0

    def copy(self) -> "File":
        return File(dict(self.rows), set(self.set_aside), self.given_upto)

    def set_back_to(self, image: "File") -> "File":
        """The image, with the memory of the numbers that were given since."""
        back = image.copy()
        back.given_upto = max(self.given_upto, *self.rows, 0)
        return back


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A reading as an outbox kept it at `at_s`. `clock_life`: which setting of the meter's clock it was read under. `is_first`:
    nothing came before it on its connection."""

    reading: Reading
    home: int
    inflation: int
    at_s: float
    clock_life: int
    is_first: bool


class Judging(NamedTuple):
    """One judging of a home's person, looking for news from `since` on, in a database to which `after` readings had come."""

    after: int
    since: datetime


@dataclass(slots=True)
class Books:
    """The clinic's database as the model knows it, and only what was committed: each reading with how many had come by then, and
    the judgings of each home in order."""

    committed: dict[str, int] = field(default_factory=dict)
    judgings: dict[int, list[Judging]] = field(default_factory=lambda: defaultdict(list))

    def copy(self) -> "Books":
        return Books(dict(self.committed), defaultdict(list, {home: [*each] for home, each in self.judgings.items()}))

    def commit(self, reading_ids: Iterable[str]) -> None:
        for reading_id in reading_ids:
            self.committed.setdefault(reading_id, len(self.committed) + 1)

    def have_judged(self, home: int, reading_id: str, measured_at: datetime) -> bool:
        """Whether anybody has looked for news from that reading on since it came. A look from a later time on, which a newer
        reading or a timer asks for, may come upon what follows from it, or may not."""
        judgings = self.judgings[home]
        first = bisect_left(judgings, self.committed[reading_id], key=lambda each: each.after)
        return any(each.since <= measured_at for each in judgings[first:])


class Records:
    """All of it, for all homes."""

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.inflations: list[Inflation] = []
        self.home_of: list[int] = []
        self.kept: dict[str, list[Kept]] = defaultdict(list)
        self.books = Books()
        self.lost: Counter[str] = Counter()
        self.given_again: set[str] = set()
        """Readings whose number another reading had before the outbox was set back."""

    def measured(self, home: int, inflation: Inflation, at_s: float) -> None:
        assert inflation.number == len(self.inflations), inflation
        self.inflations.append(inflation)
        self.home_of.append(home)
        words = f"measured {inflation.raw.hex()} with {inflation.meter_id}, clock setting {inflation.clock_life}"
        self.diary.note(at_s, words, home=home, inflation=inflation.number)

    def which(self, meter: SimMeter, record: MeterRecord | bytes) -> Inflation:
        """The measurement of a frame; of several with the same bytes, the first that has not met its fate yet."""
        raw = record if isinstance(record, bytes) else record.raw
        candidates = meter.by_raw[raw]
        assert candidates, f"{meter.meter_id} never measured {raw.hex()}"
        has_no_fate = (each for each in candidates if not (each.reading_ids or each.lost_by or each.set_aside))
        return next(has_no_fate, candidates[0])

    def keep(self, file: File, seq: int, inflation: Inflation, kept: Kept) -> None:
        """The outbox has said that the reading is durable as `seq`."""
        reading_id = str(kept.reading.reading_id)
        assert seq not in file.rows, f"seq {seq} was given twice"
        file.rows[seq] = reading_id
        if seq <= file.given_upto:
            self.given_again.add(reading_id)
        inflation.reading_ids.add(reading_id)
        self.kept[reading_id].append(kept)

    def settle(self, reading: Reading, at_s: float) -> None:
        """The outbox keeps another time for it from now on."""
        last = self.kept[str(reading.reading_id)][-1]
        self.kept[str(reading.reading_id)].append(replace(last, reading=reading, at_s=at_s))

    def audit(self, home: int, meters: Iterable[SimMeter], file: File | None, cause: str, at_s: float) -> None:
        """After something was destroyed: what has no copy left anywhere is lost by `cause`, honestly."""
        in_file = set() if file is None else set(file.rows.values())
        aside = set() if file is None else file.set_aside
        for meter in meters:
            memory = meter.memory()
            for each in meter.inflations:
                is_safe = (
                    each.lost_by is not None
                    or each.set_aside in aside
                    or not each.reading_ids.isdisjoint(self.books.committed)
                    or not each.reading_ids.isdisjoint(in_file)
                )
                is_somewhere = is_safe or memory[each.raw] > 0
                memory[each.raw] -= not is_safe
                if not is_somewhere:
                    each.lost_by = cause
                    self.lost[cause] += 1
                    self.diary.note(at_s, f"no copy is left: {cause}", home=home, inflation=each.number)
