"""What was agreed with a patient, in versions, and what the house made of each occasion. It decides nothing.

Every function runs inside the caller's transaction. Statements are in `sql/plans.sql`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from server.rules.keeping import Instants
from server.rules.plans import MEASURED_KINDS, Plan, read_plan
from server.rules.windows import ZoneSpan, to_us
from server.store import notes
from server.store.postgres import Connection, load_sql

_SQL: Final = load_sql("plans")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanVersion:
    """One version of what was agreed. `set_by` is the name of who did."""

    version: int
    plan: Plan
    reason: str
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What became of an occasion for a reminder."""

    occasion: str
    step: int
    fate: str
    planned_at: datetime
    decided_at: datetime


def lock(conn: Connection, patient_id: int) -> None:
    """Until the transaction ends nobody else agrees something with this patient."""
    conn.execute(_SQL["lock"], {"patient_id": patient_id})


def list_versions(conn: Connection, patient_id: int) -> Sequence[PlanVersion]:
    """Every version of the patient's plan, the newest, which is in force, first."""
    rows = conn.execute(_SQL["list"], {"patient_id": patient_id}).fetchall()
    return [
        PlanVersion(
            version=version,
            plan=_whole(plan, words.medicines),
            reason=words.reason,
            set_by=set_by,
            set_at=set_at,
        )
        for version, plan, wording, set_by, set_at in rows
        for words in [_open(conn, patient_id, wording)]
    ]


def add_version(
    conn: Connection, patient_id: int, *, version: int, plan: Plan, reason: str, set_by: int, now: datetime
) -> None:
    """The next version, to be looked at now; rings when the transaction commits."""
    written = plan.model_dump(mode="json")
    medicines = [
        {key: item.pop(key) for key in ("name", "dose")} for item in written["items"] if item["kind"] == "medicine"
    ]
    words = _Words(reason=reason, medicines=medicines)
    row = {
        "patient_id": patient_id,
        "version": version,
        "plan": Jsonb(written),
        "wording": _seal(conn, patient_id, words),
        "set_by": set_by,
        "set_at": now,
    }
    conn.execute(_SQL["add"], row)
    conn.execute(_SQL["make_due"], {"patient_id": patient_id, "due_at": now})
    conn.execute(_SQL["ring"])


def due_patients(conn: Connection, limit: int) -> tuple[int, ...]:
    """Whose plan is to be looked at, the longest waiting first. Only a hint: `take_due` decides."""
    return tuple(row[0] for row in conn.execute(_SQL["due_patients"], {"limit": limit}))


def take_due(conn: Connection, patient_id: int) -> datetime | None:
    """Lock the patient's due row; the database's clock, or None if another has it or it is not due."""
    row = conn.execute(_SQL["take_due"], {"patient_id": patient_id}).fetchone()
    return None if row is None else row[0]


def put_off(conn: Connection, patient_id: int, due_at: datetime | None) -> None:
    """Look at it again at `due_at`; None: there is nothing more to look at."""
    if due_at is None:
        conn.execute(_SQL["forget"], {"patient_id": patient_id})
    else:
        conn.execute(_SQL["put_off"], {"patient_id": patient_id, "due_at": due_at})


def zones_of(conn: Connection, patient_id: int) -> tuple[ZoneSpan, ...]:
    return tuple(
        ZoneSpan(valid_from=valid_from, zone=zone)
        for valid_from, zone in conn.execute(_SQL["zones"], {"patient_id": patient_id})
    )


def measured_at(conn: Connection, patient_id: int, *, since: datetime, until: datetime) -> dict[str, Instants]:
    """When the patient measured, by kind, ascending."""
    values = {"patient_id": patient_id, "kinds": list(MEASURED_KINDS), "since": since, "until": until}
    found: dict[str, list[int]] = {}
    for kind, at in conn.execute(_SQL["measured"], values):
        found.setdefault(kind, []).append(to_us(at))
    return {kind: np.array(instants, np.int64) for kind, instants in found.items()}


