"""The programme's figures as they leave the house: of a panel in full, of the whole house without cells so small that they show
somebody. Beside each figure stands what it means, in both languages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from server.people.door import Caller
from server.people.errors import NotAClinicianError
from server.programme.figures import LOOKED_BACK_DAYS, count
from server.programme.shapes import Figures, Share
from server.rules.load import read_yaml
from server.store.postgres import Connection, transaction
from server.store.programme import load_ground

CELL_MIN: Final = 5
"""A number of patients from 1 to 4 is not shown of the house, nor the share that it is part of. A usual bound of official
statistics; engineering choice here."""

DAYS_DEFAULT, DAYS_MAX = 90, 366

DEFINITIONS: Final[Mapping[str, Mapping[str, str]]] = read_yaml(Path(__file__).parent / "definitions.yaml")
"""What each figure means, by its name and by language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure as it is shown: `part` of `whole`, and the `share`. `is_small`: left out, because it would show somebody."""

    part: int | None
    whole: int | None
    share: float | None
    is_small: bool = False


def figures_of(conn: Connection, *, user_id: int | None, days: int, now: datetime) -> Figures:
    """The figures of the last `days` days of a user's panel, or of the house (`None`)."""
    begin = now - timedelta(days=days)
    ground = load_ground(conn, user_id=user_id, since=begin - timedelta(days=LOOKED_BACK_DAYS + 1), until=now)
    return count(ground, begin=begin, end=now)


def figures_for(caller: Caller, *, of: Literal["panel", "house"], days: int) -> Figures:
    """Raises `NotAClinicianError` for somebody who asks for the house and does not run it.

    The house's are counted by the house itself, for an admin sees no patient; what leaves it are counts without small cells.
    """
    if of == "panel":
        with transaction(caller.pool) as conn:
            return figures_of(conn, user_id=caller.user_id, days=days, now=caller.now)
    if caller.session.role != "admin":
        raise NotAClinicianError("only an admin sees the figures of the house; yours are those of the panel")
    with transaction(caller.clinic.pool) as conn:
        return figures_of(conn, user_id=None, days=days, now=caller.now)


def cells(figures: Figures, *, is_house: bool) -> Mapping[str, Cell]:
    """The shares, by the names of `DEFINITIONS`; those that are of patients without small cells where they are of the house."""
    control, people = figures.control, dict[str, Share]()
    people["control"] = Share(part=control.below_home_line, whole=control.known)
    people["control_document"] = Share(part=control.below_document_line, whole=control.known)
    people["control_missing"] = Share(part=control.missing, whole=control.enrolled)
    people["days_of_data_less"] = Share(part=figures.days_of_data.less, whole=figures.patients)
    people["days_of_data_more"] = Share(part=figures.days_of_data.more, whole=figures.patients)
    people["digits_flagged"] = Share(part=len(figures.digits.flagged), whole=figures.patients)
    deeds = {
        "adherence": figures.adherence,
        "critical": figures.alerts.critical,
        "useful": figures.alerts.useful,
        "follow_ups": Share(part=figures.follow_ups.spoken, whole=figures.follow_ups.opened),
    }
    return {name: _cell(share, is_house=is_house) for name, share in people.items()} | {
        name: _cell(share, is_house=is_house and figures.patients < CELL_MIN) for name, share in deeds.items()
    }


def _cell(share: Share, *, is_house: bool) -> Cell:
    """A number of patients that is small, or whose complement is, is left out of the house's."""
    is_small = is_house and any(0 < each < CELL_MIN for each in (share.part, share.whole - share.part))
    if is_small:
        return Cell(part=None, whole=share.whole if share.whole >= CELL_MIN else None, share=None, is_small=True)
    return Cell(part=share.part, whole=share.whole, share=share.share)
