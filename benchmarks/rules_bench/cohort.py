"""The cohort of the benchmark: irregular home readings of people who do not exist, in four time zones.

About 1460 readings a patient-year, in sittings of one or two, some two a day, with gaps of one to four days and some of more than
seven. Speed depends on counts, gaps and on how often rules fire, and that is what is drawn (`people`); nothing is fitted to
real patients. Drawn a block of patients at a time, straight into the columns.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from benchmarks.rules_bench.people import ZONES, draw_crowd, draw_readings
from benchmarks.rules_bench.specs import DAY_S, HOUR_S, SITTING_GAP_S, Signal

START: Final = datetime(2025, 2, 1, tzinfo=UTC)
"""Within the next 90 days New York and Berlin go forward and Sydney goes back; within a year each changes twice."""

DAY_START_S: Final = 3 * HOUR_S
"""A clinical day is the local wall clock minus three hours, as a date."""

EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_BLOCK: Final = 128  # patients whose numbers stay in the caches while they are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Patients one after another, each one's readings by time; no two readings of a patient have the same second.

    Patient p has the rows `first[p]` to before `first[p + 1]`. Times are whole seconds since 1970, UTC. `day` and `sitting` are
    what the peers are given; ours computes its own from `at_s` and `zone`.
    """

    first: NDArray[np.int64]
    zone: NDArray[np.int8]
    """By patient: index in `ZONES`."""
    until_s: int
    """The end of everybody's history."""
    at_s: NDArray[np.int32]
    systolic: NDArray[np.int16]
    """mmHg, as is `diastolic`; `pulse` in beats a minute."""
    diastolic: NDArray[np.int16]
    pulse: NDArray[np.int16]
    glucose: NDArray[np.int16]
    """Tenths of a mmol/L."""
    day: NDArray[np.int32]
    """The clinical day, as `date.toordinal`."""
    sitting: NDArray[np.int64]
    """Runs of a patient's readings with gaps of at most ten minutes, numbered from 0 over all patients."""

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def patients(self) -> int:
        return len(self.zone)

    @property
    def patient(self) -> NDArray[np.int32]:
        """The patient of each row."""
        return np.repeat(np.arange(self.patients, dtype=np.int32), np.diff(self.first))

    def signal(self, name: Signal) -> NDArray[np.int16]:
        column: NDArray[np.int16] = getattr(self, name)
        return column

    def part(self, begin: int, end: int) -> Self:
        """The patients from `begin` to before `end`: views, nothing is copied but `first`."""
        rows = slice(int(self.first[begin]), int(self.first[end]))
        return type(self)(
            first=self.first[begin : end + 1] - self.first[begin],
            zone=self.zone[begin:end],
            until_s=self.until_s,
            **{name: getattr(self, name)[rows] for name in _COLUMNS},
        )


_COLUMNS: Final[dict[str, type[np.signedinteger[Any]]]] = {
    "at_s": np.int32,
    "systolic": np.int16,
    "diastolic": np.int16,
    "pulse": np.int16,
    "glucose": np.int16,
    "day": np.int32,
    "sitting": np.int64,
}


def cohort(patients: int, days: int, seed: int = 1) -> Cohort:
    """Draw a cohort, the same for the same arguments. Columns are filled in place; pages beyond the last row stay untouched."""
    assert patients > 0
    assert days > 0
    start_s = int(START.timestamp())
    crowd_seed, *block_seeds = np.random.SeedSequence(seed).spawn(1 - (-patients // _BLOCK))
    crowd = draw_crowd(np.random.default_rng(crowd_seed), patients, days)
    columns = {name: np.empty(crowd.readings_at_most, dtype) for name, dtype in _COLUMNS.items()}
    first = np.zeros(patients + 1, np.int64)
    calendar = Calendar(start_s, days)
    rows = sittings = 0
    for begin, block_seed in zip(range(0, patients, _BLOCK), block_seeds, strict=True):
        block = crowd.part(begin, begin + _BLOCK)
        drawn = draw_readings(np.random.default_rng(block_seed), block, days)
        here = slice(rows, rows + len(drawn.at_s))
        at_s = columns["at_s"][here]
        np.add(drawn.at_s, start_s, out=at_s)
        for name, column in drawn.values.items():
            columns[name][here] = column
        columns["day"][here] = calendar.clinical_days(at_s, block.zone[drawn.patient])
        sitting = columns["sitting"][here]
        sitting[:] = sittings + _sittings(at_s, drawn.patient)
        first[begin + 1 : begin + 1 + block.patients] = rows + np.cumsum(
            np.bincount(drawn.patient, minlength=block.patients)
        )
        rows, sittings = here.stop, int(sitting[-1]) + 1 if len(sitting) else sittings
    return Cohort(
        first=first,
        zone=crowd.zone,
        until_s=start_s + days * DAY_S,
        **{name: column[:rows] for name, column in columns.items()},
    )


class Calendar:
    """The offsets of all zones over the cohort's time, as a table: they change at a few instants only."""

    def __init__(self, start_s: int, days: int) -> None:
        zones = [ZoneInfo(name) for name in ZONES]
        hours = [datetime.fromtimestamp(start_s, UTC) + timedelta(hours=hour) for hour in range((days + 1) * 24)]
        offsets = np.array([[_offset_s(hour, zone) for hour in hours] for zone in zones], np.int32)
        changes = np.flatnonzero((np.diff(offsets) != 0).any(axis=0)) + 1
        self._changes_s = (start_s + changes * HOUR_S).astype(np.int32)
        self._offsets_s = offsets[:, np.concatenate(([0], changes))]

    def clinical_days(self, at_s: NDArray[np.int32], zone: NDArray[np.int8]) -> NDArray[np.int32]:
        """The clinical day of each instant in its zone, as an ordinal."""
        offset_s = self._offsets_s[zone, np.searchsorted(self._changes_s, at_s, side="right")]
        days: NDArray[np.int32] = (at_s + (offset_s - np.int32(DAY_START_S))) // np.int32(DAY_S)
        return days + np.int32(EPOCH_ORDINAL)


def _offset_s(instant: datetime, zone: ZoneInfo) -> int:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _sittings(at_s: NDArray[np.int32], patient: NDArray[np.int32]) -> NDArray[np.int64]:
    """Numbered from 0."""
    begins = np.ones(len(at_s), np.bool_)
    begins[1:] = (np.diff(at_s) > SITTING_GAP_S) | (np.diff(patient) != 0)
    return np.cumsum(begins) - 1
