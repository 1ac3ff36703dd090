"""What a patient says of symptoms, in the patient's own voice: while the house asks, and judged at once.

It asks while an alert is open that symptoms make an emergency. What follows from an answer is decided by the rules.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from server.people import links
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.rule_texts import RuleText
from server.store import audit, symptoms
from server.store.postgres import Connection, Pool, transaction

ANSWERS_A_DAY: Final = 48
"""Two an hour; a patient changes a mind now and then, and whoever found the link fills no table."""


class SymptomCode(StrEnum):
    """The American Heart Association's list for a reading of 180/120 or more; `SOME`: one or more of them."""

    CHEST_PAIN = "chest_pain"
    SHORTNESS_OF_BREATH = "shortness_of_breath"
    BACK_PAIN = "back_pain"
    NUMBNESS = "numbness"
    WEAKNESS = "weakness"
    CHANGE_IN_VISION = "change_in_vision"
    DIFFICULTY_SPEAKING = "difficulty_speaking"
    CONFUSION = "confusion"
    DIZZINESS = "dizziness"
    VOMITING = "vomiting"
    SOME = "some"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The patient is asked. `answered_at`: when it was answered last, since the alert began, and by which."""

    answered_at: datetime | None = None
    has_symptoms: bool = False


def question_for(conn: Connection, patient_id: int, rules: Mapping[str, RuleText], *, now: datetime) -> Question | None:
    """None while nothing is asked."""
    rule_ids = [rule_id for rule_id, text in rules.items() if text.asks_symptoms]
    began_at = symptoms.asked_since(conn, patient_id, rule_ids, now=now)
    if began_at is None:
        return None
    last = symptoms.last_answer(conn, patient_id, since=began_at)
    return Question() if last is None else Question(answered_at=last[0], has_symptoms=last[1])


def answer(
    pool: Pool, token: str, codes: Collection[SymptomCode], rules: Mapping[str, RuleText], *, now: datetime
) -> None:
    """Keep what the holder of this link says, none if there are no symptoms, and have the patient judged.

    Raises `NotOnPanelError` for a link that is none, `DecisionConflictError` where nothing is asked, or too much was said.
    """
    with transaction(pool) as conn:
        patient_id = links.find_patient(conn, token, now=now)
        if patient_id is None:
            raise NotOnPanelError("no such page")
        if question_for(conn, patient_id, rules, now=now) is None:
            raise DecisionConflictError("not open", what="question")
        if symptoms.count_answers(conn, patient_id, now=now) >= ANSWERS_A_DAY:
            raise DecisionConflictError(f"answered: {ANSWERS_A_DAY} times in a day", what="question")
        symptoms.note_answer(conn, patient_id, sorted(codes), now=now)
        audit.note(conn, actor=f"patient:{patient_id}", act="symptoms.answer", at=now, patient_id=patient_id)
