"""The figures of a programme, as they are shown; how each is counted is in `figures`."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`part` of `whole`."""

    part: int
    whole: int

    @property
    def share(self) -> float | None:
        return self.part / self.whole if self.whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Of `enrolled` (long enough), those of whom there is a mean (`known`), how many are below each line, and who is missing."""

    enrolled: int
    known: int
    by_fallback: int
    below_home_line: int
    below_document_line: int

    @property
    def missing(self) -> int:
        return self.enrolled - self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """`staff`: of which a clinician was told. Times run from the first message to a clinician to the acknowledging."""

    all: int
    staff: int
    patient_days: int
    acknowledged: int
    median_s: float | None
    p90_s: float | None
    critical: Share
    useful: Share
    unrated: int

    @property
    def staff_a_patient_day(self) -> float | None:
        return self.staff / self.patient_days if self.patient_days else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUps:
    """Tasks opened in the time: how many were closed, how many of those after the patient was spoken with, in how many days."""

    opened: int
    closed: int
    spoken: int
    median_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Last digits of systolic and diastolic pressures. `chi_square` has nine degrees of freedom; `flagged` are patients whose 0
    and 5 are more than chance: numbers that somebody typed, rounded or guessed."""

    values: int
    zero_or_five: float | None
    chi_square: float | None
    is_unlikely: bool
    flagged: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysOfData:
    """Patients by their days with an automatic reading in the last thirty."""

    less: int
    more: int
    none: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """Thirty days of the trend, up to `until`."""

    until: datetime
    controlled: float | None
    adherence: float | None
    staff_alerts: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All of them, of the patients and the time asked for."""

    begin: datetime
    end: datetime
    patients: int
    control: Control
    adherence: Share
    unknown_occasions: int
    alerts: Alerts
    follow_ups: FollowUps
    digits: Digits
    days_of_data: DaysOfData
    months: tuple[Month, ...]