def answers_of(conn: Connection, patient_id: int, *, since: datetime) -> Mapping[str, str]:
    """The last answer to each occasion, by its key: done or not_done."""
    return dict(conn.execute(_SQL["answers"], {"patient_id": patient_id, "since": since}).fetchall())


def count_answers(conn: Connection, patient_id: int, *, since: datetime, until: datetime) -> int:
    """How many questions were answered: about medicines, and, a day each, about symptoms."""
    return _count(conn, "count_answers", {"patient_id": patient_id, "since": since, "until": until})


def answered_lately(conn: Connection, patient_id: int, *, since: datetime) -> int:
    return _count(conn, "answered_lately", {"patient_id": patient_id, "since": since})


def note_answer(
    conn: Connection, patient_id: int, *, occasion: str, planned_at: datetime, answer: str, now: datetime
) -> None:
    values = {
        "patient_id": patient_id,
        "occasion": occasion,
        "planned_at": planned_at,
        "answered_at": now,
        "answer": answer,
    }
    conn.execute(_SQL["note_answer"], values)


def reminded(conn: Connection, patient_id: int, *, since: datetime) -> Sequence[Decided]:
    """What has become of the occasions planned from `since` on."""
    with conn.cursor(row_factory=class_row(Decided)) as cursor:
        return cursor.execute(_SQL["reminded"], {"patient_id": patient_id, "since": since}).fetchall()


def note_reminder(
    conn: Connection, patient_id: int, *, occasion: str, step: int, planned_at: datetime, fate: str, now: datetime
) -> None:
    values = {
        "patient_id": patient_id,
        "occasion": occasion,
        "step": step,
        "planned_at": planned_at,
        "decided_at": now,
        "fate": fate,
    }
    conn.execute(_SQL["note_reminder"], values)


def queue_push(
    conn: Connection,
    *,
    push_id: UUID,
    patient_id: int,
    channel: str,
    step: int,
    text: Mapping[str, Mapping[str, str]],
    due_at: datetime,
    expires_at: datetime,
) -> None:
    """A reminder to the patient, to be sent by `channel`. The caller rings (`pushes`)."""
    values = {
        "push_id": push_id,
        "patient_id": patient_id,
        "channel": channel,
        "step": step,
        "text": Jsonb(text),
        "due_at": due_at,
        "expires_at": expires_at,
    }
    conn.execute(_SQL["push"], values)


def last_contact(conn: Connection, patient_id: int) -> datetime | None:
    """When somebody last spoke with the patient."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        at: datetime | None = cursor.execute(_SQL["last_contact"], {"patient_id": patient_id}).fetchone()
    return at


def is_active(conn: Connection, patient_id: int) -> bool:
    """Whether the house acts for the patient: not while consent to care is withdrawn, or the record is held or gone."""
    row = conn.execute(_SQL["is_active"], {"patient_id": patient_id}).fetchone()
    return row is not None and bool(row[0])


def _count(conn: Connection, name: str, values: Mapping[str, object]) -> int:
    row = conn.execute(_SQL[name], values).fetchone()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What was written about a patient in a plan: why, and the names and doses of the medicines, in their order."""

    reason: str = ""
    medicines: Sequence[Mapping[str, str]] = ()


_ERASED: Final = {"name": "–", "dose": ""}
"""A medicine of somebody whose words are gone."""


def _whole(plan: Mapping[str, Any], medicines: Sequence[Mapping[str, str]]) -> Plan:
    """The plan with the words of its medicines."""
    words = iter(medicines)
    items = [{**item, **next(words, _ERASED)} if item["kind"] == "medicine" else item for item in plan["items"]]
    return read_plan({**plan, "items": items})


def _seal(conn: Connection, patient_id: int, words: _Words) -> bytes | None:
    text = json.dumps({"reason": words.reason, "medicines": words.medicines}, ensure_ascii=False)
    return notes.seal(conn, patient_id, text, "patient_plan.wording")


def _open(conn: Connection, patient_id: int, kept: bytes | None) -> _Words:
    """Of somebody erased, nothing."""
    return _Words(**json.loads(notes.unseal(conn, patient_id, kept, "patient_plan.wording") or "{}"))
