"""`/api/v1/programme` and `/api/v1/silent-patients`: the figures of one's panel, or of the house, and who has fallen silent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from server.api import problems
from server.api.shapes import PatientOut, Shape
from server.people.door import SignedIn
from server.programme.figures import PUBLISHED_STAFF_ALERTS
from server.programme.report import CELL_MIN, DAYS_DEFAULT, DAYS_MAX, DEFINITIONS, cells, figures_for
from server.programme.shapes import Figures
from server.programme.silent import Silent, silent_patients

router: Final = APIRouter(prefix="/api/v1", tags=["programme"])


class Asked(BaseModel):
    """`of` the house is for an admin alone; numbers of patients from 1 to 4 are left out of it."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[int, Field(ge=30, le=DAYS_MAX)] = DAYS_DEFAULT
    of: Literal["panel", "house"] = "panel"


class CellOut(Shape):
    part: int | None
    whole: int | None
    share: float | None
    is_small: bool


class MonthOut(Shape):
    """Thirty days up to `until`."""

    until: datetime
    controlled: float | None
    adherence: float | None
    staff_alerts: float | None


class ProgrammeOut(Shape):
    """The figures, and what each means. Seconds are from the first message to a clinician to the acknowledging."""

    of: Literal["panel", "house"]
    begin: datetime
    end: datetime
    patients: int | None
    patient_days: int | None
    cells: Mapping[str, CellOut]
    unknown_occasions: int
    alerts: int
    staff_alerts: int
    staff_alerts_a_patient_day: float | None
    published_staff_alerts_a_patient_day: float
    unacknowledged: int
    acknowledge_median_s: float | None
    acknowledge_p90_s: float | None
    unrated: int
    follow_ups_closed: int
    follow_up_median_days: float | None
    zero_or_five: float | None
    digits_chi_square: float | None
    is_digits_unlikely: bool
    patients_flagged_by_digits: tuple[int, ...]
    months: tuple[MonthOut, ...]
    definitions: Mapping[str, Mapping[str, str]]

    @classmethod
    def of_figures(cls, figures: Figures, *, is_house: bool) -> Self:
        shown = cells(figures, is_house=is_house)
        is_few = is_house and figures.patients < CELL_MIN
        return cls(
            of="house" if is_house else "panel",
            begin=figures.begin,
            end=figures.end,
            patients=None if is_few else figures.patients,
            patient_days=None if is_few else figures.alerts.patient_days,
            cells={name: CellOut.model_validate(_plain(cell)) for name, cell in shown.items()},
            unknown_occasions=figures.unknown_occasions,
            alerts=figures.alerts.all,
            staff_alerts=figures.alerts.staff,
            staff_alerts_a_patient_day=figures.alerts.staff_a_patient_day,
            published_staff_alerts_a_patient_day=PUBLISHED_STAFF_ALERTS,
            unacknowledged=figures.alerts.staff - figures.alerts.acknowledged,
            acknowledge_median_s=figures.alerts.median_s,
            acknowledge_p90_s=figures.alerts.p90_s,
            unrated=figures.alerts.unrated,
            follow_ups_closed=figures.follow_ups.closed,
            follow_up_median_days=figures.follow_ups.median_days,
            zero_or_five=figures.digits.zero_or_five,
            digits_chi_square=figures.digits.chi_square,
            is_digits_unlikely=figures.digits.is_unlikely,
            patients_flagged_by_digits=() if is_house else figures.digits.flagged,
            months=() if is_few else tuple(MonthOut.model_validate(_plain(month)) for month in figures.months),
            definitions=DEFINITIONS,
        )


class SilentOut(Shape):
    """Somebody of whom nothing comes. `cause`: what is silent; `is_lost`: the patient, for longer than was planned for."""

    patient: PatientOut
    days: int
    state: str
    cause: Literal["patient", "meter", "line"]
    lost_after: int
    is_lost: bool
    follow_up_id: int | None

    @classmethod
    def of(cls, silent: Silent) -> Self:
        fields: dict[str, Any] = {name: getattr(silent, name) for name in cls.model_fields if name != "patient"}
        fields |= {
            "state": str(silent.state),
            "patient": PatientOut(patient_id=silent.patient_id, name=silent.name),
        }
        return cls.model_validate(fields)


class SilentPatientsOut(Shape):
    """The longest silent first."""

    patients: tuple[SilentOut, ...]


@router.get("/programme", responses=problems.FORBIDDEN)
def find_figures(caller: SignedIn, asked: Annotated[Asked, Query()]) -> ProgrammeOut:
    """The figures of the caller's panel; of the house for an admin."""
    return ProgrammeOut.of_figures(figures_for(caller, of=asked.of, days=asked.days), is_house=asked.of == "house")


@router.get("/silent-patients")
def list_silent_patients(caller: SignedIn) -> SilentPatientsOut:
    """Of the caller's panel, with what is silent: the patient, the meter or the line."""
    found = silent_patients(caller.house, caller.pool, caller.session, now=caller.now)
    return SilentPatientsOut(patients=tuple(SilentOut.of(each) for each in found))


def _plain(row: Any) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}
