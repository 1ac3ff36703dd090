"""Research exports: the records of those who have agreed, under other names and with other dates.

PIPL, articles 13, 23, 29 and 73: it is asked for by itself, and what is left is not anonymous but de-identified: who holds the
project's key finds the way back. So two people let a project begin, each export is on record with its digest, and whoever takes
consent back is not in the next one and is named (by the project's name for them) to be deleted from the last.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from server.people import crowds, research_papers, research_tables
from server.people.crowds import Crowd, Traits
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.pseudonyms import KEY_BYTES, Pseudonyms, age_band
from server.store import audit
from server.store import research as store
from server.store.postgres import Connection
from server.store.research import Given, ListedProject, Project, Subject
from vitals.errors import MalformedError

ROLES: Final = ("doctor", "admin")
"""Who may want a project, let it begin, and take from it."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_PURPOSE_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks, in what role, and when."""

    user_id: int
    role: str
    now: datetime

    @property
    def name(self) -> str:
        return f"user:{self.user_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was written. `gone`: names of whom the project was given earlier and has to delete."""

    export_id: int
    patients: int
    readings: int
    alerts: int
    crowd: Crowd
    hidden_conditions: int
    gone: int
    digest: str


def ask(conn: Connection, actor: Actor, *, name: str, purpose: str) -> None:
    """A new project, which has nothing yet. Raises `MalformedError`, `DecisionConflictError` (the name is taken)."""
    _check(actor)
    if not _NAME.fullmatch(name):
        raise MalformedError("name", "1 to 40 small letters, digits and hyphens, such as morning-surge-2026")
    if not purpose.strip() or len(purpose) > _PURPOSE_MAX:
        raise MalformedError("purpose", f"say what is to be found out, in at most {_PURPOSE_MAX} characters")
    key = secrets.token_bytes(KEY_BYTES)
    is_taken = store.find_project(conn, name) is not None
    if is_taken or not store.add_project(
        conn, name=name, purpose=purpose.strip(), key=key, by=actor.user_id, now=actor.now
    ):
        raise DecisionConflictError("there already: choose another name", what="project")
    _note(conn, actor, "research.ask", name)


def approve(conn: Connection, actor: Actor, name: str) -> None:
    """A second person lets it begin. Raises `NotOnPanelError`, `MalformedError`, `DecisionConflictError`."""
    _check(actor)
    project = _find(conn, name)
    if project.approved_by is not None:
        raise DecisionConflictError("approved already", what="project")
    if project.asked_by == actor.user_id:
        raise MalformedError("by", "somebody other than who asked for it")
    store.approve(conn, project.project_id, by=actor.user_id, now=actor.now)
    _note(conn, actor, "research.approve", name)


def end(conn: Connection, actor: Actor, name: str) -> None:
    """Its key is destroyed: nobody can say any more who was who, and nothing can be taken from it."""
    _check(actor)
    project = _find(conn, name)
    store.end(conn, project.project_id, by=actor.user_id, now=actor.now)
    _note(conn, actor, "research.end", name)


def projects(conn: Connection) -> Sequence[ListedProject]:
    return store.list_projects(conn)


def gone(conn: Connection, name: str) -> Sequence[str]:
    """By the project's names: whom it was given, and has to delete, because they took it back or were erased."""
    project = _find(conn, name)
    names = Pseudonyms(store.key_of(conn, project))
    return sorted(names.patient(each) for each in store.list_gone(conn, project.project_id))


def export(conn: Connection, actor: Actor, name: str, folder: Path, *, at_least: int = crowds.AT_LEAST) -> Made:
    """Write the files into `folder`, which is new. They may be given out once the transaction has been committed.

    Raises `NotOnPanelError` (no such project), `MalformedError` (not approved; too few patients), `DecisionConflictError`
    (somebody took it back meanwhile: ask again), `UnavailableError` where Parquet is not installed.
    """
    _check(actor)
    project = _find(conn, name)
    if project.approved_by is None:
        raise MalformedError("name", f"a project that is approved: `server research approve {name}` by a second person")
    if at_least < crowds.AT_LEAST:
        raise MalformedError("at_least", f"{crowds.AT_LEAST} or more")
    subjects = store.list_subjects(conn)
    crowd = crowds.hide({each.patient_id: _traits(each) for each in subjects}, at_least=at_least)
    chosen = [each for each in subjects if each.patient_id in crowd.told]
    if not chosen:
        raise MalformedError("name", f"at least {at_least} patients who have agreed to research")
    names = Pseudonyms(store.key_of(conn, project))
    shown = crowds.common((crowds.categories(each.conditions) for each in chosen), at_least=at_least)
    every = {category for each in chosen for category in crowds.categories(each.conditions)}
    cohort = research_tables.Cohort(names=names, subjects=chosen, told=crowd.told, conditions=shown, now=actor.now)
    counts = research_tables.write(conn, cohort, folder)
    to_delete = [names.patient(each) for each in store.list_gone(conn, project.project_id)]
    if store.no_longer(conn, [each.patient_id for each in chosen]):
        raise DecisionConflictError(
            "not any more what it was, somebody took theirs back meanwhile: export again", what="consent"
        )
    facts = {"patients": len(chosen), **counts}
    hidden = {
        "at_least": at_least,
        "zone_not_told": crowd.without_zone,
        "age_band_not_told": crowd.without_age,
        "sex_not_told": crowd.without_sex,
        "left_out": _few(crowd.left_out, at_least),
        "conditions_not_told": len(every - shown),
    }
    digest = research_papers.write(folder, project, facts, hidden, to_delete, now=actor.now)
    given = Given(
        patient_ids=[each.patient_id for each in chosen],
        digest=digest,
        readings=counts["readings"],
        alerts=counts["alerts"],
    )
    export_id = store.note_export(conn, project.project_id, given, by=actor.user_id, now=actor.now)
    _note(conn, actor, "research.export", name, export_id=export_id, digest=digest.hex(), **facts)
    return Made(
        export_id=export_id,
        crowd=crowd,
        hidden_conditions=len(every - shown),
        gone=len(to_delete),
        digest=digest.hex(),
        **facts,
    )


def _check(actor: Actor) -> None:
    if actor.role not in ROLES:
        raise MalformedError("by", "the login of a doctor or an admin")


def _find(conn: Connection, name: str) -> Project:
    project = store.find_project(conn, name)
    if project is None:
        raise NotOnPanelError(f"there is no project {name!r}; `server research list` shows them")
    if project.ended_at is not None:
        raise MalformedError("name", f"a project that has not ended; {name} ended on {project.ended_at.date()}")
    return project


def _note(conn: Connection, actor: Actor, act: str, name: str, **detail: object) -> None:
    audit.note(conn, actor=actor.name, act=act, at=actor.now, subject=name, detail=detail)


def _traits(subject: Subject) -> Traits:
    return Traits(sex=subject.sex, age_band=age_band(subject.birth_date, subject.enrolled_on), zone=subject.zone)


def _few(n: int, at_least: int) -> int | str:
    return n if n == 0 else f"fewer than {at_least}"
