"""A patient with a doctor, a nurse and a clinic's own system, and the messages that they get, on a real PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from households import Household, enrol

from server.clock import now
from server.intake import Intake
from server.judge import Judge
from server.people.decisions import Decision
from server.push.channels import Outcome, Sent
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.rules.load import load_catalog
from server.store.postgres import Connection, Pool
from server.store.pushes import Leased, add_webhook
from vitals.reading import Reading

MINUTE = timedelta(minutes=1)

INSTANTS: Mapping[str, tuple[str, ...]] = {
    "push": ("due_at", "retry_at", "lease_until", "created_at", "sent_at"),
    "due": ("due_at", "since"),
    "reading": ("measured_at", "received_at", "stored_at"),
    "episode": (
        *("started_at", "opened_at", "resolved_at", "acknowledged_at"),
        *("snoozed_until", "known_at", "answer_by", "answered_at"),
    ),
    "symptom_answer": ("answered_at",),
    "silence": ("made_at", "until", "ended_at"),
}


class Receiver:
    """A clinic's own system, answering as it is told to."""

    name = "webhook"
    at_once = 1

    def __init__(self, *answers: Outcome) -> None:
        self.answers = list(answers)
        self.heard: list[Leased] = []

    def send(self, message: Leased) -> Outcome:
        self.heard.append(message)
        return self.answers.pop(0) if self.answers else Sent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """A patient with a doctor, a nurse on the panel, and the clinic's own system."""

    pool: Pool
    home: Household
    doctor_id: int
    nurse_id: int

    def measure(self, systolic: float, diastolic: float, *, ago: timedelta = MINUTE, seq: int = 1) -> None:
        reading = self.home.pressure(now().replace(microsecond=0) - ago, systolic, diastolic)
        self.take(reading, seq=seq)

    def take(self, *readings: Reading, seq: int) -> None:
        payload = self.home.envelope(*readings, first_seq=seq)
        assert Intake(self.pool).take(payload, topic_gateway=self.home.gateway_id) is not None
        Judge(self.pool, load_catalog()).judge_due()

    def send(self, receiver: Receiver | None = None) -> None:
        """Both senders, until nothing is due."""
        senders = [Dispatcher(self.pool, Inbox()), Dispatcher(self.pool, receiver or Receiver())]
        while sum(sender.send_due() for sender in senders):
            continue

    def let_pass(self, span: timedelta) -> None:
        ask(
            self.pool,
            """update push set due_at = due_at - %(span)s, retry_at = retry_at - %(span)s,
                               lease_until = lease_until - %(span)s, created_at = created_at - %(span)s,
                               sent_at = sent_at - %(span)s""",
            span=span,
        )

    @property
    def episode_id(self) -> UUID:
        found: UUID = ask(self.pool, "select episode_id from episode")[0][0]
        return found

    def decision(self) -> Decision:
        ((version,),) = ask(self.pool, "select version from episode")
        return Decision(episode_id=self.episode_id, version=version, user_id=self.doctor_id, now=now())

    def pushes(self, *states: str) -> list[tuple[str, int, str, str]]:
        """`(who, step, kind, state)` of every message, or of those in these states."""
        names = {f"user:{self.doctor_id}": "doctor's", f"user:{self.nurse_id}": "nurse's"}
        found = ask(self.pool, "select recipient, step, kind, state from push order by step, recipient, channel")
        shown = [(names.get(who, who.split(":")[0] + "'s" * (":" in who)), *rest) for who, *rest in found]
        return [row for row in shown if not states or row[3] in states]

    def told(self) -> list[tuple[str, int]]:
        return [(who, step) for who, step, _, _ in self.pushes("sent")]


def ask(pool: Pool, query: str, **values: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


def add_user(conn: Connection, login: str, role: str = "doctor", *, active: bool = True) -> int:
    row = conn.execute(
        """insert into app_user (login, display_name, role, password_hash, active) values (%s, %s, %s, '', %s)
           returning user_id""",
        (login, login, role, active),
    ).fetchone()
    assert row is not None
    return int(row[0])


def make_ward(conn: Connection, pool: Pool) -> Ward:
    doctor_id, nurse_id = add_user(conn, "lin"), add_user(conn, "wang", "nurse")
    home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)
    conn.execute("insert into panel (user_id, patient_id) values (%s, %s)", (nurse_id, home.patient_id))
    add_webhook(conn, url="https://clinic.example/", secret="whsec_AAAA")
    return Ward(pool=pool, home=home, doctor_id=doctor_id, nurse_id=nurse_id)


def let_pass(ward: Ward, span: timedelta) -> None:
    """So long ago has become everything that was written; nobody has judged or sent meanwhile."""
    ask(ward.pool, "alter table symptom_answer disable trigger symptom_answer_is_kept")
    ask(ward.pool, "select reading_make_room(measured_at - %(span)s) from reading", span=span)
    for table, columns in INSTANTS.items():
        moved = ", ".join(f"{column} = {column} - %(span)s" for column in columns)
        ask(ward.pool, f"update {table} set {moved}", span=span)


def alert(ward: Ward, rule_id: str) -> dict[str, Any]:
    ((found,),) = ask(ward.pool, "select to_jsonb(e) from episode e where rule_id = %(rule_id)s", rule_id=rule_id)
    return dict(found)
