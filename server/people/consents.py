"""What a patient is asked, word for word, and what they answer. A changed text is a new version, and the old ones stay here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.people import links, panels
from server.people.errors import NotOnPanelError
from server.store import audit, consents
from server.store.consents import How, Purpose, Word
from server.store.postgres import Connection, Pool, in_transaction
from vitals.errors import MalformedError

TEXTS: Final[Mapping[Purpose, Mapping[str, str]]] = {
    Purpose.CARE: {
        "en": "My readings are sent to the clinic and watched there. If they need attention, my doctor is told and may call me.",
        "zh": "我的测量值会发送到诊所并由诊所查看。如需关注，会通知我的医生，医生可能会给我打电话。",
    },
    Purpose.REMINDERS: {
        "en": "I am reminded to measure, and to take my medicines, at the times that were agreed.",
        "zh": "在约定的时间提醒我测量和服药。",
    },
    Purpose.CHANNELS: {
        "en": "Messages to me may go through other companies (text message, e-mail, chat). They never say what I measured.",
        "zh": "给我的消息可以通过其他公司发送（短信、邮件、聊天软件）。消息中不会写出我的测量值。",
    },
    Purpose.RESEARCH: {
        "en": "My readings may be used for research, without my name and with other dates.",
        "zh": "我的测量值可以用于研究，不含我的姓名，日期也会改动。",
    },
}
TEXT_VERSION: Final = 1

LATE: Final = {"clinic", "paper"}
"""How something may be said that was said before it is written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a patient says about a purpose, how it reached us, and who writes it down (as the audit names them)."""

    patient_id: int
    purpose: Purpose
    is_given: bool
    how: How
    actor: str
    now: datetime
    said_at: datetime | None = None


def say(conn: Connection, saying: Saying) -> bool:
    """Write it down; False if that is how it is already. What follows from it follows in this transaction.

    Raises `NotOnPanelError` if there is no such patient, or one who has been erased; `MalformedError` (`said_at`).
    """
    if saying.said_at is not None and (saying.said_at > saying.now or saying.how not in LATE):
        raise MalformedError("said_at", "a day in the past, of what was said at the clinic or on paper")
    if consents.lock(conn, saying.patient_id) not in ("active", "paused"):
        raise NotOnPanelError("no such patient")
    before = {word.purpose: word for word in consents.last_words(conn, saying.patient_id)}.get(saying.purpose)
    if before is not None and before.is_given == saying.is_given:
        return False
    word = Word(
        purpose=saying.purpose,
        is_given=saying.is_given,
        text_version=TEXT_VERSION,
        how=saying.how,
        said_at=saying.said_at or saying.now,
        recorded_by=saying.actor,
    )
    consents.add(conn, saying.patient_id, word)
    audit.note(
        conn,
        actor=saying.actor,
        act="consent.give" if saying.is_given else "consent.withdraw",
        at=saying.now,
        patient_id=saying.patient_id,
        subject=saying.purpose,
        detail={"how": saying.how, "text_version": TEXT_VERSION},
    )
    return True


def say_at_clinic(conn: Connection, saying: Saying, *, user_id: int) -> bool:
    """A clinician who sees the patient writes down what was said. As `say`."""
    panels.check_regular(conn, user_id=user_id, patient_id=saying.patient_id)
    return say(conn, saying)


def say_by_link(pool: Pool, token: str, purpose: Purpose, *, is_given: bool, now: datetime) -> None:
    """The patient says so on their own page. Raises `NotOnPanelError` where the link opens nothing."""

    def work(conn: Connection) -> None:
        patient_id = links.find_patient(conn, token, now=now)
        if patient_id is None:
            raise NotOnPanelError("no such page")
        actor = f"patient:{patient_id}"
        say(
            conn,
            Saying(patient_id=patient_id, purpose=purpose, is_given=is_given, how="link", actor=actor, now=now),
        )

    in_transaction(pool, work)
