"""How resources are searched for: the parameters, which readings may hold a code, and pages that never lose or repeat one."""

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final, TypeVar
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from server.api.paging import Cursor
from server.fhir import dates
from server.fhir.codes import Resource
from server.store.fhir import RecordedReading, Span
from server.store.follow_ups import FollowUp
from server.store.worklist import Alert, Place
from vitals.errors import MalformedError
from vitals.reading import KINDS

COUNT_MAX: Final = 200

KINDS_BY_CODE: Final[dict[str, tuple[str, ...]]] = {
    "85354-9": ("blood_pressure",),
    "150020": ("blood_pressure",),
    "41653-7": ("glucose",),
    "14743-9": ("glucose",),
    "99504-3": ("sensor_glucose",),
    "105272-9": ("sensor_glucose",),
    "29463-7": ("weight",),
    "59408-5": ("oxygen_saturation",),
    "2708-6": ("oxygen_saturation",),
    "8310-5": ("temperature",),
    "8867-4": ("blood_pressure", "oxygen_saturation", "heart_rate"),
}
"""In which readings a code can be found, for those that are asked for most; any other may be in all."""

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:/|,-]{1,400}$")]
When = Annotated[str, Field(max_length=64)]


class Search(BaseModel):
    """What every search takes. One patient's: who wants everybody's asks for a bulk export."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    patient: Annotated[str, Field(pattern=r"^(Patient/)?[1-9][0-9]{0,17}$")]
    code: Code | None = None
    date: Annotated[list[When], Field(max_length=4)] = []
    last_updated: Annotated[list[When], Field(alias="_lastUpdated", max_length=4)] = []
    count: Annotated[int, Field(alias="_count", ge=1, le=COUNT_MAX)] = 50
    cursor: Cursor | None = None

    @property
    def patient_id(self) -> int:
        return int(self.patient.rpartition("/")[2])

    @property
    def measured(self) -> Span:
        """Raises `MalformedError` (`date`), as does `changed`."""
        return dates.span(self.date)

    @property
    def changed(self) -> Span:
        return dates.span(self.last_updated)

    @property
    def after(self) -> Place | None:
        """Where the last page ended. Raises `MalformedError` (`cursor`)."""
        return None if self.cursor is None else _decode(self.cursor)[0]

    @property
    def skip(self) -> int:
        """How many resources of the row that comes next have been shown already."""
        return 0 if self.cursor is None else _decode(self.cursor)[1]


Work = Alert | FollowUp
RowT = TypeVar("RowT", RecordedReading, Alert, Work)

CALLS: Final = UUID("0b6f4a1c-6f53-5b5e-9b8e-2f6a2b1d7c90")
"""A call has a number; among alerts it stands by a UUID made of it."""


def page_of(
    search: Search, read: Callable[[int], Sequence[RowT]], build: Callable[[RowT], list[Resource]]
) -> tuple[list[Resource], str | None]:
    """Up to `_count` resources and where the next page begins. One row may be several resources, and end a page in its midst."""
    rows = read(search.count + 1)
    shown: list[Resource] = []
    ended, skip = search.after, search.skip
    for row in rows:
        built = build(row)[skip:]
        room = search.count - len(shown)
        shown += built[:room]
        if len(built) > room:
            return shown, _encode(ended, skip + room)
        ended, skip = place_of(row), 0
    return shown, _encode(ended, 0) if len(rows) > search.count else None


def kinds_of(code: str | None) -> Sequence[str]:
    """The kinds of readings in which one of these codes may be."""
    if code is None:
        return tuple(KINDS)
    kinds: set[str] = set()
    for each in code.split(","):
        kinds |= set(KINDS_BY_CODE.get(each.rpartition("|")[2], KINDS))
    return tuple(kinds)


def says_code(resource: Resource, code: str | None) -> bool:
    """Whether a resource is of one of these codes: `code`, or `system|code`."""
    if code is None:
        return True
    said = {(each["system"], each["code"]) for each in resource["code"]["coding"]}
    for each in code.split(","):
        system, _, wanted = each.rpartition("|")
        if any(wanted == own and system in ("", of) for of, own in said):
            return True
    return False


def place_of(row: RecordedReading | Work) -> Place:
    """Where a row stands among its like."""
    if isinstance(row, RecordedReading):
        return Place(at=row.measured_at, row_id=row.reading_id)
    if isinstance(row, FollowUp):
        return Place(at=row.opened_at, row_id=uuid5(CALLS, str(row.follow_up_id)))
    return Place(at=row.opened_at, row_id=row.episode_id)


def _encode(place: Place | None, skip: int) -> str:
    at = f"{place.at.isoformat()}|{place.row_id}" if place else "|"
    return base64.urlsafe_b64encode(f"{at}|{skip}".encode()).decode()


def _decode(cursor: str) -> tuple[Place | None, int]:
    try:
        at, row_id, skip = base64.urlsafe_b64decode(cursor).decode().split("|")
        place = Place(at=datetime.fromisoformat(at), row_id=UUID(row_id)) if at else None
        if (place is not None and place.at.tzinfo is None) or not 0 <= int(skip) < COUNT_MAX:
            raise ValueError("a place has an offset and a bound")
    except ValueError as e:
        raise MalformedError("cursor", "the cursor is none that was given out; begin without one") from e
    return place, int(skip)
